// Printing, as NumPy prints: aligned columns, the shortest digits that tell the elements apart (at most 8 decimals),
// exponents where magnitudes differ widely, an ellipsis in the middle of axes over 6 long once there are more than 1000
// elements.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <iosfwd>

#include "ergo/core/handle.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// One element as text, before alignment.
struct Printed {
  std::string whole, fraction, exponent;  // fraction begins with its point
};

// The fewest digits behind the first that read back as x, which is finite.
template <class T>
int shortest_digits(T x) {
  char text[64];
  int digits = 0;
  for (; digits < 16; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits, double(x));
    if constexpr (std::is_same_v<T, float>) {
      if (std::strtof(text, nullptr) == x) break;
    } else {
      if (T(std::strtod(text, nullptr)) == x) break;
    }
  }
  return digits;
}
inline std::string digits_of(const char* format, int digits, double x) {
  char text[400];
  std::snprintf(text, sizeof text, format, digits, x);
  return text;
}
inline int exponent_of(const std::string& text) {
  return int(std::strtol(text.c_str() + text.find('e') + 1, nullptr, 10));
}
inline bool is_finite(double x) { return x - x == 0; }
inline std::string print_special(double x) { return x != x ? "nan" : x > 0 ? "inf" : "-inf"; }

// x with `decimals` digits and an exponent.
inline Printed print_scientific(double x, int decimals) {
  const std::string s = digits_of("%.*e", decimals, x);
  const auto e = s.find('e'), point = s.find('.');
  return {s.substr(0, point < e ? point : e), point < e ? s.substr(point, e - point) : ".", s.substr(e)};
}
// x with as many decimals as its `digits` need, at most 8.
inline Printed print_positional(double x, int digits) {
  const int needed = digits - exponent_of(digits_of("%.*e", digits, x));
  const std::string s = digits_of("%.*f", needed < 0 ? 0 : needed > 8 ? 8 : needed, x);
  const auto point = s.find('.');
  if (point == std::string::npos) return {s, ".", ""};
  std::string fraction = s.substr(point);
  while (fraction.size() > 1 && fraction.back() == '0') fraction.pop_back();
  return {s.substr(0, point), fraction, ""};
}
// From here on numbers get an exponent: beyond the digits that T surely has.
template <class T>
inline constexpr double exponent_from = sizeof(T) == 2   ? 1e3
                                        : sizeof(T) == 4 ? 1e6
                                                         : 1e16;
// A rank-0 tensor: all digits that count, 1.0 and not 1.
inline std::string print_scalar(double x, int digits, double large) {
  if (!is_finite(x)) return print_special(x);
  const double size = x < 0 ? -x : x;
  const std::string shortest = digits_of("%.*e", digits, x);
  if (size >= large || (size > 0 && size < 1e-4)) return shortest;
  const int decimals = digits - exponent_of(shortest);
  return digits_of("%.*f", decimals < 1 ? 1 : decimals, std::strtod(shortest.c_str(), nullptr));
}

// What is shown of `a`, which lies on the CPU, row-major: all of it, or where there are more than 1000 elements the
// first and the last three along axes over 6 long.
inline Ref<Array> shown_part(const Array& a) {
  Shape s = a.shape;
  if (a.numel() > 1000)
    for (int d = 0; d < s.rank(); ++d) s[d] = s[d] > 6 ? 6 : s[d];
  Ref<Array> part = Array::make(a.dtype, s);
  const auto width = std::size_t(size_of(a.dtype));
  for (std::int64_t i = 0, n = part->numel(); i < n; ++i) {
    const std::byte* from = a.data;
    std::int64_t rest = i;
    for (int d = s.rank(); d-- > 0; rest /= s[d]) {
      const std::int64_t k = rest % s[d];
      from += (s[d] < a.shape[d] && k >= 3 ? k + a.shape[d] - s[d] : k) * a.stride[d];
    }
    std::memcpy(part->data + std::size_t(i) * width, from, width);
  }
  return part;
}

// Lays out the texts of the shown part of a tensor.
class Printer {
 public:
  Printer(const Shape& whole, const Shape& shown, const std::vector<std::string>& elements)
      : whole_(whole), shape_(shown), elements_(elements) {}
  std::string print() {
    walk(0, 0, shape_.numel());
    return std::move(text_);
  }

 private:
  void walk(int axis, std::int64_t at, std::int64_t block) {
    if (axis == shape_.rank()) return put(elements_[std::size_t(at)]);
    if (axis == shape_.rank() - 1) column_ = indent();
    text_ += "[";
    const std::int64_t n = shape_[axis], inner = n ? block / n : 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (i) separate(axis);
      if (i == 3 && n < whole_[axis]) {
        put("...");
        separate(axis);
      }
      walk(axis + 1, at + i * inner, inner);
    }
    text_ += "]";
  }
  // A word, on a new line where the brackets that must follow would end beyond column 75.
  void put(const std::string& word) {
    if (shape_.rank() && column_ + word.size() + indent() > 75) {
      while (text_.back() == ' ') text_.pop_back();
      text_ += "\n" + std::string(indent(), ' ');
      column_ = indent();
    }
    text_ += word;
    column_ += word.size() + 1;
  }
  void separate(int axis) {
    const int below = shape_.rank() - axis - 1;
    if (below == 0)
      text_ += " ";
    else
      text_ += std::string(std::size_t(below), '\n') + std::string(std::size_t(axis) + 1, ' ');
  }
  std::size_t indent() const { return std::size_t(shape_.rank()); }
  Shape whole_, shape_;
  const std::vector<std::string>& elements_;
  std::string text_;
  std::size_t column_ = 0;
};

// Pads the texts of one tensor to a common width.
inline void align(std::vector<Printed>& parts) {
  std::size_t left = 0, right = 0, exponent = 0;
  for (const Printed& p : parts) {
    if (!p.fraction.empty() && p.whole.size() > left) left = p.whole.size();
    if (p.fraction.size() > right) right = p.fraction.size();
    if (p.exponent.size() > exponent) exponent = p.exponent.size();
  }
  for (const Printed& p : parts)  // words: nan, inf
    if (p.fraction.empty() && p.whole.size() > left + right + exponent) left = p.whole.size() - right - exponent;
  for (Printed& p : parts) {
    if (p.fraction.empty()) {
      p.whole.insert(0, left + right + exponent - p.whole.size(), ' ');
      continue;
    }
    p.whole.insert(0, left - p.whole.size(), ' ');
    p.fraction.append(right - p.fraction.size(), ' ');
    if (exponent) p.exponent.insert(2, exponent - p.exponent.size(), '0');  // behind the sign
  }
}

template <class T>
std::vector<std::string> print_elements(const Array& a) {
  const T* p = data_of<T>(a);
  const auto n = std::size_t(a.numel());
  std::vector<std::string> out(n);
  if constexpr (Floating<T>) {
    double largest = 0, smallest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double x = double(p[i]), m = x < 0 ? -x : x;
      if (!is_finite(m) || m == 0) continue;
      if (m > largest) largest = m;
      if (smallest == 0 || m < smallest) smallest = m;
    }
    const double large = exponent_from<T> < 1e8 ? exponent_from<T> : 1e8;
    const bool scientific = largest >= large || (largest > 0 && (smallest < 1e-4 || largest / smallest > 1000));
    std::vector<int> digits;
    int decimals = 0;
    for (std::size_t i = 0; i < n; ++i) {
      digits.push_back(is_finite(double(p[i])) ? shortest_digits(p[i]) : 0);
      const int own = digits.back() < 8 ? digits.back() : 8;
      if (own > decimals) decimals = own;
    }
    std::vector<Printed> parts;
    for (std::size_t i = 0; i < n; ++i) {
      const auto x = double(p[i]);
      if (!is_finite(x))
        parts.push_back({print_special(x), "", ""});
      else
        parts.push_back(scientific ? print_scientific(x, decimals) : print_positional(x, digits[i]));
    }
    align(parts);
    for (std::size_t i = 0; i < n; ++i) out[i] = parts[i].whole + parts[i].fraction + parts[i].exponent;
  } else {
    std::size_t width = std::is_same_v<T, bool> && a.shape.rank() ? 5 : 0;  // " True" beside "False", or alone
    for (std::size_t i = 0; i < n; ++i) {
      if constexpr (std::is_same_v<T, bool>)
        out[i] = p[i] ? "True" : "False";
      else
        out[i] = std::to_string(p[i]);
      if (out[i].size() > width) width = out[i].size();
    }
    for (std::string& s : out) s.insert(0, width - s.size(), ' ');
  }
  return out;
}

}  // namespace detail

template <TensorScalar T>
std::string to_string(const Tensor<T>& x) {
  const detail::Array& whole = detail::concrete("to_string", x.array());
  if (whole.numel() == 0) return "[]";
  const auto a =
      whole.device.is_cpu() ? detail::shown_part(whole) : detail::shown_part(*detail::readable("to_string", whole));
  if constexpr (Floating<T>) {
    const T v = *detail::data_of<T>(*a);
    if (a->shape.rank() == 0)
      return detail::print_scalar(double(v), detail::is_finite(double(v)) ? detail::shortest_digits(v) : 0,
                                  detail::exponent_from<T>);
  }
  const std::vector<std::string> elements = detail::print_elements<T>(*a);
  return detail::Printer(whole.shape, a->shape, elements).print();
}
template <class Traits, TensorScalar T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const Tensor<T>& x) {
  return out << to_string(x);
}
template <class Traits>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const Shape& s) {
  return out << to_string(s);
}

}  // namespace ergo::inline ERGO_BUILD

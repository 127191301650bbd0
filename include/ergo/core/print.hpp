// Printing, as NumPy prints: aligned columns, the shortest digits that tell the elements apart (at most 8 decimals), exponents where
// magnitudes differ widely, an ellipsis in the middle of axes over 6 long once there are more than 1000 elements.
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

inline Printed print_number(double x, bool single, bool scientific) {
  if (x != x) return {"nan", "", ""};
  if (x - x != 0) return {x > 0 ? "inf" : "-inf", "", ""};
  char text[64];
  int digits = 0;  // the shortest that read back as x
  for (const int most = single ? 9 : 17; digits < most; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits, x);
    if (single ? std::strtof(text, nullptr) == float(x) : std::strtod(text, nullptr) == x) break;
  }
  if (scientific) {
    std::snprintf(text, sizeof text, "%.*e", digits < 8 ? digits : 8, x);
    std::string s = text;
    const auto e = s.find('e'), point = s.find('.');
    Printed p{s.substr(0, point < e ? point : e), point < e ? s.substr(point, e - point) : ".", s.substr(e)};
    return p;
  }
  const auto exponent = int(std::strtol(std::string(text).substr(std::string(text).find('e') + 1).c_str(), nullptr, 10));
  int decimals = digits - exponent;
  decimals = decimals < 0 ? 0 : decimals > 8 ? 8 : decimals;
  std::snprintf(text, sizeof text, "%.*f", decimals, x);
  std::string s = text;
  auto point = s.find('.');
  if (point == std::string::npos) return {s, ".", ""};
  std::string fraction = s.substr(point);
  while (fraction.size() > 1 && fraction.back() == '0') fraction.pop_back();
  return {s.substr(0, point), fraction, ""};
}

class Printer {
 public:
  Printer(const Array& a, const std::vector<std::string>& elements) : shape_(a.shape), elements_(elements) {}
  std::string print() {
    walk(0, 0, shape_.numel());
    return std::move(text_);
  }
  static bool shown(const Shape& s, std::int64_t n, int axis, std::int64_t i) {
    return n <= 1000 || s[axis] <= 6 || i < 3 || i >= s[axis] - 3;
  }

 private:
  void walk(int axis, std::int64_t at, std::int64_t block) {
    if (axis == shape_.rank()) {
      const std::string& e = elements_[std::size_t(at)];
      if (shape_.rank() && column_ + e.size() + 1 > 75) {
        while (text_.back() == ' ') text_.pop_back();
        text_ += "\n" + std::string(std::size_t(shape_.rank()), ' ');
        column_ = std::size_t(shape_.rank());
      }
      text_ += e;
      column_ += e.size() + 1;
      return;
    }
    text_ += "[";
    const std::int64_t n = shape_[axis], inner = n ? block / n : 0;
    bool gap = false, first = true;
    for (std::int64_t i = 0; i < n; ++i) {
      if (!shown(shape_, shape_.numel(), axis, i)) {
        if (!gap) separate(axis, first), text_ += "...", column_ += 4;
        gap = true, first = false;
        continue;
      }
      separate(axis, first);
      first = false;
      walk(axis + 1, at + i * inner, inner);
    }
    text_ += "]";
  }
  void separate(int axis, bool first) {
    const int below = shape_.rank() - axis - 1;
    if (below) column_ = std::size_t(axis) + 1;
    if (first) return;
    if (below == 0)
      text_ += " ";
    else
      text_ += std::string(std::size_t(below), '\n') + std::string(std::size_t(axis) + 1, ' ');
  }
  Shape shape_;
  const std::vector<std::string>& elements_;
  std::string text_;
  std::size_t column_ = 0;
};

// Pads the texts of one tensor to a common width.
inline void align(std::vector<Printed>& parts, bool scientific) {
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
    p.fraction.append(right - p.fraction.size(), scientific ? '0' : ' ');
  }
}

template <class T>
std::vector<std::string> print_elements(const Array& a) {
  const T* p = data_of<T>(a);
  const std::int64_t n = a.numel();
  const auto visible = [&](std::int64_t i) {  // what the ellipsis hides has no say in the format
    for (int d = a.shape.rank(); d-- > 0; i /= a.shape[d])
      if (!Printer::shown(a.shape, n, d, i % a.shape[d])) return false;
    return true;
  };
  std::vector<std::int64_t> at;
  for (std::int64_t i = 0; i < n; ++i)
    if (visible(i)) at.push_back(i);
  std::vector<std::string> out{std::size_t(n)};
  if constexpr (Floating<T>) {
    double largest = 0, smallest = 0;
    for (std::int64_t i : at) {
      const double x = double(p[i]), m = x < 0 ? -x : x;
      if (m - m != 0 || m == 0) continue;
      if (m > largest) largest = m;
      if (smallest == 0 || m < smallest) smallest = m;
    }
    const bool scientific = largest >= 1e8 || (largest > 0 && (smallest < 1e-4 || largest / smallest > 1000));
    std::vector<Printed> parts;
    for (std::int64_t i : at) parts.push_back(print_number(double(p[i]), !std::is_same_v<T, double>, scientific));
    align(parts, scientific);
    for (std::size_t k = 0; k < at.size(); ++k)
      out[std::size_t(at[k])] = parts[k].whole + parts[k].fraction + parts[k].exponent;
  } else {
    std::size_t width = 0;
    for (std::int64_t i : at) {
      std::string& s = out[std::size_t(i)];
      if constexpr (std::is_same_v<T, bool>)
        s = p[i] ? "True" : "False";
      else
        s = std::to_string(p[i]);
      if (s.size() > width) width = s.size();
    }
    for (std::int64_t i : at) out[std::size_t(i)].insert(0, width - out[std::size_t(i)].size(), ' ');
  }
  return out;
}

}  // namespace detail

template <TensorScalar T>
std::string to_string(const Tensor<T>& x) {
  const auto a = detail::readable("to_string", x.array());
  const std::vector<std::string> elements = detail::print_elements<T>(*a);
  return detail::Printer(*a, elements).print();
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

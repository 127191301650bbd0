// Shapes and axes: extents of at most eight axes, indexed from either end, with checked 64-bit arithmetic.
#pragma once

#include <concepts>
#include <utility>
#include <cstdint>
#include <string>
#include <vector>

#include "ergo/core/error.hpp"

namespace ergo::inline ERGO_BUILD {

inline constexpr int kMaxRank = 8;

// Any integer type, but neither bool nor a character: what a size, an axis, an index or a seed may be.
template <class I>
concept Integer = std::integral<I> && !std::same_as<I, bool> && !std::same_as<I, char> && !std::same_as<I, wchar_t> &&
                  !std::same_as<I, char8_t> && !std::same_as<I, char16_t> && !std::same_as<I, char32_t>;

namespace detail {
[[noreturn, gnu::cold]] ERGO_ONCE void fail_shape(const Message& why) { throw Error({"[shape] ", why}); }
}  // namespace detail

// An argument that any integer type may give: one axis, a size, an index, a position.
class AnyInteger {
 public:
  template <Integer I>
  constexpr AnyInteger(I n) : value_(std::int64_t(n)) {
    if (!std::in_range<std::int64_t>(n)) detail::fail_shape("an integer beyond 2^63 - 1");
  }
  constexpr operator std::int64_t() const { return value_; }

 private:
  std::int64_t value_;
};

namespace detail {
// A list of at most eight integers; the common part of Shape and Axes.
class IntegerList {
 public:
  constexpr IntegerList() = default;
  constexpr int rank() const { return rank_; }
  constexpr const std::int64_t* begin() const { return at_; }
  constexpr const std::int64_t* end() const { return at_ + rank_; }
  constexpr bool operator==(const IntegerList& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (at_[i] != o.at_[i]) return false;
    return true;
  }
  constexpr bool operator!=(const IntegerList& o) const { return !(*this == o); }

 protected:
  constexpr void append(AnyInteger n) {
    if (rank_ == kMaxRank) fail_shape("more than 8 axes");
    at_[rank_++] = n;
  }
  std::int64_t at_[kMaxRank] = {};
  int rank_ = 0;
};
}  // namespace detail

// The extents of a tensor. `Shape{2, 3}`, `{}` for rank 0, or from a std::vector of integers; `s[-1]` is the last
// extent.
class Shape : public detail::IntegerList {
 public:
  constexpr Shape() = default;
  template <Integer... I>
  requires(sizeof...(I) > 0) constexpr Shape(I... n) { (append(n), ...); }
  template <Integer I>
  explicit Shape(const std::vector<I>& sizes) {
    for (I n : sizes) append(n);
  }

  constexpr std::int64_t operator[](int axis) const { return at_[resolve(axis)]; }
  constexpr std::int64_t& operator[](int axis) { return at_[resolve(axis)]; }
  template <Integer I>
  constexpr void push(I n) {
    append(n);
  }

  // The number of elements; a product beyond 2^63 - 1 or a negative extent is an Error.
  constexpr std::int64_t numel() const {
    std::int64_t n = 1;
    bool over = false, zero = false;
    for (int i = 0; i < rank_; ++i) {
      if (at_[i] < 0) [[unlikely]]
        fail_negative();
      zero |= at_[i] == 0;
      over |= __builtin_mul_overflow(n, at_[i], &n);
    }
    if (zero) return 0;
    if (over) [[unlikely]]
      fail_overflow();
    return n;
  }

  // The product of extents that are known to be valid.
  constexpr std::int64_t product() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= at_[i];
    return n;
  }

  constexpr Shape first(int n) const { return part(0, n); }
  constexpr Shape last(int n) const { return part(rank_ - n, rank_); }
  friend constexpr Shape operator+(Shape a, const Shape& b) {
    for (std::int64_t n : b) a.push(n);
    return a;
  }

 private:
  constexpr int resolve(int axis) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    if (i < 0 || i >= rank_) [[unlikely]]
      fail_axis(axis);
    return i;
  }
  constexpr Shape part(int from, int to) const {
    Shape s;
    for (int i = from; i < to; ++i) s.at_[s.rank_++] = at_[i];
    return s;
  }
  [[noreturn, gnu::cold]] void fail_axis(int axis) const;
  [[noreturn, gnu::cold]] void fail_negative() const;
  [[noreturn, gnu::cold]] void fail_overflow() const;
};

// One axis or a braced list of them: `sum(x, 0)`, `sum(x, {0, -1})`, `{}` for none. The constructor is variadic and not
// an initializer_list, so that `variance(x, {.correction = 1})` cannot be mistaken for a list.
class Axes : public detail::IntegerList {
 public:
  constexpr Axes() = default;
  template <Integer... I>
  requires(sizeof...(I) > 0) constexpr Axes(I... axis) { (append(axis), ...); }
  template <Integer I>
  explicit Axes(const std::vector<I>& axes) {
    for (I a : axes) append(a);
  }
  constexpr std::int64_t operator[](int i) const { return at_[i]; }
};
using Indices = Axes;  // one index per axis

// `(3, 4)`, `(4,)`, `()`: as Python prints tuples.
ERGO_ONCE std::string to_string(const Shape& s) {
  std::string text = "(";
  for (int i = 0; i < s.rank(); ++i) text += (i ? ", " : "") + std::to_string(s[i]);
  return text + (s.rank() == 1 ? ",)" : ")");
}

inline void Shape::fail_axis(int axis) const { detail::fail_shape({*this, ": axis ", axis, " is out of range"}); }
inline void Shape::fail_negative() const { detail::fail_shape({*this, ": an extent is negative"}); }
inline void Shape::fail_overflow() const { detail::fail_shape({*this, ": the number of elements exceeds 2^63 - 1"}); }

namespace detail {
// Widens `s` to the broadcast of both, NumPy's rule (an extent of 1 gives way, to 0 too). False if they do not fit.
ERGO_ONCE bool broadcast(Shape& s, const Shape& o) {
  if (o.rank() > s.rank()) {
    Shape wide = o;
    if (!broadcast(wide, s)) return false;
    s = wide;
    return true;
  }
  for (int i = -1; i >= -o.rank(); --i) {
    if (s[i] == 1)
      s[i] = o[i];
    else if (o[i] != 1 && o[i] != s[i])
      return false;
  }
  return true;
}
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD

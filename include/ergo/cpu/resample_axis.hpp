// Which elements of an axis go into which of the results, and with which weights: averages of windows, and
// interpolation at half-pixel centres. A result's elements are consecutive. Positions are exact fractions of integers,
// so that loops and kernels agree on them; `divide(n)`, n / what it was made for, is whatever the caller divides by.
#pragma once

#include <cstdint>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// windows: of a kernel, a stride and a padding; adaptive: as many as there are results, as equal as may be. Both are
// sums over a count. The others are nearest, linear and cubic interpolation.
enum class Resampling { windows, adaptive, nearest, linear, cubic };
constexpr bool averages(Resampling r) { return r == Resampling::windows || r == Resampling::adaptive; }
constexpr int taps_of(Resampling r) { return r == Resampling::nearest ? 1 : r == Resampling::linear ? 2 : 4; }

struct ResampleAxis {
  std::int64_t in, out;
  std::int64_t kernel = 1, stride = 1, before = 0, after = 0;  // of windows alone, with `count_padding`
  bool count_padding = true;
};

// The elements [first, end) of a window, and what their sum is divided by.
struct WindowRow {
  std::int64_t first, end, count;
};
constexpr WindowRow window_row(const ResampleAxis& a, std::int64_t o) {
  const std::int64_t begin = o * a.stride - a.before, past = begin + a.kernel, padded = a.in + a.after;
  const std::int64_t first = begin < 0 ? 0 : begin, end = past < a.in ? past : a.in;
  return {first, end, a.count_padding ? (past < padded ? past : padded) - begin : end - first};
}
// Divides by a.out.
template <class Divide>
constexpr WindowRow adaptive_row(const ResampleAxis& a, std::int64_t o, const Divide& divide) {
  const std::int64_t first = divide(o * a.in), end = divide((o + 1) * a.in + a.out - 1);
  return {first, end, end - first};
}

// The elements [first, end) of an interpolation; a weight that is 0 by construction is left out.
template <class A, int Taps>
struct TapRow {
  std::int64_t first, end, base, last;  // base: the first tap, where the edge, `last` or 0, does not clamp it
  A w[Taps];
  constexpr A weight(std::int64_t i) const {
    A sum = 0;
    for (int k = 0; k < Taps; ++k) {
      const std::int64_t at = base + k < 0 ? 0 : base + k > last ? last : base + k;
      if (at == i) sum += w[k];
    }
    return sum;
  }
};
// Keys's cubic (1981) with a = -0.75, of the tap at a distance of t, and of the one beyond at 1 + t, where s = 1 - t:
// in factors, so that no weight loses digits.
template <class A>
constexpr A cubic_inner(A t, A s) {
  return s * (A(1) + t - A(1.25) * t * t);
}
template <class A>
constexpr A cubic_outer(A t, A s) {
  return A(-0.75) * t * s * s;
}
// Result o lies at (o + 1/2) in / out - 1/2. Divides by 2 a.out.
template <class A, int Taps, class Divide>
constexpr TapRow<A, Taps> tap_row(const ResampleAxis& a, std::int64_t o, const Divide& divide) {
  const std::int64_t centre = (2 * o + 1) * a.in, whole = 2 * a.out, last = a.in - 1;
  if constexpr (Taps == 1) {
    const std::int64_t q = divide(centre);
    return {q, q + 1, q, last, {A(1)}};
  } else {
    std::int64_t q = divide(centre + a.out) - 1, r = centre - a.out - q * whole;
    const auto inside = [last](std::int64_t i) { return i < 0 ? 0 : i > last ? last : i; };
    if constexpr (Taps == 2) {
      if (q < 0 || q >= last) {
        q = q < 0 ? 0 : last;
        r = 0;
      }
      return {q, q + (r ? 2 : 1), q, last, {A(whole - r) / A(whole), A(r) / A(whole)}};
    } else {
      const A t = A(r) / A(whole), s = A(whole - r) / A(whole);
      return {inside(r ? q - 1 : q),
              inside(r ? q + 2 : q) + 1,
              q - 1,
              last,
              {cubic_outer(t, s), cubic_inner(t, s), cubic_inner(s, t), cubic_outer(s, t)}};
    }
  }
}

// The results [first, end) in whose rows element i may be. Divides by a.in, or for interpolation by 2 a.in.
struct Users {
  std::int64_t first, end;
};
template <class Divide>
constexpr Users adaptive_users(const ResampleAxis& a, std::int64_t i, const Divide& divide) {
  return {divide(i * a.out), divide((i + 1) * a.out + a.in - 1)};
}
template <int Taps, class Divide>
constexpr Users tap_users(const ResampleAxis& a, std::int64_t i, const Divide& divide) {
  if constexpr (Taps == 1) {
    return {divide(2 * i * a.out + a.in - 1), divide(2 * (i + 1) * a.out + a.in - 1)};
  } else {
    // Results at less than `reach` from i; at an edge also all beyond.
    constexpr std::int64_t reach = Taps / 2;
    const std::int64_t low = (2 * (i - reach) + 1) * a.out + a.in, high = (2 * (i + reach) + 1) * a.out + a.in - 1;
    Users u{i == 0 || low < 0 ? 0 : divide(low), i == a.in - 1 ? a.out : divide(high)};
    if (u.end > a.out) u.end = a.out;
    return u;
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu

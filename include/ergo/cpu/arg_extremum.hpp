// Where the largest or smallest element of a row lies: the extremum first, at the speed of a reduction, then the first
// element equal to it. A NaN is the extremum; the first one is meant.
#pragma once

#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

template <class M, class T>
struct ArgBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t rows, std::int64_t n, std::int64_t* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    for (std::int64_t r = 0; r < rows; ++r, x += n) {
      T top = x[0];
      std::int64_t i = 0;
      if (n >= 2 * W) {
        P a = P::load(x), b = P::load(x + n - W);  // the last pack, which overlaps
        for (i = W; i + 2 * W <= n; i += 2 * W) {
          a = M::combine(a, P::load(x + i));
          b = M::combine(b, P::load(x + i + W));
        }
        if (i + W <= n) a = M::combine(a, P::load(x + i));
        top = fold_lanes<M>(M::combine(a, b));
        const P wanted(top);
        for (i = 0; i + W <= n; i += W) {
          const P v = P::load(x + i);
          if (any(v == wanted) || any(v != v)) break;
        }
      } else {
        for (std::int64_t k = 1; k < n; ++k) top = top != top ? top : M::combine(top, x[k]);
      }
      while (!(x[i] == top || x[i] != x[i])) ++i;
      y[r] = i;
    }
  }
};

}  // namespace detail

// The position of M's extremum in each of `rows` dense rows of n >= 1 elements.
template <class M, class T>
void arg_extremum(const T* x, std::int64_t rows, std::int64_t n, std::int64_t* y) {
  parallel_for(rows, 1 + 16383 / n, [&](std::int64_t begin, std::int64_t end) {
    for_isa<detail::ArgBody<M, T>>(x + begin * n, end - begin, n, y + begin);
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu

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
      const T top = n < W ? few(x, n) : reduce_dense<M, T, I>(x, n);
      const P wanted(top);
      std::int64_t i = 0;
      if (top == top)
        while (i + W <= n && !any(P::load(x + i) == wanted)) i += W;
      else
        while (i + W <= n && !any(P::load(x + i) != P::load(x + i))) i += W;
      while (!(x[i] == top || (x[i] != x[i] && top != top))) ++i;
      y[r] = i;
    }
  }
  static ERGO_INLINE T few(const T* x, std::int64_t n) {
    T top = x[0];
    for (std::int64_t i = 1; i < n; ++i) top = top != top ? top : M::combine(top, x[i]);
    return top;
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

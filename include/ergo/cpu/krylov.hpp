// A vector against the rows of a Krylov basis Q (k, n): projections and their removal. Each block of the vector stays
// in the first cache while all rows of Q pass by it, so Q is read once for the projections, and once more for their
// removal together with the second round of projections ("twice is enough": classical Gram-Schmidt done again is
// orthogonal to rounding). Sums run in T within a block and in double over the blocks, in order, so the bits do not
// depend on the number of threads.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

inline constexpr std::int64_t kKrylovBlock = 4096;  // elements of the vector at a time

// c (k) = Q w for the rows of q, row-major (k, n). Returns |w|^2.
template <class T>
double project(const T* q, std::int64_t k, std::int64_t n, const T* w, double* c);

// w := w - Q' c, and then c := Q w. Returns |w|^2.
template <class T>
double remove_and_project(const T* q, std::int64_t k, std::int64_t n, T* w, double* c);

// w := s w.
template <class T>
void scale_vector(T* w, std::int64_t n, double s);

namespace detail {

// out[j] = row j . w for j < k, and out[k] = w . w, over `length` elements, four rows at a time.
struct DotRows {
  template <Isa I, class T>
  static ERGO_INLINE void run(const T* q, std::int64_t stride, std::int64_t k, const T* w, std::int64_t length,
                              double* out) {
    std::int64_t j = 0;
    for (; j + 4 <= k; j += 4) dot<I, 4>(q + j * stride, stride, w, length, out + j);
    for (; j < k; ++j) dot<I, 1>(q + j * stride, stride, w, length, out + j);
    dot<I, 1>(w, 0, w, length, out + k);
  }

 private:
  template <Isa I, int Rows, class T>
  static ERGO_INLINE void dot(const T* q, std::int64_t stride, const T* w, std::int64_t length, double* out) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    P sum[Rows], more[Rows];
    std::int64_t i = 0;
    for (; i + 2 * W <= length; i += 2 * W) {
      const P a = P::load(w + i), b = P::load(w + i + W);
      for (int r = 0; r < Rows; ++r) {
        sum[r] = fma(P::load(q + r * stride + i), a, sum[r]);
        more[r] = fma(P::load(q + r * stride + i + W), b, more[r]);
      }
    }
    for (; i < length; i += W) {
      const int part = length - i < W ? int(length - i) : W;
      const P a = P::load_part(w + i, part);
      for (int r = 0; r < Rows; ++r) sum[r] = fma(P::load_part(q + r * stride + i, part), a, sum[r]);
    }
    for (int r = 0; r < Rows; ++r) out[r] = double((sum[r] + more[r]).sum());
  }
};

// w -= sum over j < k of c[j] row j, over `length` elements.
struct RemoveRows {
  template <Isa I, class T>
  static ERGO_INLINE void run(const T* q, std::int64_t stride, std::int64_t k, const double* c, T* w,
                              std::int64_t length) {
    std::int64_t j = 0;
    for (; j + 4 <= k; j += 4) remove<I, 4>(q + j * stride, stride, c + j, w, length);
    for (; j < k; ++j) remove<I, 1>(q + j * stride, stride, c + j, w, length);
  }

 private:
  template <Isa I, int Rows, class T>
  static ERGO_INLINE void remove(const T* q, std::int64_t stride, const double* c, T* w, std::int64_t length) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    P minus[Rows];
    for (int r = 0; r < Rows; ++r) minus[r] = P(T(-c[r]));
    std::int64_t i = 0;
    for (; i + W <= length; i += W) {
      P x = P::load(w + i);
      for (int r = 0; r < Rows; ++r) x = fma(minus[r], P::load(q + r * stride + i), x);
      x.store(w + i);
    }
    if (i < length) {
      const int part = int(length - i);
      P x = P::load_part(w + i, part);
      for (int r = 0; r < Rows; ++r) x = fma(minus[r], P::load_part(q + r * stride + i, part), x);
      x.store_part(w + i, part);
    }
  }
};

struct ScaleVector {
  template <Isa I, class T>
  static ERGO_INLINE void run(T* w, std::int64_t length, T s) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    std::int64_t i = 0;
    for (; i + W <= length; i += W) (P(s) * P::load(w + i)).store(w + i);
    for (; i < length; ++i) w[i] = s * w[i];
  }
};

// `remove` (k, or null): coefficients of what goes first. c (k) and the result: the projections and |w|^2 after that.
template <class T>
double krylov_pass(const T* q, std::int64_t k, std::int64_t n, T* w, const double* remove, double* c) {
  const std::int64_t blocks = (n + kKrylovBlock - 1) / kKrylovBlock;
  const Scratch<double> part(blocks * (k + 1));
  parallel_for(n, kKrylovBlock, [&](std::int64_t begin, std::int64_t end) {
    if (remove) for_isa<RemoveRows>(q + begin, n, k, remove, w + begin, end - begin);
    for_isa<DotRows>(q + begin, n, k, static_cast<const T*>(w + begin), end - begin,
                     part.data() + begin / kKrylovBlock * (k + 1));
  });
  double squares = 0;
  for (std::int64_t j = 0; j < k; ++j) c[j] = 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const double* p = part.data() + b * (k + 1);
    for (std::int64_t j = 0; j < k; ++j) c[j] += p[j];
    squares += p[k];
  }
  return squares;
}

}  // namespace detail

template <class T>
double project(const T* q, std::int64_t k, std::int64_t n, const T* w, double* c) {
  return detail::krylov_pass(q, k, n, const_cast<T*>(w), nullptr, c);
}

template <class T>
double remove_and_project(const T* q, std::int64_t k, std::int64_t n, T* w, double* c) {
  const Scratch<double> removed(k);
  for (std::int64_t j = 0; j < k; ++j) removed.data()[j] = c[j];
  return detail::krylov_pass(q, k, n, w, static_cast<const double*>(removed.data()), c);
}

template <class T>
void scale_vector(T* w, std::int64_t n, double s) {
  parallel_for(n, 16384, [&](std::int64_t begin, std::int64_t end) {
    for_isa<detail::ScaleVector>(w + begin, end - begin, T(s));
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu

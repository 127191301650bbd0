// Triangles and diagonals of the last two axes: tril triu diagonal diag. Diagonal k runs from row 0 if k >= 0, from
// column 0 else, k places right of the main one.
#pragma once

#include "ergo/cpu/assign.hpp"
#include "ergo/autograd/structural.hpp"
#include "ergo/ops/axes.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/triangle.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

namespace detail {
using KeepTriangle = Ref<Array> (*)(const Array& x, std::int64_t k, bool lower);  // on a CUDA device
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T>
inline constexpr KeepTriangle triangle_on_device = &ergo::cuda::triangle<T>;
#else
template <class>
inline constexpr KeepTriangle triangle_on_device = nullptr;
#endif
AnyTensor triangle(const char* op, const AnyTensor& x, std::int64_t k, bool lower, KeepTriangle device);
AnyTensor diagonal_of(const AnyTensor& x, std::int64_t k);
AnyTensor with_diagonal(const AnyTensor& v, std::int64_t k);
}  // namespace detail

// Matrices (..., R, C) with zeros above diagonal k, and below it.
template <class T>
Tensor<T> tril(const Tensor<T>& x, AnyInteger k = 0) {
  return Tensor<T>(detail::triangle("tril", x, k, true, detail::triangle_on_device<T>));
}
template <class T>
Tensor<T> triu(const Tensor<T>& x, AnyInteger k = 0) {
  return Tensor<T>(detail::triangle("triu", x, k, false, detail::triangle_on_device<T>));
}
// Diagonal k of matrices (..., R, C), along the last axis; a view. Empty if k lies outside.
template <class T>
Tensor<T> diagonal(const Tensor<T>& x, AnyInteger k = 0) {
  return Tensor<T>(detail::diagonal_of(x, k));
}
// Square matrices (..., n + |k|, n + |k|) with v (..., n) on diagonal k and zeros elsewhere.
template <class T>
Tensor<T> diag(const Tensor<T>& v, AnyInteger k = 0) {
  return Tensor<T>(detail::with_diagonal(v, k));
}

namespace detail {

struct Triangle {  // its own transpose
  static constexpr auto name = "tril";
  std::int64_t k;
  bool lower;
  KeepTriangle device;
  int core_of(int) const { return 2; }
  AnyTensor value(const AnyTensor& x) const {
    const Ref<Array> from = dense(x.array()), r = Array::make(x.dtype(), x.shape());
    const std::int64_t rows = r->shape[-2], columns = r->shape[-1], width = size_of(r->dtype);
    if (r->numel() == 0) return AnyTensor(r);
    parallel_for(r->numel() / columns, 1 + 16384 / columns, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t at =
            row % rows + k + (lower ? 1 : 0);  // the first column beyond the part that is on the left
        const auto left = std::size_t((at < 0 ? 0 : at > columns ? columns : at) * width);
        const std::size_t right = std::size_t(columns * width) - left;
        std::byte* y = r->data + row * columns * width;
        const std::byte* p = from->data + row * columns * width;
        if (lower) {
          std::memcpy(y, p, left);
          std::memset(y + left, 0, right);
        } else {
          std::memset(y, 0, left);
          std::memcpy(y + left, p + left, right);
        }
      }
    });
    return AnyTensor(r);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x) const { return AnyTensor(device(x.array(), k, lower)); }
#endif
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(*this, g); }
};

struct Diagonal {
  static constexpr auto name = "diagonal";
  using any_device = void;
  std::int64_t k, rows, columns;
  int core_of(int) const { return 2; }
  std::int64_t count() const {
    const std::int64_t n = k < 0 ? rows + k : rows, m = k > 0 ? columns - k : columns;
    return n < 0 || m < 0 ? 0 : n < m ? n : m;
  }
  // The diagonal within the bytes of a.
  Ref<Array> view(const Array& a) const {
    const int lead = a.shape.rank() - 2;
    const Ref<Array> r = Array::view(a, a.shape.first(lead) + Shape{count()});
    for (int d = 0; d < lead; ++d) r->stride[d] = a.stride[d];
    r->stride[lead] = a.stride[lead] + a.stride[lead + 1];
    if (count()) r->data += k < 0 ? -k * a.stride[lead] : k * a.stride[lead + 1];
    r->settle();
    return r;
  }
  AnyTensor value(const AnyTensor& x) const { return AnyTensor(view(x.array())); }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const;
};
struct EmbedDiagonal {
  static constexpr auto name = "diag";
  using any_device = void;
  Diagonal diagonal;
  int core_of(int) const { return 1; }
  AnyTensor value(const AnyTensor& v) const {
    const Shape s = v.shape().first(v.rank() - 1) + Shape{diagonal.rows, diagonal.columns};
    const Ref<Array> r = zeroed(v.dtype(), s, v.device());
    copy_strided(*diagonal.view(*r), v.array());
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(diagonal, g); }
};
inline AnyTensor Diagonal::transpose(const AnyTensor& g, const Shape&) const {
  return linear_op(EmbedDiagonal{*this}, g);
}

inline std::int64_t bounded(std::int64_t k, std::int64_t rows,
                            std::int64_t columns) {  // so that sums with k do not overflow
  return k < -rows ? -rows : k > columns ? columns : k;
}
inline void check_matrix(const char* op, const Array& a) {
  if (a.shape.rank() < 2) fail(op, a, "a matrix has two axes");
}
inline AnyTensor triangle(const char* op, const AnyTensor& x, std::int64_t k, bool lower, KeepTriangle device) {
  const Array& a = x.array();
  check_matrix(op, a);
  return linear_op(Triangle{bounded(k, a.shape[-2], a.shape[-1]), lower, device}, x);
}
inline AnyTensor diagonal_of(const AnyTensor& x, std::int64_t k) {
  const Array& a = x.array();
  check_matrix("diagonal", a);
  return linear_op(Diagonal{bounded(k, a.shape[-2], a.shape[-1]), a.shape[-2], a.shape[-1]}, x);
}
inline AnyTensor with_diagonal(const AnyTensor& v, std::int64_t k) {
  const Array& a = v.array();
  if (a.shape.rank() == 0) fail("diag", a, "a diagonal has at least one axis");
  constexpr std::int64_t kFar = std::int64_t(1) << 62;
  if (k > kFar || k < -kFar || a.shape[-1] > kFar) fail("diag", a, "the matrix would be too large");
  const std::int64_t n = a.shape[-1] + (k < 0 ? -k : k);
  return linear_op(EmbedDiagonal{{k, n, n}}, v);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD

// Matrix products of arrays of any strides with broadcast leading axes, handed to the GEMM in as few pieces as the
// strides allow: leading axes along which the right operand does not move become rows, the rest one batch.
#pragma once

#include "ergo/core/copy.hpp"
#include "ergo/cpu/gemm.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// (..., m, k) x (..., k, n), plus a bias (n,) if given; inner sizes agree and leading axes broadcast, checked by the
// caller.
template <class T>
ergo::detail::Ref<ergo::detail::Array> matmul(const ergo::detail::Array& a, const ergo::detail::Array& b,
                                              const T* bias = nullptr) {
  using ergo::detail::Array;
  const int ra = a.shape.rank(), rb = b.shape.rank();
  Shape lead = a.shape.first(ra - 2);
  ergo::detail::broadcast(lead, b.shape.first(rb - 2));
  std::int64_t m = a.shape[-2];
  const std::int64_t k = a.shape[-1], n = b.shape[-1];
  ergo::detail::Ref<Array> y = Array::make(a.dtype, lead + Shape{m, n});
  if (y->numel() == 0) return y;

  constexpr auto width = std::int64_t(sizeof(T));
  std::int64_t step_a[kMaxRank], step_b[kMaxRank];
  for (int d = 0; d < lead.rank(); ++d) {
    const int da = d - (lead.rank() - (ra - 2)), db = d - (lead.rank() - (rb - 2));
    step_a[d] = da < 0 || a.shape[da] == 1 ? 0 : a.stride[da] / width;
    step_b[d] = db < 0 || b.shape[db] == 1 ? 0 : b.stride[db] / width;
  }
  std::int64_t row_a = a.stride[ra - 2] / width;
  int outer = lead.rank();
  for (; outer > 0; --outer) {
    const int d = outer - 1;
    if (lead[d] == 1) continue;
    if (step_b[d] != 0 || (m != 1 && step_a[d] != m * row_a)) break;
    if (m == 1) row_a = step_a[d];
    m *= lead[d];
  }
  ergo::detail::Walk<2> batch;
  for (int d = 0; d < outer; ++d) {
    const std::int64_t step[2] = {step_a[d], step_b[d]};
    batch.add(lead[d], step);
  }
  batch.finish();
  const MatrixView<const T> va{reinterpret_cast<const T*>(a.data), m, k, row_a, a.stride[ra - 1] / width};
  const MatrixView<const T> vb{reinterpret_cast<const T*>(b.data), k, n, b.stride[rb - 2] / width,
                               b.stride[rb - 1] / width};
  const MatrixView<T> vc{reinterpret_cast<T*>(y->data), m, n, n, 1};
  const int last = batch.rank - 1;
  const std::int64_t count = batch.extent[last];
  for (std::int64_t r = 0, rows = batch.rows(); r < rows; ++r) {
    auto pa = va, pb = vb;
    auto pc = vc;
    pa.data += batch.offset(0, r);
    pb.data += batch.offset(1, r);
    pc.data += r * count * m * n;
    GemmOptions<T> options;
    options.bias = bias;
    gemm_batched(count, pa, batch.stride[0][last], pb, batch.stride[1][last], pc, m * n, options);
  }
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu

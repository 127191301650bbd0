// grid_sample on tensors of a device: the value and the slope along the grid in a launch each, the gradient of the
// image by weighted rows and a scatter.
#pragma once

#include "ergo/cpu/grid_sample.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/grid_sample.cuh"
#include "ergo/kernels/scatter.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline GridRule rule_of(const cpu::GridShape& s) { return {s.mode, s.padding}; }

// Leading axes of both operands, broadcast; the last three are their own.
inline Shape grid_lead(const Array& a, const Array& b) {
  Shape lead = a.shape.first(a.shape.rank() - 3);
  ergo::detail::broadcast(lead, b.shape.first(b.shape.rank() - 3));
  return lead;
}

// x (..., H, W, C) at grid (..., OH, OW, 2), to (..., OH, OW, C).
template <class T>
Tensor<T> grid_sample(const cpu::GridShape& s, const Tensor<T>& x, const Tensor<T>& grid) {
  const Work w = work_on(x, grid);
  const Shape lead = grid_lead(x.array(), grid.array());
  const Ref<Array> from = grouped(x.array(), lead, {1, 1, 1}), at = grouped(grid.array(), lead, {2, 1});
  Ref<Array> y = w.make(dtype_of<T>, lead + grid.shape().last(3).first(2) + Shape{s.c});
  launch_grid_sample<T>(w.stream(), w.operand<T, 4>(*from), w.operand<T, 3>(*at),
                        row_major(reinterpret_cast<T*>(y->data), {at->shape[0], at->shape[1], s.c}), rule_of(s));
  return Tensor<T>(std::move(y));
}
// g (..., OH, OW, C) added into (..., H, W, C).
template <class T>
Tensor<T> grid_scatter(const cpu::GridShape& s, const Tensor<T>& g, const Tensor<T>& grid) {
  const Work w = work_on(g, grid);
  const Shape lead = grid_lead(g.array(), grid.array());
  const Ref<Array> from = grouped(g.array(), lead, {2, 1}), at = grouped(grid.array(), lead, {2, 1});
  Ref<Array> dx = w.make(dtype_of<T>, lead + Shape{s.h, s.w, s.c});
  const std::int64_t sets = at->shape[0], m = 4 * at->shape[1];
  const Workspace row_memory(w, std::size_t(sets * m * s.c) * sizeof(T)),
      pixel_memory(w, std::size_t(sets * m) * sizeof(std::int32_t)),
      scratch(w, scatter_add_workspace<T>(sets, m, s.c, sets == 1));
  const auto rows = row_major(reinterpret_cast<T*>(row_memory.data()), {sets, m, s.c});
  const auto pixels = row_major(reinterpret_cast<std::int32_t*>(pixel_memory.data()), {sets, m});
  launch_grid_rows<T>(w.stream(), w.operand<T, 3>(*from), w.operand<T, 3>(*at), rows, pixels, s.h, s.w, rule_of(s));
  launch_scatter_add<T, std::int32_t>(w.stream(), row_major(reinterpret_cast<T*>(dx->data), {sets, s.h * s.w, s.c}),
                                      rows, pixels, false, scratch.data(), nullptr);
  return Tensor<T>(std::move(dx));
}
// The gradient of the grid (..., OH, OW, 2), from g (..., OH, OW, C) and x (..., H, W, C).
template <class T>
Tensor<T> grid_slope(const cpu::GridShape& s, const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& grid) {
  const Work w = work_on(g, x, grid);
  Shape lead = grid_lead(x.array(), grid.array());
  ergo::detail::broadcast(lead, g.shape().first(g.rank() - 3));
  const Ref<Array> from = grouped(g.array(), lead, {2, 1}), of = grouped(x.array(), lead, {1, 1, 1}),
                   at = grouped(grid.array(), lead, {2, 1});
  Ref<Array> y = w.make(dtype_of<T>, lead + grid.shape().last(3));
  launch_grid_slope<T>(w.stream(), w.operand<T, 3>(*from), w.operand<T, 4>(*of), w.operand<T, 3>(*at),
                       row_major(reinterpret_cast<T*>(y->data), {at->shape[0], at->shape[1], 2}), rule_of(s));
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

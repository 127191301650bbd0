// The engine under every pointwise operation on a CUDA device: broadcasting, allocation or reuse of the result, order
// among streams. Compiled once; the kernels (kernels/pointwise.cuh) are per operation and dtype.
#pragma once

#include "ergo/core/copy.hpp"
#include "ergo/core/op.hpp"
#include "ergo/cuda/backend.hpp"
#include "ergo/kernels/pointwise.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Runs `map` over the broadcast of the n inputs, into a dying one where that is possible. Numbers on the CPU travel
// with the launch.
inline void pointwise(const ergo::detail::Op& op, ergo::detail::Args x, int n, DType out, MapLaunch map,
                      const void* self, ergo::detail::Ref<ergo::detail::Array>* y, std::uint64_t dying) {
  using namespace ergo::detail;
  Shape shape;
  Device device;
  for (int i = 0; i < n; ++i) {
    if (!x[i]) continue;
    if (!ergo::detail::broadcast(shape, x[i]->shape)) fail(op.name, x, n, "shapes do not broadcast");
    if (!x[i]->device.is_cpu()) device = x[i]->device;
  }
  Ref<Array> r = reusable(x, out, shape, device, dying);
  const bool reused = bool(r);
  if (!r) r = Array::make(out, shape, device);
  MapCall call{};
  call.self = self;
  Walk<kMapOperands> axes;
  for (int d = 0; d < shape.rank(); ++d) {
    std::int64_t step[kMapOperands] = {};
    for (int i = 0; i < n; ++i) {
      const int own = x[i] ? d - (shape.rank() - x[i]->shape.rank()) : -1;
      if (own >= 0 && x[i]->shape[own] != 1) step[i] = x[i]->stride[own];
    }
    axes.add(shape[d], step);
  }
  axes.finish();
  call.rank = axes.rank;
  Stream& stream = current_stream(device);
  for (int d = 0; d < axes.rank; ++d) call.extent[d] = axes.extent[d];
  for (int i = 0; i < n; ++i) {
    MapCall::Operand& o = call.x[i];
    for (int d = 0; d < axes.rank; ++d) o.stride[d] = axes.stride[i][d];
    if (x[i] && !x[i]->device.is_cpu()) {
      o.data = x[i]->data;
      detail::read_on(stream, *x[i]->buffer);
    } else {
      std::memcpy(&o.value, x[i] ? static_cast<const void*>(x[i]->data) : kPoison,
                  std::size_t(x[i] ? size_of(x[i]->dtype) : 8));
    }
  }
  if (reused) detail::write_on(stream, *r->buffer);
  call.y = r->data;
  if (r->numel()) {
    const OnDevice on(device.index());
    map(stream, op.name, call);
  }
  y[0] = std::move(r);
}

}  // namespace ergo::inline ERGO_BUILD::cuda

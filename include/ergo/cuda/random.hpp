// Draws on a device: keys, which live on the CPU, as the kernels of kernels/random.cuh read them.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/dropout.cuh"
#include "ergo/kernels/random.cuh"
#include "ergo/kernels/random_integer.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// The material of keys in the memory of a device. One key travels with a launch.
inline Ref<Array> keys_on(Device d, const Array& keys) {
  if (keys.device == d) return ergo::detail::dense(keys);
  if (!keys.device.is_cpu() || keys.numel() != 1) return ergo::detail::to_device(keys, d);
  Ref<Array> r = Array::make(DType::int64, keys.shape, d);
  ergo::detail::fill_bytes(*r, keys.data);
  return r;
}

// `each` elements for each key: launch(stream, keys, number of keys, each, y).
template <class Out, class Launch>
Tensor<Out> draw(Device d, const Tensor<std::int64_t>& keys, const Shape& shape, const Launch& launch) {
  const Work w(d);
  const Ref<Array> k = keys_on(d, keys.array());
  Ref<Array> y = w.make(dtype_of<Out>, keys.shape() + shape);
  w.reads(*k);
  launch(w, ergo::detail::data_of<std::int64_t>(*k), k->numel(), shape.numel(), reinterpret_cast<Out*>(y->data));
  return Tensor<Out>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

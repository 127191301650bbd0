// Draws on a device: keys, which live on the CPU, as the kernels of kernels/random.cuh read them.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/dropout.cuh"
#include "ergo/kernels/random.cuh"
#include "ergo/kernels/random_integer.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// The material of keys as kernels read it: one key travels with the launch, several in the memory of the device.
class KeysOf {
 public:
  KeysOf(const Work& w, const Array& keys) : count(keys.numel()) {
    if (keys.device.is_cpu() && count == 1) {
      on_device = Keys(*ergo::detail::data_of<std::int64_t>(keys));
      return;
    }
    memory_ = keys.device == w.device() ? ergo::detail::dense(keys) : ergo::detail::to_device(keys, w.device());
    w.reads(*memory_);
    on_device = ergo::detail::data_of<std::int64_t>(*memory_);
  }
  std::int64_t count;
  Keys on_device{nullptr};

 private:
  Ref<Array> memory_;
};

// `each` elements for each key: launch(stream, keys, number of keys, each, y).
template <class Out, class Launch>
Tensor<Out> draw(Device d, const Tensor<std::int64_t>& keys, const Shape& shape, const Launch& launch) {
  const Work w(d);
  const KeysOf k(w, keys.array());
  Ref<Array> y = w.make(dtype_of<Out>, keys.shape() + shape);
  launch(w, k.on_device, k.count, shape.numel(), reinterpret_cast<Out*>(y->data));
  return Tensor<Out>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

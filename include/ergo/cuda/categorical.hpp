// categorical on a device: a launch.
#pragma once

#include "ergo/cuda/faults.hpp"
#include "ergo/cuda/random.hpp"
#include "ergo/kernels/categorical.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// x (lanes..., and `rank` axes, the last of categories), row-major, a key for each lane; check(x), on the CPU, throws
// for a row that cannot be drawn from.
template <class T, class I>
Ref<Array> categorical(const Array& x, const Array& keys, int rank, void (*check)(const Array&)) {
  const Work w(x.device);
  w.reads(x);
  const KeysOf k(w, keys);
  Ref<Array> y = w.make(dtype_of<I>, x.shape.first(x.shape.rank() - 1));
  const std::int64_t rows = y->numel();
  if (rows == 0) return y;
  launch_categorical<T, I>(w.stream(), reinterpret_cast<const T*>(x.data), k.on_device, reinterpret_cast<I*>(y->data),
                           rows, x.shape[-1], x.shape.last(rank).numel(), FaultList::expect(w.stream(), x, check));
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda

// cast on a device.
#pragma once

#include "ergo/core/cast.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/cast.cuh"

namespace ergo::inline ERGO_BUILD::detail {

template <class To, class From>
Ref<Array> cast_on_device(const Array& x) {
  const cuda::Work w(x.device);
  const Ref<Array> from = dense(x);
  Ref<Array> y = w.make(dtype_of<To>, x.shape);
  w.reads(*from);
  cuda::launch_cast<To, From>(w.stream(), data_of<From>(*from), data_of<To>(*y), y->numel());
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::detail

// Conditions on the elements of a tensor on a device: what does not meet them is told at the next wait (faults.hpp).
#pragma once

#include "ergo/cuda/faults.hpp"
#include "ergo/kernels/check.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// check: the CPU's, which throws for an element that does not meet the condition.
template <class T, class Meets>
void check_elements(const char* name, const Array& x, const Meets& meets, FaultList::Check check) {
  const Work w(x.device);
  const Ref<Array> from = ergo::detail::dense(x);
  w.reads(*from);
  launch_check_elements(w.stream(), name, reinterpret_cast<const T*>(from->data), from->numel(), meets,
                        FaultList::expect(w.stream(), *from, std::move(check)));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

// softmax and its kin on tensors, by kernels/softmax.cuh: one launch each.
#pragma once

#include "ergo/cuda/rows.hpp"
#include "ergo/kernels/softmax.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class T>
Tensor<T> softmax(const Tensor<T>& x, bool empty_is_zero) {
  return rows_to_rows(x, [&](const Work& w, View<const T, 2> from, View<T, 2> to) {
    const Workspace scratch(w, softmax_workspace<T>(to.shape[0], to.shape[1]));
    launch_softmax<T>(w.stream(), from, to, empty_is_zero, scratch.data());
  });
}
template <class T>
Tensor<T> log_softmax(const Tensor<T>& x, bool empty_is_zero) {
  return rows_to_rows(x, [&](const Work& w, View<const T, 2> from, View<T, 2> to) {
    const Workspace scratch(w, softmax_workspace<T>(to.shape[0], to.shape[1]));
    launch_log_softmax<T>(w.stream(), from, to, empty_is_zero, scratch.data());
  });
}
template <class T>
Tensor<T> softmax_vjp(const Tensor<T>& g, const Tensor<T>& y) {
  return rows_to_rows(g, y, [&](const Work& w, View<const T, 2> a, View<const T, 2> b, View<T, 2> to) {
    const Workspace scratch(w, softmax_workspace<T>(to.shape[0], to.shape[1]));
    launch_softmax_vjp<T>(w.stream(), a, b, to, scratch.data());
  });
}
template <class T>
Tensor<T> log_softmax_vjp(const Tensor<T>& g, const Tensor<T>& y) {
  return rows_to_rows(g, y, [&](const Work& w, View<const T, 2> a, View<const T, 2> b, View<T, 2> to) {
    const Workspace scratch(w, softmax_workspace<T>(to.shape[0], to.shape[1]));
    launch_log_softmax_vjp<T>(w.stream(), a, b, to, scratch.data());
  });
}
template <class T>
Tensor<T> logsumexp(const Tensor<T>& x) {
  const Work w = work_on(x);
  const Ref<Array> from = as_rows(x.array());
  Ref<Array> y = w.make(dtype_of<T>, x.shape().first(x.rank() - 1));
  const Workspace scratch(w, softmax_workspace<T>(from->shape[0], from->shape[1]));
  launch_logsumexp<T>(w.stream(), w.operand<T, 2>(*from),
                      row_major<T, 1>(reinterpret_cast<T*>(y->data), {from->shape[0]}), scratch.data());
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

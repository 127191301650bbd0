// How a scan of one input becomes an operation: ScanOp, by a rule that says its value and its derivatives; and what the
// running combinations of cumulative.hpp run on, on either device.
#pragma once

#include "ergo/cpu/scan_products.hpp"
#include "ergo/ops/scan.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// A scan of one input by a rule F: `run(x, axis from the front)` on either device, `forward(x, y, t)`, `backward(x, y,
// g)`.
template <class F>
struct ScanOp final : CopiedOp<ScanOp<F>> {
  using T = typename F::In;
  F f;
  explicit ScanOp(const F& rule) : CopiedOp<ScanOp>(F::name, 1), f(rule) {
    this->uses = uses_of<F>(Uses::inputs);
    this->on_cuda = true;
    if constexpr (requires { F::constant; }) this->differentiable = false;
  }
  int core(int) const { return f.axis; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    const Tensor<T> in = handle<Tensor<T>>(x[0]);
    y[0] = f.run(in, in.rank() - f.axis).ref();
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    if constexpr (requires { &F::backward; })
      if (wanted[0])
        dx[0] = f.backward(handle<Tensor<T>>(x[0]), handle<Tensor<T>>(y[0]), handle<Tensor<T>>(g[0])).ref();
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    if constexpr (requires { &F::forward; })
      if (t[0]) ty[0] = f.forward(handle<Tensor<T>>(x[0]), handle<Tensor<T>>(y[0]), handle<Tensor<T>>(t[0])).ref();
  }
};
template <class F>
Tensor<typename F::Out> scan_op(const F& f, const Tensor<typename F::In>& x) {
  Array* in[] = {&x.array()};
  return Tensor<typename F::Out>(dispatch1(ScanOp<F>(f), in));
}

template <class M, class T>
using RunningOf = std::conditional_t<std::is_integral_v<T> && std::is_same_v<M, cpu::ProductOf>, std::int64_t, T>;

// M so far, on either device.
template <class M, class T>
Tensor<RunningOf<M, T>> run_scan([[maybe_unused]] const char* name, const Tensor<T>& x, int axis,
                                 cpu::ScanOptions options) {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (!x.device().is_cpu()) {
    using Device = std::conditional_t<std::is_same_v<M, cpu::ProductOf>, ergo::cuda::ProductScan<T>,
                                      ergo::cuda::ExtremumScan<T, std::is_same_v<M, cpu::MaxOf>>>;
    return ergo::cuda::scan<Device>(name, x, axis, {options.reverse, options.exclusive});
  }
#endif
  if constexpr (Floating<T> && std::is_same_v<M, cpu::ProductOf>) {
    const auto products = &cpu::running_products<Compute<T>>;
    return Tensor<T>(std::is_same_v<T, Compute<T>>
                         ? products(x.array(), axis, options)
                         : cpu::narrowed(*products(*cpu::widened(x.array()), axis, options), dtype_of<T>));
  } else {
    return Tensor<RunningOf<M, T>>(cpu::cumulative<M, T, RunningOf<M, T>>(x.array(), axis, options));
  }
}

}  // namespace ergo::inline ERGO_BUILD::detail

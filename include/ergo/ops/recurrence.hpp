// The linear recurrence h[k] = a[k] h[k - 1] + b[k], h[-1] = 0, along an axis: what the derivatives of running products
// and of the running log-sum-exp are made of. Its own derivatives are recurrences again, those backwards in the other
// direction, so every order exists; nothing is divided.
#pragma once

#include "ergo/cpu/scan_states.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/axes.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/scan.hpp"
#endif

namespace ergo::inline ERGO_BUILD::detail {

using cpu::Recurrence;

template <class T>
Tensor<T> recurrence(Recurrence form, int axis, bool reverse, const Tensor<T>& a, const Tensor<T>& b);

// T is float or double.
template <class T>
struct RecurrenceOp final : CopiedOp<RecurrenceOp<T>> {
  Recurrence form;
  int axis;  // from the back: 1 is the last
  bool reverse;
  RecurrenceOp(Recurrence f, int k, bool r) : CopiedOp<RecurrenceOp>("recurrence", 2), form(f), axis(k), reverse(r) {
    this->on_cuda = true;
  }
  int core(int) const { return axis; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    Shape s = x[0]->shape;
    broadcast(s, x[1]->shape);
    const Tensor<T> a(broadcast_to(Ref<Array>::share(x[0]), s)), b(broadcast_to(Ref<Array>::share(x[1]), s));
    switch (form) {
      case Recurrence::inclusive:
        return void(y[0] = run<Recurrence::inclusive>(a, b));
      case Recurrence::late:
        return void(y[0] = run<Recurrence::late>(a, b));
      case Recurrence::exclusive:
        return void(y[0] = run<Recurrence::exclusive>(a, b));
    }
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    const Tensor<T> a = handle<Tensor<T>>(x[0]), b = handle<Tensor<T>>(x[1]), h = handle<Tensor<T>>(y[0]),
                    given = handle<Tensor<T>>(g[0]);
    // What reaches h[k], from all behind it and from g[k]; and what does without g[k], times a[k + 1].
    const auto back = [&](Recurrence f) { return recurrence(f, axis, !reverse, a, given); };
    const bool inclusive = form == Recurrence::inclusive;
    Tensor<T> reached;
    if (wanted[1]) {
      reached = back(inclusive                  ? Recurrence::late
                     : form == Recurrence::late ? Recurrence::inclusive
                                                : Recurrence::exclusive);
      dx[1] = cotangent_of("recurrence", reached.ref(), x[1]->shape);
    }
    if (wanted[0]) {
      const Tensor<T> da =
          inclusive ? (reached.defined() ? reached : back(Recurrence::late)) *
                          recurrence(Recurrence::exclusive, axis, reverse, a, b)
                    : (form == Recurrence::exclusive && reached.defined() ? reached : back(Recurrence::exclusive)) * h;
      dx[0] = cotangent_of("recurrence", da.ref(), x[0]->shape);
    }
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    const Tensor<T> a = handle<Tensor<T>>(x[0]), b = handle<Tensor<T>>(x[1]), h = handle<Tensor<T>>(y[0]);
    Tensor<T> sum;
    const auto gather = [&](const Tensor<T>& part) { sum = sum.defined() ? sum + part : part; };
    if (t[1]) gather(recurrence(form, axis, reverse, a, handle<Tensor<T>>(t[1])));
    if (t[0]) {
      const Tensor<T> ta = handle<Tensor<T>>(t[0]);
      if (form == Recurrence::inclusive)
        gather(recurrence(form, axis, reverse, a, ta * recurrence(Recurrence::exclusive, axis, reverse, a, b)));
      else
        gather(recurrence(Recurrence::exclusive, axis, reverse, a, ta * h));
    }
    if (sum.defined()) ty[0] = broadcast_to(sum.ref(), y[0]->shape);
  }

 private:
  template <Recurrence Form>
  Ref<Array> run(const Tensor<T>& a, const Tensor<T>& b) const {
    const int at = a.rank() - axis;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (!a.device().is_cpu())
      return ergo::cuda::scan<ergo::cuda::RecurrenceScan<T, ergo::cuda::Recurrence(Form)>>("recurrence", a, at,
                                                                                           {reverse, false}, b)
          .ref();
#endif
    const Array* in[] = {&a.array(), &b.array()};
    return cpu::running<cpu::detail::RecurrenceOf<T, Form>>(in, at, {.reverse = reverse});
  }
};
template <class T>
Tensor<T> recurrence(Recurrence form, int axis, bool reverse, const Tensor<T>& a, const Tensor<T>& b) {
  Array* in[] = {&a.array(), &b.array()};
  return Tensor<T>(dispatch1(RecurrenceOp<T>(form, axis, reverse), in));
}

}  // namespace ergo::inline ERGO_BUILD::detail

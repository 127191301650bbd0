// Updates: x with y put, or added, at some of its places; linear in x and in y, so both derivatives are operations of
// the same family. A struct gives
//
//   value(x, y, places)      the result; x or y may be null, which means zeros (a tangent that is not there)
//   of_x(g, places)          the cotangent of x from the result's
//   of_y(g, places)          that of y
//   core_of(i)               how many trailing axes of x, y, places are its own; the leading ones broadcast
//
// `places` are indices, never differentiated, or nothing at all (`static constexpr bool indexed = false`).
#pragma once

#include "ergo/cpu/assign.hpp"
#include "ergo/autograd/structural.hpp"

namespace ergo::inline ERGO_BUILD::detail {

template <class F>
struct UpdateOp final : CopiedOp<UpdateOp<F>> {
  F f;
  explicit UpdateOp(F s) : CopiedOp<UpdateOp>(F::name, F::indexed ? 3 : 2), f(std::move(s)) {
    this->uses = F::indexed ? Uses::others : Uses::nothing;
    this->on_cuda = requires { typename F::any_device; };
  }
  int core(int i) const { return f.core_of(i); }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { y[0] = f.value(x[0], x[1], places(x)); }
  void vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dx[0] = sum_to(f.of_x(*g[0], places(x)), shape_of(x[0], *g[0]));
    if (wanted[1]) dx[1] = sum_to(f.of_y(*g[0], places(x)), shape_of(x[1], *g[0]));
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    if (!t[0] && !t[1]) return;
    Array* in[] = {t[0], t[1], places(x)};
    // The input without a tangent may have had more leading axes than the other.
    ty[0] = broadcast_to(dispatch1(*this, in), y[0]->shape);
  }

 private:
  static Array* places(Args x) {
    if constexpr (F::indexed)
      return x[2];
    else
      return nullptr;
  }
};

template <class F>
Ref<Array> update(F f, Array* x, Array* y, Array* places = nullptr) {
  Array* in[] = {x, y, places};
  return dispatch1(UpdateOp<F>(std::move(f)), in);
}

}  // namespace ergo::inline ERGO_BUILD::detail

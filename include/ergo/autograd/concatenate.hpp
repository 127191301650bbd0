// Concatenation along an axis counted from the back: linear in any number of inputs.
#pragma once

#include <vector>

#include "ergo/autograd/structural.hpp"

namespace ergo::inline ERGO_BUILD::detail {

struct ConcatenateOp final : CopiedOp<ConcatenateOp> {
  int axis;  // from the back: 1 is the last
  std::vector<std::int64_t> extents;
  ConcatenateOp(int axis_from_back, std::vector<std::int64_t> n)
      : CopiedOp("concatenate", int(n.size())), axis(axis_from_back), extents(std::move(n)) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  int core(int) const { return axis; }

  // Leading axes broadcast: under vmap some inputs may be mapped and others not.
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    Shape lead;
    for (int i = 0; i < n_in; ++i) broadcast(lead, x[i]->shape.first(x[i]->shape.rank() - axis));
    Shape s = lead + x[0]->shape.last(axis);
    s[-axis] = 0;
    for (std::int64_t n : extents) s[-axis] += n;
    Ref<Array> r = Array::make(x[0]->dtype, s, x[0]->device);
    std::int64_t at = 0;
    for (int i = 0; i < n_in; ++i) {
      const std::int64_t n = extents[std::size_t(i)];
      const Ref<Array> part = SliceOp(axis, at, n, 1, false).view(*r);
      const AnyTensor wide =
          BroadcastTo{x[i]->shape.rank(), part->shape, x[i]->shape}.value(AnyTensor(Ref<Array>::share(x[i])));
      copy_strided(*part, wide.array());
      at += n;
    }
    y[0] = std::move(r);
  }
  void vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
    std::int64_t at = 0;
    for (int i = 0; i < n_in; ++i) {
      const std::int64_t n = extents[std::size_t(i)];
      if (wanted[i]) dx[i] = sum_to(dispatch1(SliceOp(axis, at, n, 1, false), g), shape_of(x[i], *g[0]));
      at += n;
    }
  }
  void jvp(Args t, Args, Args x, Ref<Array>* ty) const {
    std::vector<Ref<Array>> zero(extents.size());
    std::vector<Array*> in(extents.size());
    for (int i = 0; i < n_in; ++i) {
      if (!t[i]) zero[std::size_t(i)] = zeroed(x[i]->dtype, x[i]->shape, x[i]->device);
      in[std::size_t(i)] = t[i] ? t[i] : zero[std::size_t(i)].get();
    }
    dispatch(*this, in.data(), ty);
  }
};

// Arrays of equal shapes but for the axis, which is counted from the back; checked by the caller.
ERGO_ONCE Ref<Array> concatenate(const std::vector<Ref<Array>>& parts, int axis_from_back) {
  std::vector<std::int64_t> extents;
  std::vector<Array*> in;
  for (const auto& p : parts) {
    extents.push_back(p->shape[-axis_from_back]);
    in.push_back(p.get());
  }
  if (parts.size() == 1) return parts[0];
  return dispatch1(ConcatenateOp(axis_from_back, std::move(extents)), in.data());
}

}  // namespace ergo::inline ERGO_BUILD::detail

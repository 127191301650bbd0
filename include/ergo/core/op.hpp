// An operation, erased: how it computes, and what the recording layer asks of it. A kernel runs straight from
// `dispatch`; operands traced by an open transform go to autograd's tracer, the only thing of that layer which is known
// here.
#pragma once

#include "ergo/core/array.hpp"

namespace ergo::inline ERGO_BUILD {

// What a derivative rule reads in the backward sweep; only that is kept alive. `others`: input j is kept if another
// input is differentiated (products).
enum class Uses : std::uint8_t { nothing = 0, output = 1, inputs = 2, all = 3, others = 4 };

namespace detail {

struct Input {  // x: the kept value, a husk (shape only), or null (the output's shape); to: where its cotangent gathers
  Ref<Array> x;
  Slot* to = nullptr;
};
struct Wanted {  // which inputs a vjp must serve
  const Input* in;
  bool operator[](int i) const { return in[i].to != nullptr; }
};

struct Op {
  const char* name;
  int n_in, n_out = 1;
  Uses uses = Uses::all;
  bool differentiable = true;           // false: the result is a constant (comparison, argmax, stop_gradient)
  bool has_vjp = true, has_jvp = true;  // false: that mode traces the definition instead
  bool leading_axes_free = true;        // false: vmap traces the definition instead
  bool gathers = false;                 // true: vjp adds into dx, which arrives holding what has gathered so far
  constexpr Op(const char* s, int n) : name(s), n_in(n) {}

  // The kernel; all inputs at depth 0. Bit i of `dying`: input i's memory may become the result's.
  virtual void value(Args x, Ref<Array>* y, std::uint64_t dying) const = 0;
  // The same in public, differentiable operations.
  virtual void definition(Args x, Ref<Array>*) const {
    fail(name, x, n_in, "this operation has no derivative in this mode");
  }
  virtual void vjp(Args /*g*/, Args /*y*/, Args /*x*/, Wanted, Ref<Array>* /*dx*/) const {}
  virtual void jvp(Args /*t*/, Args /*y*/, Args /*x*/, Ref<Array>* /*ty*/) const {}
  // How many trailing axes of input i the operation consumes itself; the leading ones broadcast.
  virtual int core(int) const { return 0; }
  // A stateless operation keeps itself, another a copy that `drop` frees.
  virtual const Op* keep() const { return this; }
  virtual void drop() const {}

  bool keeps(int others_tracked) const {
    return (int(uses) & int(Uses::inputs)) || ((int(uses) & int(Uses::others)) && others_tracked);
  }

 protected:
  ~Op() = default;
};

// An operation with attributes: copied when it is recorded.
template <class Self>
struct CopiedOp : Op {
  using Op::Op;
  const Op* keep() const final { return new (allocate(sizeof(Self))) Self(static_cast<const Self&>(*this)); }
  void drop() const final {
    auto* s = const_cast<Self*>(static_cast<const Self*>(this));
    s->~Self();
    deallocate(s, sizeof(Self));
  }

 protected:
  ~CopiedOp() = default;
};

// Counted per thread, for tests: operations that reached a kernel.
inline constinit thread_local std::int64_t kernels_run = 0;

using Tracer = void (*)(const Op&, int depth, Args x, Ref<Array>* y, std::uint64_t dying);
inline constinit Tracer tracer = nullptr;  // set by the first transform that opens; nothing is traced before

// The one dispatcher: no traced input, run the kernel; else peel the highest level.
inline void dispatch(const Op& op, Args x, Ref<Array>* y, std::uint64_t dying = 0) {
  int depth = 0;
  for (int i = 0; i < op.n_in; ++i)
    if (x[i] && x[i]->depth > depth) depth = x[i]->depth;
  if (depth == 0) [[likely]] {
    ++kernels_run;
    op.value(x, y, dying);
  } else {
    __atomic_load_n(&tracer, __ATOMIC_RELAXED)(op, depth, x, y, dying);
  }
}
inline Ref<Array> dispatch1(const Op& op, Args x, std::uint64_t dying = 0) {
  Ref<Array> y;
  dispatch(op, x, &y, dying);
  return y;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD

// An operation, erased: how it computes, and what the recording layer asks of it. A kernel runs straight from
// `dispatch`; operands traced by an open transform go to autograd's tracer, the only thing of that layer which is known
// here.
#pragma once

#include <cstdlib>

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

struct Op;

// What an operation does, as plain functions. Not virtual ones: a compiler keeps every virtual function of every class
// it has seen until late, for it might be called, and optimises it; what stands in a table that nobody reaches is gone
// at once. Null: the operation has none.
struct OpFunctions {
  void (*value)(const Op&, Args x, Ref<Array>* y, std::uint64_t dying);
  void (*definition)(const Op&, Args x, Ref<Array>* y);
  void (*vjp)(const Op&, Args g, Args y, Args x, Wanted, Ref<Array>* dx);
  void (*jvp)(const Op&, Args t, Args y, Args x, Ref<Array>* ty);
  int (*core)(const Op&, int);
  const Op* (*keep)(const Op&);
  void (*drop)(const Op&);
};

struct Op {
  const OpFunctions* functions;
  const char* name;
  int n_in, n_out = 1;
  Uses uses = Uses::all;
  bool differentiable = true;           // false: the result is a constant (comparison, argmax, stop_gradient)
  bool has_vjp = true, has_jvp = true;  // false: that mode traces the definition instead
  bool leading_axes_free = true;        // false: vmap traces the definition instead
  bool gathers = false;                 // true: vjp adds into dx, which arrives holding what has gathered so far
  bool on_cuda = false;                 // true: `value` takes operands on a CUDA device

  // The kernel; all inputs at depth 0. Bit i of `dying`: input i's memory may become the result's.
  void value(Args x, Ref<Array>* y, std::uint64_t dying) const { functions->value(*this, x, y, dying); }
  // The same in public, differentiable operations.
  void definition(Args x, Ref<Array>* y) const {
    if (!functions->definition) fail(name, x, n_in, "this operation has no derivative in this mode");
    functions->definition(*this, x, y);
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    if (functions->vjp) functions->vjp(*this, g, y, x, wanted, dx);
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    if (functions->jvp) functions->jvp(*this, t, y, x, ty);
  }
  // How many trailing axes of input i the operation consumes itself; the leading ones broadcast.
  int core(int i) const { return functions->core ? functions->core(*this, i) : 0; }
  // A stateless operation keeps itself, another a copy that `drop` frees.
  const Op* keep() const { return functions->keep ? functions->keep(*this) : this; }
  void drop() const {
    if (functions->drop) functions->drop(*this);
  }

  bool keeps(int others_tracked) const {
    return (int(uses) & int(Uses::inputs)) || ((int(uses) & int(Uses::others)) && others_tracked);
  }

 protected:
  constexpr Op(const OpFunctions* f, const char* s, int n) : functions(f), name(s), n_in(n) {}
  ~Op() = default;
};

// The members of class Self that hide those of Op.
template <class Self>
constexpr OpFunctions op_functions_of() {
  OpFunctions f{};
  f.value = [](const Op& o, Args x, Ref<Array>* y, std::uint64_t dying) {
    static_cast<const Self&>(o).value(x, y, dying);
  };
  if constexpr (!std::is_same_v<decltype(&Self::definition), decltype(&Op::definition)>)
    f.definition = [](const Op& o, Args x, Ref<Array>* y) { static_cast<const Self&>(o).definition(x, y); };
  if constexpr (!std::is_same_v<decltype(&Self::vjp), decltype(&Op::vjp)>)
    f.vjp = [](const Op& o, Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) {
      static_cast<const Self&>(o).vjp(g, y, x, wanted, dx);
    };
  if constexpr (!std::is_same_v<decltype(&Self::jvp), decltype(&Op::jvp)>)
    f.jvp = [](const Op& o, Args t, Args y, Args x, Ref<Array>* ty) { static_cast<const Self&>(o).jvp(t, y, x, ty); };
  if constexpr (!std::is_same_v<decltype(&Self::core), decltype(&Op::core)>)
    f.core = [](const Op& o, int i) { return static_cast<const Self&>(o).core(i); };
  if constexpr (!std::is_same_v<decltype(&Self::keep), decltype(&Op::keep)>) {
    f.keep = [](const Op& o) { return static_cast<const Self&>(o).keep(); };
    f.drop = [](const Op& o) { static_cast<const Self&>(o).drop(); };
  }
  return f;
}
template <class Self>
struct OpTable {
  static const OpFunctions functions;
};
template <class Self>
constinit const OpFunctions OpTable<Self>::functions = op_functions_of<Self>();

// A stateless operation: `struct Cast final : OpOf<Cast>`.
template <class Self>
struct OpOf : Op {
  constexpr OpOf(const char* s, int n) : Op(&OpTable<Self>::functions, s, n) {}

 protected:
  ~OpOf() = default;
};

// An operation with attributes: copied when it is recorded.
template <class Self>
struct CopiedOp : OpOf<Self> {
  using OpOf<Self>::OpOf;
  const Op* keep() const { return new (allocate(sizeof(Self))) Self(static_cast<const Self&>(*this)); }
  void drop() const {
    auto* s = const_cast<Self*>(static_cast<const Self*>(this));
    s->~Self();
    deallocate(s, sizeof(Self));
  }

 protected:
  ~CopiedOp() = default;
};

// The operands of a kernel lie on one device that the operation knows. Numbers, of rank 0 on the CPU, go with any.
[[gnu::cold]] ERGO_ONCE void check_on_cuda(const Op& op, Args x) {
  const Array* first = nullptr;
  for (int i = 0; i < op.n_in; ++i)
    if (x[i] && (!x[i]->device.is_cpu() || x[i]->shape.rank() > 0)) {
      if (!first) first = x[i];
      if (x[i]->device != first->device)
        fail(op.name, x, op.n_in, {"operands on ", first->device, " and ", x[i]->device, ": x.to(device) first"});
    }
  if (!op.on_cuda) fail(op.name, x, op.n_in, "this operation has no CUDA kernel yet: x.cpu() first");
}
// Whether an operand lies on a CUDA device; never in a CPU build.
inline bool on_device(Args x, int n) {
  if constexpr (kCuda) {
    for (int i = 0; i < n; ++i)
      if (x[i] && !x[i]->device.is_cpu()) return true;
  }
  return false;
}

// ERGO_CUDA_SYNC=1: each operation on a device is waited for, so that errors surface where they are made.
[[gnu::cold]] ERGO_ONCE void wait_for_results(const Ref<Array>* y, int n) {
  for (int i = 0; i < n; ++i)
    if (y[i] && !y[i]->device.is_cpu()) return backend(y[i]->device).synchronize(y[i]->device);
}
inline void wait_if_asked(const Ref<Array>* y, int n) {
  if constexpr (kCuda) {
    static const bool asked = [] {
      const char* mode = std::getenv("ERGO_CUDA_SYNC");
      return mode && mode[0] == '1' && mode[1] == 0;
    }();
    if (asked) wait_for_results(y, n);
  }
}

// A dying input that can become the result: of its dtype, shape and device, alone on memory of its own.
inline Ref<Array> reusable(Args x, DType out, const Shape& s, Device device, std::uint64_t dying) {
  for (int i = 0; dying >> i; ++i) {
    if (!(dying >> i & 1)) continue;
    Array& a = *x[i];
    if (a.dtype == out && a.contiguous && unique(a.refs) && a.buffer && !a.buffer->borrowed && unique(a.buffer->refs) &&
        a.device == device && a.shape == s)
      return Ref<Array>::share(&a);
  }
  return {};
}

// Stands for a value that `uses` did not keep: NaN in every floating type.
inline constexpr unsigned char kPoison[8] = {255, 255, 255, 255, 255, 255, 255, 255};

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
    if (on_device(x, op.n_in)) check_on_cuda(op, x);
    op.value(x, y, dying);
    wait_if_asked(y, op.n_out);
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

// What draws stand on: a cpu draw as an operation on a key, which vmap maps and no derivative sees; and how they read
// their parameters.
#pragma once

#include "ergo/cpu/random.hpp"
#include "ergo/cpu/storage.hpp"
#include "ergo/ops/key.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/checks.hpp"
#include "ergo/cuda/random.hpp"
#endif

namespace ergo::inline ERGO_BUILD {
namespace detail {

template <class P, class T>
concept ParameterOf = Number<P> || std::is_same_v<P, T> || std::is_same_v<P, Tensor<T>>;

// The elements of a cpu draw, of shape `shape` for each key; Out is stored as Kind's type is, or rounded from it.
template <class Out, class Kind>
struct DrawOp {
  static constexpr auto name = "random";
  static constexpr bool constant = true;
  Kind kind;
  Shape shape;
  Tensor<Out> value(const Tensor<std::int64_t>& keys) const {
    using T = typename Kind::value_type;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (const Device d = default_device(); !d.is_cpu())
      return ergo::cuda::draw<Out>(d, keys, shape, [&](const ergo::cuda::Work& w, auto... x) {
        ergo::cuda::launch_draw(w.stream(), kind, x...);
      });
#endif
    constexpr bool rounds = sizeof(Out) != sizeof(T);
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(rounds ? DType::float32 : dtype_of<Out>, keys.shape() + shape);
    cpu::draw(kind, data_of<std::int64_t>(*k), k->numel(), shape.numel(), data_of<T>(*r));
    if constexpr (rounds) r = cpu::narrowed(*r, dtype_of<Out>);
    return Tensor<Out>(on_device(std::move(r), default_device()));
  }
};
template <class Out, class Kind>
Tensor<Out> draw(const char* op, const Kind& kind, const Key& key, const Shape& shape) {
  check_one_key(op, key);
  shape.numel();  // an Error if it overflows or an extent is negative
  return linear_op(DrawOp<Out, Kind>{kind, shape}, key.material);
}

// The random bits that fill T's fraction, so that [0, 1) never rounds to 1.
template <class T>
inline constexpr int uniform_bits = std::is_same_v<T, half>       ? 11
                                    : std::is_same_v<T, bfloat16> ? 8
                                    : sizeof(T) == 4              ? 24
                                                                  : 53;

// The identity that refuses elements out of range, whatever transforms are open: derivatives pass. On a device the
// refusal comes at the next wait.
enum class Requirement { positive, positive_finite, not_negative, probability };
struct Meets {
  Requirement what;
  constexpr bool operator()(double v) const {
    switch (what) {
      case Requirement::positive:
        return v > 0;
      case Requirement::positive_finite:
        return v > 0 && v < __builtin_inf();
      case Requirement::not_negative:
        return v >= 0 && v < __builtin_inf();
      case Requirement::probability:
        return v >= 0 && v <= 1;
    }
    return false;
  }
};
struct RequireOp final : CopiedOp<RequireOp> {
  using OnDevice = void (*)(const Array&, const RequireOp&);  // null in a CPU build
  Meets meets;
  const char* quantity;
  OnDevice device;
  RequireOp(const char* op, Requirement r, const char* q, OnDevice d)
      : CopiedOp(op, 1), meets{r}, quantity(q), device(d) {
    uses = Uses::nothing;
    on_cuda = kCuda;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    if (x[0]->device.is_cpu())
      check(*dense(*x[0]));
    else
      device(*x[0], *this);
    y[0] = Ref<Array>::share(x[0]);
  }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dx[0] = Ref<Array>::share(g[0]);
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) ty[0] = Ref<Array>::share(t[0]);
  }
  // Of elements on the CPU, row-major.
  void check(const Array& a) const {
    with_floating(a.dtype, [&]<class T>(T) {
      const T* p = data_of<T>(a);
      for (std::int64_t i = 0, n = a.numel(); i < n; ++i)
        if (const double v = double(p[i]); !meets(v)) fail_at(a, i, v);
    });
  }

 private:
  [[noreturn, gnu::cold]] void fail_at(const Array& a, std::int64_t i, double v) const {
    Shape at = a.shape;
    for (int d = at.rank(); d-- > 0; i /= a.shape[d]) at[d] = i % a.shape[d];
    fail(name, a,
         {quantity, " is ", v, (at.rank() ? " at " + to_string(at) : ""), ", not ",
          (meets.what == Requirement::positive          ? "positive"
           : meets.what == Requirement::positive_finite ? "positive and finite"
           : meets.what == Requirement::not_negative    ? "finite and at least 0"
                                                        : "in [0, 1]")});
  }
};
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T>
void require_on_device(const Array& x, const RequireOp& op) {
  ergo::cuda::check_elements<T>(op.name, x, op.meets, [op](const Array& read) { op.check(read); });
}
#endif
template <class T>
Tensor<T> require(const char* op, const Tensor<T>& x, Requirement what, const char* quantity) {
  Array* in[] = {&x.array()};
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  return Tensor<T>(dispatch1(RequireOp(op, what, quantity, &require_on_device<T>), in));
#else
  return Tensor<T>(dispatch1(RequireOp(op, what, quantity, nullptr), in));
#endif
}

// A parameter as a tensor that broadcasts to `shape`.
template <class T, class P>
Tensor<T> parameter(const char* op, const P& p, const Shape& shape) {
  if constexpr (is_tensor<P>) {
    Shape s = shape;
    if (!broadcast(s, p.shape()) || s != shape)
      fail(op, p.array(), {"this parameter does not broadcast to the shape ", shape});
    return p;
  } else {
    return Tensor<T>(convert<T>(p));
  }
}
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD

// map(F{}, x, y, ...): a user's own pointwise function as one fused loop, differentiable without a written derivative.
// F is a stateless struct at namespace scope whose operator() is a template over its argument types:
//
//   struct Swish {
//     template <class A> constexpr A operator()(A x, A b) const { return x / (A(1) + ergo::exp(-(b * x))); }
//   };
//
// Derivatives to the third order come from nested dual numbers over packs; their directions are run-time data, so one
// loop an order serves any number of arguments. With an `if` on values, F says `static constexpr bool branches = true`
// and is evaluated one element at a time. The fourth derivative is an Error.
#pragma once

#include "ergo/autograd/dual.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

inline constexpr int kMapOrder = 3;
struct Directions {  // the argument that each order differentiates with respect to
  std::int8_t at[kMapOrder] = {};
};

// K nested duals over V; argument i is seeded with 1 at the levels whose direction is i.
template <class V, int K>
struct Jet {
  using Below = Jet<V, K - 1>;
  using type = Dual<typename Below::type>;
  static ERGO_INLINE constexpr type seed(const V& x, int i, const std::int8_t* direction) {
    return {Below::seed(x, i, direction), typename Below::type(direction[K - 1] == i ? 1.0 : 0.0)};
  }
  static ERGO_INLINE constexpr V top(const type& j) { return Below::top(j.d); }
};
template <class V>
struct Jet<V, 0> {
  using type = V;
  static ERGO_INLINE constexpr V seed(const V& x, int, const std::int8_t*) { return x; }
  static ERGO_INLINE constexpr V top(const V& j) { return j; }
};
template <class F>
constexpr bool has_branches() {
  if constexpr (requires { F::branches; })
    return F::branches;
  else
    return false;
}

template <class F, int K, class C, int N, int... A>
ERGO_INLINE C map_scalar(const std::int8_t* direction, const C* x, std::integer_sequence<int, A...>) {
  using J = Jet<C, K>;
  return J::top(F{}(J::seed(x[A], A, direction)...));
}
// The K-th derivative of F along directions, on packs; with `Scaled`, times a first operand.
template <class F, int K, bool Scaled, class C, int N>
struct MapBody {
  template <cpu::Isa I>
  static ERGO_INLINE void run(const void* self, std::byte* y, const std::byte* const* x, const cpu::PackRows& rows) {
    run_operands<I>(static_cast<const Directions*>(self)->at, y, x, rows,
                    std::make_integer_sequence<int, N + Scaled>{});
  }

 private:
  template <cpu::Isa I, int... A>
  static ERGO_INLINE void run_operands(const std::int8_t* direction, std::byte* y, const std::byte* const* x,
                                       const cpu::PackRows& rows, std::integer_sequence<int, A...>) {
    const auto eval = [direction](const auto&... operand) __attribute__((always_inline)) {
      if constexpr (Scaled)
        return scaled(direction, operand...);
      else
        return evaluate_map(direction, operand...);
    };
    cpu::detail::run_packs<I, false, C, std::enable_if_t<A >= 0, C>...>(eval, y, x, rows,
                                                                        std::make_index_sequence<sizeof...(A)>{});
  }
  template <class V, class... X>
  static ERGO_INLINE V scaled(const std::int8_t* direction, const V& s, const X&... x) {
    return s * evaluate_map(direction, x...);
  }
  template <class V, class... X>
  static ERGO_INLINE V evaluate_map(const std::int8_t* direction, const V& x, const X&... rest) {
    if constexpr (has_branches<F>()) {
      V r;
      for (int lane = 0; lane < V::kLanes; ++lane) {
        const C at[] = {x[lane], rest[lane]...};
        r.set(lane, map_scalar<F, K, C, N>(direction, at, std::make_integer_sequence<int, N>{}));
      }
      return r;
    } else {
      return on_packs(direction, std::make_integer_sequence<int, N>{}, x, rest...);
    }
  }
  template <int... A, class V, class... X>
  static ERGO_INLINE V on_packs(const std::int8_t* direction, std::integer_sequence<int, A...>, const V& x,
                                const X&... rest) {
    using J = Jet<V, K>;
    const V* at[] = {&x, &rest...};
    return J::top(F{}(J::seed(*at[A], A, direction)...));
  }
};
template <class F, int K, bool Scaled, class C, int N>
inline constexpr cpu::Loop map_loop = cpu::detail::make_loop<MapBody<F, K, Scaled, C, N>, true, C>();

// The same on the scalars of a device. nvcc refuses an F whose operator() is not constexpr.
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class F, int K, bool Scaled, int N>
struct MapOnDevice {
  Directions directions;
  static MapOnDevice from(const void* self) { return {*static_cast<const Directions*>(self)}; }
  template <class V, class... X>
  __device__ __forceinline__ V operator()(const V& x, const X&... rest) const {
    if constexpr (Scaled)
      return x * derivative(std::make_integer_sequence<int, N>{}, rest...);
    else
      return derivative(std::make_integer_sequence<int, N>{}, x, rest...);
  }

 private:
  template <int... A, class V, class... X>
  __device__ __forceinline__ V derivative(std::integer_sequence<int, A...>, const V& x, const X&... rest) const {
    using J = Jet<V, K>;
    const V at[] = {x, rest...};
    return J::top(F{}(J::seed(at[A], A, directions.at)...));
  }
};
#else
template <class F, int K, bool Scaled, int N>
struct MapOnDevice;
#endif
template <class F, int K, bool Scaled, class T, int N, int... A>
constexpr PointwiseKernels map_kernels_of(std::integer_sequence<int, A...>) {
  return kernels_of<MapOnDevice<F, K, Scaled, N>, T, std::enable_if_t<(A >= 0), T>...>(
      map_loop<F, K, Scaled, Compute<T>, N>);
}
template <class F, int K, bool Scaled, class T, int N>
inline constexpr PointwiseKernels map_kernels =
    map_kernels_of<F, K, Scaled, T, N>(std::make_integer_sequence<int, N + Scaled>{});

// What a map of F needs, per dtype: kernels for each order, and the scaled first one (the fused vjp).
struct MapKernels {
  int arguments;
  DType dtype;
  PointwiseKernels order[kMapOrder + 1], scaled;
  Ref<Array> (*multiply)(Array*, Array*);
};

class MapOp final : public CopiedOp<MapOp> {
 public:
  MapOp(const MapKernels* kernels, int order, bool scaled, Directions d)
      : CopiedOp("map", kernels->arguments + (scaled ? 1 : 0)),
        kernels_(kernels),
        order_(order),
        scaled_(scaled),
        directions_(d) {
    uses = Uses::inputs;
    if (scaled) has_vjp = has_jvp = false;
    on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t dying) const {
    run_pointwise(*this, x, n_in, kernels_->dtype, scaled_ ? kernels_->scaled : kernels_->order[order_], &directions_,
                  y, dying);
  }
  void definition(Args x, Ref<Array>* y) const {  // of the scaled first derivative
    const Ref<Array> d = dispatch1(MapOp(kernels_, order_, false, directions_), x + 1);
    y[0] = kernels_->multiply(x[0], d.get());
  }
  void vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
    for (int i = 0; i < n_in; ++i)
      if (wanted[i]) dx[i] = sum_to(times_partial(g[0], i, x), shape_of(x[i], *g[0]));
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    for (int i = 0; i < n_in; ++i) {
      if (!t[i]) continue;
      Ref<Array> p = times_partial(t[i], i, x);
      ty[0] = ty[0] ? add(std::move(ty[0]), std::move(p)) : std::move(p);
    }
    if (ty[0]) ty[0] = broadcast_to(std::move(ty[0]), y[0]->shape);
  }

 private:
  Ref<Array> times_partial(Array* s, int i, Args x) const {
    if (order_ == kMapOrder)
      fail("map", x, n_in,
           "differentiated more than three times; write a Pointwise struct (value and partial) instead");
    Directions d = directions_;
    d.at[order_] = std::int8_t(i);
    if (order_ == 0) {
      Array* in[cpu::kMaxOperands] = {s};
      for (int k = 0; k < n_in; ++k) in[1 + k] = kept(x[k]);
      return dispatch1(MapOp(kernels_, 1, true, d), in);
    }
    const Ref<Array> p = dispatch1(MapOp(kernels_, order_ + 1, false, d), x);
    return kernels_->multiply(s, p.get());
  }
  const MapKernels* kernels_;
  int order_;
  bool scaled_;
  Directions directions_;
};

template <class T>
Ref<Array> multiply_arrays(Array* a, Array* b) {
  Array* in[] = {a, b};
  return dispatch1(Pointwise<Multiply, T, T, T>::op, in);
}
template <class F, class T, int N>
inline constexpr MapKernels map_table = {N,
                                         dtype_of<T>,
                                         {map_kernels<F, 0, false, T, N>, map_kernels<F, 1, false, T, N>,
                                          map_kernels<F, 2, false, T, N>, map_kernels<F, 3, false, T, N>},
                                         map_kernels<F, 1, true, T, N>,
                                         &multiply_arrays<T>};

}  // namespace detail

// F on the broadcast of floating tensors of one dtype, at most nine.
template <class F, class T, class... X>
Tensor<T> map(F, const Tensor<T>& x, const X&... rest) {
  constexpr bool stateless = std::is_empty_v<F> && std::is_default_constructible_v<F>;
  static_assert(stateless,
                "map(F{}, x...): F must be a stateless struct at namespace scope, not a lambda that captures");
  static_assert(Floating<T>, "map works on floating tensors: cast<float>(x) first");
  static_assert((std::is_same_v<Tensor<T>, X> && ...), "map: all tensors must have the same dtype: cast<U>(x) first");
  static_assert(2 + sizeof...(X) <= cpu::kMaxOperands, "map takes at most nine tensors");
  if constexpr (stateless && Floating<T> && (std::is_same_v<Tensor<T>, X> && ...)) {
    detail::Array* in[] = {&x.array(), &rest.array()...};
    const detail::MapOp op(&detail::map_table<F, T, 1 + int(sizeof...(X))>, 0, false, {});
    return Tensor<T>(detail::dispatch1(op, in));
  } else {
    return Tensor<T>();
  }
}

}  // namespace ergo::inline ERGO_BUILD

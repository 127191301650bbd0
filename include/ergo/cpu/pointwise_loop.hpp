// The loop of a pointwise operation: one body over packs, instantiated per operation, dtype and instruction set. What
// is strided, broadcast or parallel is the engine's business (cpu/pointwise.hpp); here every operand is dense or one
// value.
#pragma once

#include <cstring>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// y[i] for i in [0, n) from operands whose step is 0 (one value for all) or the size of an element. `self` is the
// operation's own data, if it has any. y may be the very memory of an operand.
using Loop = void (*)(const void* self, std::byte* y, const std::byte* const* x, const std::int64_t* step,
                      std::int64_t n);

namespace detail {

// The type that decides how many lanes fit a register: the widest that is computed with; bools take what the others
// need.
template <class... T>
struct WidestOf {
  using type = std::uint8_t;
};
template <class T, class... Rest>
struct WidestOf<T, Rest...> {
  using Tail = typename WidestOf<Rest...>::type;
  using C = Compute<T>;
  using type =
      std::conditional_t<!std::is_same_v<T, bool> &&
                             (sizeof(C) > sizeof(Tail) || (sizeof(C) == sizeof(Tail) && std::is_floating_point_v<C>)),
                         C, Tail>;
};
template <class T, class Widest, int W>
using OperandOf = std::conditional_t<std::is_same_v<T, bool>, Mask<Widest, W>, Pack<Compute<T>, W>>;

template <class T>
ERGO_INLINE void replicate(std::byte* to, const std::byte* value, int lanes) {
  for (int i = 0; i < lanes; ++i) std::memcpy(to + i * int(sizeof(T)), value, sizeof(T));
}

// The few bytes of a tail; one element, the common case of scalars, without a call.
template <class T>
ERGO_INLINE void copy_tail(std::byte* to, const std::byte* from, std::size_t count) {
  if (count == 1)
    std::memcpy(to, from, sizeof(T));
  else
    std::memcpy(to, from, count * sizeof(T));
}

// The tail and zeros behind it, W elements in all.
template <class T, int W>
ERGO_INLINE void pad_tail(std::byte* to, const std::byte* from, std::size_t count) {
  std::memset(to, 0, W * sizeof(T));
  copy_tail<T>(to, from, count);
}

// The n % W last elements take the same path through padded copies, so that an element does not depend on n and nothing
// outside is read or written. `Unrolled` repeats the body fourfold: what an operation of one instruction needs to keep
// up with the second-level cache, and four times the code.
template <Isa I, bool Unrolled, class Out, class... In, class Eval, std::size_t... K>
ERGO_INLINE void run_packs(const Eval& eval, std::byte* y, const std::byte* const* x, const std::int64_t* step,
                           std::int64_t n, std::index_sequence<K...>) {
  using Widest = typename WidestOf<Out, In...>::type;
  constexpr int W = kRegisterBytes<I> / int(sizeof(Widest));
  constexpr int kOperands = int(sizeof...(In));
  alignas(64) std::byte padded[kOperands][64];  // written before use: clearing it costs more than a short loop
  alignas(64) std::byte last[64];
  const std::byte* p[kOperands] = {x[K]...};
  const std::int64_t advance[kOperands] = {step[K] * W...};
  (((step[K] == 0) ? (replicate<In>(padded[K], x[K], W), void(p[K] = padded[K])) : void()), ...);
  std::byte* q = y;
  std::byte* tail = nullptr;
  std::size_t whole = std::size_t(n) / W;
  const std::size_t rest = std::size_t(n) % W;
  const auto one = [&]() __attribute__((always_inline)) {
    store_as(reinterpret_cast<Out*>(q), eval(load_as<OperandOf<In, Widest, W>>(reinterpret_cast<const In*>(p[K]))...));
    ((p[K] += advance[K]), ...);
    q += W * int(sizeof(Out));
  };
  if constexpr (Unrolled) {
    for (; whole >= 4; whole -= 4) {
      one();
      one();
      one();
      one();
    }
  }
  for (;;) {
    for (; whole > 0; --whole) one();
    if (tail) {
      copy_tail<Out>(tail, last, rest);
      return;
    }
    if (rest == 0) return;
    ((step[K] ? (pad_tail<In, W>(padded[K], p[K], rest), void(p[K] = padded[K])) : void()), ...);
    tail = q;
    q = last;
    whole = 1;
  }
}

template <class F, class Out, class... In>
struct StaticBody {  // F::value(x...), a stateless function of packs
  template <Isa I>
  static ERGO_INLINE void run(const void*, std::byte* y, const std::byte* const* x, const std::int64_t* step,
                              std::int64_t n) {
    const auto eval = [](const auto&... operand) __attribute__((always_inline)) { return F::value(operand...); };
    constexpr bool kLight = requires { typename F::light; };
    run_packs<I, kLight, Out, In...>(eval, y, x, step, n, std::index_sequence_for<In...>{});
  }
};

}  // namespace detail

// The loop of `F::value`, for the instruction set in use, unrolled if F is `light` (an instruction or two); for the
// compiler's own alone if F is `rare` (met in derivatives of second order, say), which takes a third of the time to
// compile.
template <class F, class Out, class... In>
void pointwise_loop(const void* self, std::byte* y, const std::byte* const* x, const std::int64_t* step,
                    std::int64_t n) {
  using Body = detail::StaticBody<F, Out, In...>;
  if constexpr (requires { typename F::rare; })
    detail::run_sse2<Body>(self, y, x, step, n);
  else
    for_isa<Body>(self, y, x, step, n);
}

}  // namespace ergo::inline ERGO_BUILD::cpu

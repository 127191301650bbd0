// Instruction sets, chosen when the program runs. A loop is written once, as a static always-inline member template
// `run<I>`, and `for_isa` calls it inside a function compiled for the best set I of this machine: one binary, built
// without any -m flag, uses SSE2, AVX2 or AVX-512. Such functions differ by their template argument only, never by a
// macro that depends on the compiler's flags, so translation units built with different -m flags link safely.
#pragma once

#include <cstdlib>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// The sets that loops are compiled for, in ascending order. `sse2` stands for whatever the compiler's flags allow.
enum class Isa : int { sse2, avx2, avx512 };

// Bytes of a vector register of I.
template <Isa I>
inline constexpr int kRegisterBytes = I == Isa::avx512 ? 64
                                      : I == Isa::avx2 ? 32
                                                       : 16;

// The name that ERGO_ISA takes: "sse2", "avx2", "avx512".
inline const char* name(Isa isa);

// The best set that this machine has.
inline Isa machine_isa();

// The set in use: the machine's best, or what the environment variable ERGO_ISA names if the machine has it.
inline Isa isa();

// Uses `wanted` from now on, or the machine's best if that is less. For tests and measurements.
inline void set_isa(Isa wanted);

// Runs `Body::template run<I>(arguments...)` compiled for the set in use. `run` and what it calls must be ERGO_INLINE,
// without a target attribute of its own. Arguments are pointers, numbers, and references.
template <class Body, class... A>
inline void for_isa(A... arguments);

// `Body::run` as one function a set, for a caller that asks for the set itself. Null: the next lower one serves.
template <class... A>
struct IsaFunctions {
  void (*of[3])(A...);
  Isa best(Isa wanted) const {
    while (!of[int(wanted)]) wanted = Isa(int(wanted) - 1);
    return wanted;
  }
};
// Compiled for every set, or for the compiler's own alone.
template <class Body, bool Everywhere, class... A>
constexpr IsaFunctions<A...> isa_functions();

namespace detail {

inline constinit int isa_in_use = -1;  // -1 until it is first asked for

inline int detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return int(Isa::sse2);
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return int(wide ? Isa::avx512 : Isa::avx2);
#else
  return int(Isa::sse2);
#endif
}

inline __attribute__((noinline, cold)) int first_isa() {
  int chosen = detect_isa();
  if (const char* wanted = std::getenv("ERGO_ISA")) {
    for (int i = 0; i <= chosen; ++i) {
      if (__builtin_strcmp(wanted, name(Isa(i))) == 0) chosen = i;
    }
  }
  int unset = -1;  // a set_isa that came first stays
  __atomic_compare_exchange_n(&isa_in_use, &unset, chosen, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return unset < 0 ? chosen : unset;
}

// `flatten` inlines user functors into the loop at -O2, so that they too are compiled for the set.
template <class Body, class... A>
__attribute__((noinline, flatten)) void run_sse2(A... arguments) {
  Body::template run<Isa::sse2>(arguments...);
}
#if defined(__x86_64__)
template <class Body, class... A>
__attribute__((noinline, flatten, target("avx2,fma"))) void run_avx2(A... arguments) {
  Body::template run<Isa::avx2>(arguments...);
}
template <class Body, class... A>
__attribute__((noinline, flatten, target("avx512f,avx512dq,avx512bw,avx512vl,fma,avx2"))) void run_avx512(
    A... arguments) {
  Body::template run<Isa::avx512>(arguments...);
}
#endif

}  // namespace detail

inline const char* name(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "sse2"; }

inline Isa machine_isa() { return Isa(detail::detect_isa()); }

inline Isa isa() {
  const int i = __atomic_load_n(&detail::isa_in_use, __ATOMIC_RELAXED);
  return Isa(i >= 0 ? i : detail::first_isa());
}

inline void set_isa(Isa wanted) {
  const int best = detail::detect_isa();
  __atomic_store_n(&detail::isa_in_use, int(wanted) < best ? int(wanted) : best, __ATOMIC_RELAXED);
}

template <class Body, bool Everywhere, class... A>
constexpr IsaFunctions<A...> isa_functions() {
#if defined(__x86_64__) && !defined(ERGO_BASELINE_ISA)
  if constexpr (Everywhere)
    return {{&detail::run_sse2<Body, A...>, &detail::run_avx2<Body, A...>, &detail::run_avx512<Body, A...>}};
#endif
  return {{&detail::run_sse2<Body, A...>, nullptr, nullptr}};
}

template <class Body, class... A>
inline void for_isa(A... arguments) {
#if defined(__x86_64__) && !defined(ERGO_BASELINE_ISA)
  switch (isa()) {
    case Isa::avx512:
      return detail::run_avx512<Body, A...>(arguments...);
    case Isa::avx2:
      return detail::run_avx2<Body, A...>(arguments...);
    case Isa::sse2:
      break;
  }
#endif
  detail::run_sse2<Body, A...>(arguments...);
}

}  // namespace ergo::inline ERGO_BUILD::cpu

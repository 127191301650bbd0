// One pass of an optimiser over all tensors of a step: each element is read with its gradient and the optimiser's
// state, and written once, by the rules of cpu/optimizer.hpp in the same order of operations: SGD with momentum, Adam,
// AdamW, a running average. The tensors are a list in device memory, cut into chunks of 8192 elements, a block each;
// list and chunks are made once (`chunks_of`), so that a step is one launch however many tensors there are. 16-byte
// packs where a tensor's pointers are aligned. 16-bit tensors are computed in float; a float tensor may have a 16-bit
// gradient and a 16-bit copy of itself, which the same pass writes. Elements do not meet, so results do not depend on
// the schedule.
//
// The rule's numbers come with the launch or from device memory: a captured step changes them there, and
// `launch_adam_rule` makes Adam's of a step number that it counts.
#pragma once

#include <limits>
#include <vector>

#include "ergo/cpu/optimizer.hpp"
#include "ergo/kernels/cast.cuh"
#include "ergo/kernels/common/reduce.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// A tensor of n elements: read from in, written to out, which may be the same; as its states. The gradient is nothing
// else's memory.
template <class T, class G = T>
struct UpdateTensor {
  const T* in;
  const G* gradient;
  T* out;
  G* copy;  // out once more, rounded to G; or null
  const T* s_in[cpu::kMostStates];
  T* s_out[cpu::kMostStates];
  std::int64_t n;
};
struct UpdateChunk {
  std::uint32_t tensor, number;  // number of the chunk within its tensor
};

inline constexpr int kUpdateBlock = 512;  // threads
inline constexpr int kUpdateChunk = 8192;

// All chunks of tensors with these numbers of elements, for copying to the device.
inline std::vector<UpdateChunk> chunks_of(const std::vector<std::int64_t>& elements) {
  std::vector<UpdateChunk> chunks;
  for (std::size_t i = 0; i < elements.size(); ++i)
    for (std::int64_t at = 0; at < elements[i]; at += kUpdateChunk)
      chunks.push_back({std::uint32_t(i), std::uint32_t(at / kUpdateChunk)});
  return chunks;
}

// Fused where the CPU's compilers fuse, and nowhere else, so that every compiler makes the same bits.
__device__ __forceinline__ float update_fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double update_fma(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ __forceinline__ float update_mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double update_mul(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float update_sqrt(float x) { return __fsqrt_rn(x); }
__device__ __forceinline__ double update_sqrt(double x) { return ::sqrt(x); }

// A rule's numbers as A, and what it does to an element p with gradient `given` and states s.
template <class Rule, class A>
struct UpdateNumbers;
template <bool Momentum, class A>
struct UpdateNumbers<cpu::SgdRule<Momentum>, A> {
  A down, momentum, decay;
  bool nesterov;
  __device__ __forceinline__ explicit UpdateNumbers(const cpu::SgdRule<Momentum>& r)
      : down(A(-r.lr)), momentum(A(r.momentum)), decay(A(r.decay)), nesterov(r.nesterov) {}
  __device__ __forceinline__ void update(A& p, A given, A* s) const {
    const A g = update_fma(decay, p, given);
    if constexpr (Momentum) {
      s[0] = update_fma(momentum, s[0], g);
      p = update_fma(down, nesterov ? update_fma(momentum, s[0], g) : s[0], p);
    } else {
      p = update_fma(down, g, p);
    }
  }
};
template <class A>
struct UpdateNumbers<cpu::AdamRule, A> {
  A step, rest1, beta2, rest2, root, eps, decay, shrink;
  __device__ __forceinline__ explicit UpdateNumbers(const cpu::AdamRule& r)
      : step(A(r.step)),
        rest1(A(1 - r.beta1)),
        beta2(A(r.beta2)),
        rest2(A(1 - r.beta2)),
        root(A(r.root)),
        eps(A(r.eps)),
        decay(A(r.decay)),
        shrink(A(r.shrink)) {}
  __device__ __forceinline__ void update(A& p, A given, A* s) const {
    const A g = update_fma(decay, p, given);
    s[0] = update_fma(rest1, g - s[0], s[0]);
    s[1] = update_fma(update_mul(rest2, g), g, update_mul(beta2, s[1]));
    p = update_fma(shrink, p, -(update_mul(step, s[0]) / update_fma(update_sqrt(s[1]), root, eps)));
  }
};
template <class A>
struct UpdateNumbers<cpu::AverageRule, A> {
  A rate;
  __device__ __forceinline__ explicit UpdateNumbers(const cpu::AverageRule& r) : rate(A(r.rate)) {}
  __device__ __forceinline__ void update(A& p, A g, A*) const { p = update_fma(rate, g - p, p); }
};

// The pack of V elements at `at`.
template <int V, class Rule, class T, class G, class Numbers>
__device__ __forceinline__ void update_pack(const UpdateTensor<T, G>& t, std::int64_t at, const Numbers& rule) {
  using A = Compute<T>;
  constexpr int kStates = Rule::states;
  const Pack<T, V> p = load_pack<V>(t.in + at);
  const Pack<G, V> g = load_pack<V>(t.gradient + at);
  Pack<T, V> s[kStates + 1], out;
  Pack<G, V> copy;
#pragma unroll
  for (int k = 0; k < kStates; ++k) s[k] = load_pack<V>(t.s_in[k] + at);
#pragma unroll
  for (int i = 0; i < V; ++i) {
    A value = widen(p[i]), state[kStates + 1];
#pragma unroll
    for (int k = 0; k < kStates; ++k) state[k] = widen(s[k][i]);
    rule.update(value, A(widen(g[i])), state);
    out[i] = narrow<T>(value);
    copy[i] = cast_element<G>(out[i]);
#pragma unroll
    for (int k = 0; k < kStates; ++k) s[k][i] = narrow<T>(state[k]);
  }
  store_pack(t.out + at, out);
#pragma unroll
  for (int k = 0; k < kStates; ++k) store_pack(t.s_out[k] + at, s[k]);
  if (t.copy) store_pack(t.copy + at, copy);
}

template <class Rule, class T, class G>
__global__ void __launch_bounds__(kUpdateBlock)
    update_kernel(const UpdateTensor<T, G>* tensors, const UpdateChunk* chunks, Rule given, const Rule* stored) {
  constexpr int V = kPackOf<T> < kPackOf<G> ? kPackOf<T> : kPackOf<G>;
  const UpdateChunk chunk = chunks[blockIdx.x];
  const UpdateTensor<T, G> t = tensors[chunk.tensor];
  if (stored) given = *stored;
  const UpdateNumbers<Rule, Compute<T>> rule(given);
  std::uintptr_t wide = reinterpret_cast<std::uintptr_t>(t.in) | reinterpret_cast<std::uintptr_t>(t.out);
  std::uintptr_t slim = reinterpret_cast<std::uintptr_t>(t.gradient) | reinterpret_cast<std::uintptr_t>(t.copy);
#pragma unroll
  for (int k = 0; k < Rule::states; ++k)
    wide |= reinterpret_cast<std::uintptr_t>(t.s_in[k]) | reinterpret_cast<std::uintptr_t>(t.s_out[k]);
  const std::int64_t first = std::int64_t(chunk.number) * kUpdateChunk, left = t.n - first;
  const int n = left < kUpdateChunk ? int(left) : kUpdateChunk;
  int done = 0;
  if (wide % (V * sizeof(T)) == 0 && slim % (V * sizeof(G)) == 0) {
    done = n / V * V;
    for (int i = int(threadIdx.x) * V; i < done; i += kUpdateBlock * V) update_pack<V, Rule>(t, first + i, rule);
  }
#pragma unroll 1
  for (int i = done + int(threadIdx.x); i < n; i += kUpdateBlock) update_pack<1, Rule>(t, first + i, rule);
}

// Adam's options, and the rule of the step after *steps, which is counted: optim/adam.hpp's.
struct AdamNumbers {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};
template <int = 0>
__global__ void adam_rule_kernel(const AdamNumbers* options, std::int64_t* steps, cpu::AdamRule* rule) {
  const AdamNumbers o = *options;
  const double t = double(++*steps);
  *rule = {o.lr / (1 - ::pow(o.beta1, t)),
           o.beta1,
           o.beta2,
           1 / ::sqrt(1 - ::pow(o.beta2, t)),
           o.eps,
           o.decoupled ? 0 : o.weight_decay,
           o.decoupled ? 1 - update_mul(o.lr, o.weight_decay) : 1};
}

// ---- launchers ----

// One step: `tensors` (their chunks: chunks_of) in device memory. The rule is `rule`, or what is stored at `stored` on
// the device unless that is null.
template <class Rule, class T, class G>
void launch_update(Stream& stream, const Rule& rule, const UpdateTensor<T, G>* tensors, const UpdateChunk* chunks,
                   std::int64_t n_chunks, const std::type_identity_t<Rule>* stored = nullptr) {
  if (n_chunks == 0) return;
  launch(stream, "optim", {unsigned(n_chunks), kUpdateBlock}, update_kernel<Rule, T, G>, tensors, chunks, rule, stored);
}
inline void launch_adam_rule(Stream& stream, const AdamNumbers* options, std::int64_t* steps, cpu::AdamRule* rule) {
  launch(stream, "optim", {1, 1}, adam_rule_kernel<>, options, steps, rule);
}

// Puts a rule where a captured step reads it.
template <class Rule>
__global__ void store_rule_kernel(Rule rule, Rule* to) {
  *to = rule;
}
template <class Rule>
void launch_rule(Stream& stream, const Rule& rule, Rule* to) {
  launch(stream, "optim", {1, 1}, store_rule_kernel<Rule>, rule, to);
}

}  // namespace ergo::inline ERGO_BUILD::cuda

// One pass of an optimiser over all parameters: each element is read with its gradient and the optimiser's state, and
// written once. A rule is a struct of numbers with `static constexpr int states`; its `packs<P>()` are those numbers as
// packs, made once before the loop, with `update(p, g, s)`. 16-bit parameters are computed in float. All runs are cut
// into chunks that all threads share, so that many small leaves cost one fork.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/math_basic.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

inline constexpr int kMostStates = 2;

// One leaf: n dense elements of the parameter, its gradient and its states, read from `in` and `s_in`, written to `out`
// and `s_out`, which may be the same memory.
struct UpdateRun {
  const std::byte *in, *gradient;
  std::byte* out;
  const std::byte* s_in[kMostStates];
  std::byte* s_out[kMostStates];
  std::int64_t n;
  void (*kernel)(const void* rule, const UpdateRun&, std::int64_t begin, std::int64_t end);
};

// Applies `rule` to all runs; each run's kernel is `update_kernel<Rule, T>`, T its scalar.
template <class Rule>
void update_runs(const Rule& rule, const std::vector<UpdateRun>& runs);
template <class Rule, class T>
void update_kernel(const void* rule, const UpdateRun& run, std::int64_t begin, std::int64_t end);

// g + decay p; then v := momentum v + g and p := p - lr v, or by Nesterov p - lr (g + momentum v).
template <bool Momentum>
struct SgdRule {
  static constexpr int states = Momentum ? 1 : 0;
  double lr, momentum, decay;
  bool nesterov;

  template <class P>
  struct Packs {
    P down, momentum, decay;
    bool nesterov;
    ERGO_INLINE void update(P& p, const P& given, P* s) const {
      const P g = fma(decay, p, given);
      if constexpr (Momentum) {
        s[0] = fma(momentum, s[0], g);
        p = fma(down, nesterov ? fma(momentum, s[0], g) : s[0], p);
      } else {
        p = fma(down, g, p);
      }
    }
  };
  template <class P>
  ERGO_INLINE Packs<P> packs() const {
    using T = typename P::value_type;
    return {P(T(-lr)), P(T(momentum)), P(T(decay)), nesterov};
  }
};

// Adam (Kingma & Ba 2015): m and v the running means of g and g^2, p := shrink p - step m / (sqrt(v) root + eps), where
// step and root hold the corrections of the means' bias. `decay` is added to the gradient (Adam), `shrink` is 1 - lr
// decay (AdamW).
struct AdamRule {
  static constexpr int states = 2;
  double step, beta1, beta2, root, eps, decay, shrink;

  template <class P>
  struct Packs {
    P step, rest1, beta2, rest2, root, eps, decay, shrink;
    ERGO_INLINE void update(P& p, const P& given, P* s) const {
      const P g = fma(decay, p, given);
      s[0] = fma(rest1, g - s[0], s[0]);
      s[1] = fma(rest2 * g, g, beta2 * s[1]);
      p = shrink * p - step * s[0] / fma(sqrt(s[1]), root, eps);
    }
  };
  template <class P>
  ERGO_INLINE Packs<P> packs() const {
    using T = typename P::value_type;
    return {P(T(step)), P(T(1 - beta1)), P(T(beta2)), P(T(1 - beta2)),
            P(T(root)), P(T(eps)),       P(T(decay)), P(T(shrink))};
  }
};

// p := p + rate (g - p): a running mean of g.
struct AverageRule {
  static constexpr int states = 0;
  double rate;

  template <class P>
  struct Packs {
    P rate;
    ERGO_INLINE void update(P& p, const P& g, P*) const { p = fma(rate, g - p, p); }
  };
  template <class P>
  ERGO_INLINE Packs<P> packs() const {
    return {P(typename P::value_type(rate))};
  }
};

namespace detail {

inline constexpr std::int64_t kUpdateChunk = 16384;
inline constexpr std::int64_t kSerialUpdate = 65536;  // elements below which a second thread does not pay

template <class Rule, class T>
struct UpdateBody {
  template <Isa I>
  static ERGO_INLINE void run(const Rule* given, const UpdateRun* r, std::int64_t begin, std::int64_t end) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(Compute<T>)), kStates = Rule::states > 0 ? Rule::states : 1;
    using P = Pack<Compute<T>, W>;
    const auto rule = given->template packs<P>();
    const T *in = reinterpret_cast<const T*>(r->in), *gradient = reinterpret_cast<const T*>(r->gradient);
    const T* s_in[kStates];
    T *out = reinterpret_cast<T*>(r->out), *s_out[kStates];
    for (int k = 0; k < Rule::states; ++k) {
      s_in[k] = reinterpret_cast<const T*>(r->s_in[k]);
      s_out[k] = reinterpret_cast<T*>(r->s_out[k]);
    }
    // The last elements take the same loop in room of their own, one pack more.
    T room[3 + 2 * kStates][W], *to[1 + kStates];
    std::size_t left = 0;
    for (std::int64_t i = begin;;) {
      for (; i + W <= end; i += W) {
        P p = load_as<P>(in + i), s[kStates];
        for (int k = 0; k < Rule::states; ++k) s[k] = load_as<P>(s_in[k] + i);
        rule.update(p, load_as<P>(gradient + i), s);
        store_as(out + i, p);
        for (int k = 0; k < Rule::states; ++k) store_as(s_out[k] + i, s[k]);
      }
      if (left) {
        std::memcpy(to[0], out, left);
        for (int k = 0; k < Rule::states; ++k) std::memcpy(to[1 + k], s_out[k], left);
        return;
      }
      if (i == end) return;
      left = std::size_t(end - i) * sizeof(T);
      std::memset(room, 0, sizeof room);
      std::memcpy(room[0], in + i, left);
      std::memcpy(room[1], gradient + i, left);
      in = room[0];
      gradient = room[1];
      to[0] = std::exchange(out, room[2]) + i;
      for (int k = 0; k < Rule::states; ++k) {
        std::memcpy(room[3 + k], s_in[k] + i, left);
        s_in[k] = room[3 + k];
        to[1 + k] = std::exchange(s_out[k], room[3 + kStates + k]) + i;
      }
      i = 0;
      end = W;
    }
  }
};

}  // namespace detail

template <class Rule, class T>
void update_kernel(const void* rule, const UpdateRun& run, std::int64_t begin, std::int64_t end) {
  for_isa<detail::UpdateBody<Rule, T>>(static_cast<const Rule*>(rule), &run, begin, end);
}

template <class Rule>
void update_runs(const Rule& rule, const std::vector<UpdateRun>& runs) {
  std::int64_t chunks = 0, elements = 0;
  for (const UpdateRun& r : runs) {
    chunks += (r.n + detail::kUpdateChunk - 1) / detail::kUpdateChunk;
    elements += r.n;
  }
  parallel_for(
      chunks, 8,
      [&](std::int64_t begin, std::int64_t end) {
        std::int64_t chunk = 0;  // of the first element of the run
        for (const UpdateRun& r : runs) {
          const std::int64_t own = (r.n + detail::kUpdateChunk - 1) / detail::kUpdateChunk;
          for (std::int64_t c = begin > chunk ? begin - chunk : 0; c < own && chunk + c < end; ++c) {
            const std::int64_t from = c * detail::kUpdateChunk;
            r.kernel(&rule, r, from, r.n - from < detail::kUpdateChunk ? r.n : from + detail::kUpdateChunk);
          }
          chunk += own;
          if (chunk >= end) break;
        }
      },
      elements < detail::kSerialUpdate ? 1 : num_threads());
}

}  // namespace ergo::inline ERGO_BUILD::cpu

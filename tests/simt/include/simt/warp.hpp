// Barriers of a block, and what the lanes of a warp do together: shuffles, votes, matches, reductions.
//
// A warp operation is a call of simt::collective: each lane hands in a pointer to its argument, and the last lane to
// arrive computes for all. A result that CUDA leaves undefined is filled with 0xff: NaN, or a huge integer.
#pragma once

#include <cstring>
#include <type_traits>

#include "execution.hpp"

inline void __syncthreads(SIMT_AT) { simt::barrier(simt::Vote::none, 0, at); }
inline int __syncthreads_or(int p, SIMT_AT) { return simt::barrier(simt::Vote::any, p, at); }
inline int __syncthreads_and(int p, SIMT_AT) { return simt::barrier(simt::Vote::all, p, at); }
inline int __syncthreads_count(int p, SIMT_AT) { return simt::barrier(simt::Vote::count, p, at); }

// Orders a thread's writes before its later ones. Threads of the emulation run one at a time in one order for all.
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
[[noreturn]] inline void __trap(SIMT_AT) { simt::fail("__trap()", at); }
[[noreturn]] inline void __brkpt(SIMT_AT) { simt::fail("__brkpt()", at); }
inline void __nanosleep(unsigned, SIMT_AT) { simt::poll(at); }

inline unsigned __activemask() { return simt::active_lanes(); }

namespace simt {

// One lane's part in an operation from T to R; kind's address tells operations apart.
template <class T, class R>
struct LaneValue {
  T in;
  R out;
  int source = -1;  // lane that a shuffle reads; -1: keeps its own
};

template <class F>
void for_lanes(unsigned lanes, F f) {
  for (; lanes; lanes &= lanes - 1) f(static_cast<unsigned>(__builtin_ctz(lanes)));
}

template <class T>
T shuffle(unsigned mask, T value, int source, Place at) {
  static_assert(std::is_trivially_copyable_v<T>);
  static const char kind = 0;
  LaneValue<T, T> mine{value, value, source};
  collective(
      mask, &kind, &mine,
      [](void* const* values, unsigned lanes) {
        for_lanes(lanes, [&](unsigned l) {
          auto& to = *static_cast<LaneValue<T, T>*>(values[l]);
          if (to.source < 0) return;
          if (const auto* from = static_cast<const LaneValue<T, T>*>(values[to.source & 31])) {
            to.out = from->in;
          } else {
            std::memset(static_cast<void*>(&to.out), 0xff, sizeof(T));  // a lane that takes no part
          }
        });
      },
      at);
  return mine.out;
}

// Every lane gets fold(values in the order of lanes).
template <class T, class R, class Fold>
R reduce_lanes(unsigned mask, T value, Place at) {
  static const char kind = 0;
  LaneValue<T, R> mine{value, R{}};
  collective(
      mask, &kind, &mine,
      [](void* const* values, unsigned lanes) {
        R result = Fold::first(static_cast<const LaneValue<T, R>*>(values[__builtin_ctz(lanes)])->in,
                               static_cast<unsigned>(__builtin_ctz(lanes)));
        for_lanes(lanes & (lanes - 1), [&](unsigned l) {
          result = Fold::next(result, static_cast<const LaneValue<T, R>*>(values[l])->in, l);
        });
        for_lanes(lanes, [&](unsigned l) { static_cast<LaneValue<T, R>*>(values[l])->out = result; });
      },
      at);
  return mine.out;
}

struct Ballot {
  static unsigned first(int p, unsigned lane_) { return static_cast<unsigned>(p != 0) << lane_; }
  static unsigned next(unsigned r, int p, unsigned lane_) { return r | first(p, lane_); }
};
template <class Op>
struct Folded {
  template <class T>
  static T first(T x, unsigned) {
    return x;
  }
  template <class T>
  static T next(T r, T x, unsigned) {
    return static_cast<T>(Op::of(r, x));
  }
};
struct Sum {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a + b);
  }
};
struct Least {
  template <class T>
  static T of(T a, T b) {
    return b < a ? b : a;
  }
};
struct Largest {
  template <class T>
  static T of(T a, T b) {
    return a < b ? b : a;
  }
};
struct And {
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};

}  // namespace simt

inline void __syncwarp(unsigned mask = ~0u, SIMT_AT) {
  static const char kind = 0;
  simt::collective(mask, &kind, nullptr, nullptr, at);
}

template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32, SIMT_AT) {
  const int l = static_cast<int>(simt::lane());
  return simt::shuffle(mask, v, (l & ~(width - 1)) | (source & (width - 1)), at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, SIMT_AT) {
  const int l = static_cast<int>(simt::lane()), source = l ^ lanes;
  return simt::shuffle(mask, v, source / width > l / width ? -1 : source, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, SIMT_AT) {
  const int l = static_cast<int>(simt::lane()), source = l - static_cast<int>(delta);
  return simt::shuffle(mask, v, source < (l & ~(width - 1)) ? -1 : source, at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, SIMT_AT) {
  const int l = static_cast<int>(simt::lane()), source = l + static_cast<int>(delta);
  return simt::shuffle(mask, v, source > (l | (width - 1)) ? -1 : source, at);
}

inline unsigned __ballot_sync(unsigned mask, int p, SIMT_AT) {
  return simt::reduce_lanes<int, unsigned, simt::Ballot>(mask, p, at);
}
inline int __any_sync(unsigned mask, int p, SIMT_AT) { return __ballot_sync(mask, p, at) != 0; }
inline int __all_sync(unsigned mask, int p, SIMT_AT) { return __ballot_sync(mask, !p, at) == 0; }

namespace simt {
template <class Op, class T>
T integer_reduction(unsigned mask, T v, Place at) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>, "redux is of 32-bit integers");
  return reduce_lanes<T, T, Folded<Op>>(mask, v, at);
}
}  // namespace simt
template <class T>
T __reduce_add_sync(unsigned mask, T v, SIMT_AT) {
  return simt::integer_reduction<simt::Sum>(mask, v, at);
}
template <class T>
T __reduce_min_sync(unsigned mask, T v, SIMT_AT) {
  return simt::integer_reduction<simt::Least>(mask, v, at);
}
template <class T>
T __reduce_max_sync(unsigned mask, T v, SIMT_AT) {
  return simt::integer_reduction<simt::Largest>(mask, v, at);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned v, SIMT_AT) {
  return simt::integer_reduction<simt::And>(mask, v, at);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned v, SIMT_AT) {
  return simt::integer_reduction<simt::Or>(mask, v, at);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned v, SIMT_AT) {
  return simt::integer_reduction<simt::Xor>(mask, v, at);
}

// The lanes that have this lane's value.
template <class T>
unsigned __match_any_sync(unsigned mask, T v, SIMT_AT) {
  static const char kind = 0;
  simt::LaneValue<T, unsigned> mine{v, 0};
  simt::collective(
      mask, &kind, &mine,
      [](void* const* values, unsigned lanes) {
        simt::for_lanes(lanes, [&](unsigned l) {
          auto& to = *static_cast<simt::LaneValue<T, unsigned>*>(values[l]);
          simt::for_lanes(lanes, [&](unsigned k) {
            if (static_cast<const simt::LaneValue<T, unsigned>*>(values[k])->in == to.in) to.out |= 1u << k;
          });
        });
      },
      at);
  return mine.out;
}
// The mask if all its lanes have one value (then *all = 1), else 0.
template <class T>
unsigned __match_all_sync(unsigned mask, T v, int* all, SIMT_AT) {
  const unsigned same = __match_any_sync(mask, v, at);
  *all = same == __ballot_sync(mask, 1, at);
  return *all ? same : 0;
}

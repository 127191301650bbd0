// Philox4x32-10 (core/philox.hpp) on vectors. Each 64-bit lane carries one block: the two products of a round need no
// shuffle then, and what is not the word in a lane is left as it falls, since the next multiplication reads its low 32
// bits only.
#pragma once

#include "ergo/core/philox.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

template <int L>
using Words = Pack<std::uint64_t, L>;

// The products of the low 32 bits of each lane.
template <int L>
ERGO_INLINE Words<L> multiply_low(const Words<L>& a, const Words<L>& b) {
#if defined(__x86_64__) && !defined(__clang__)
  Words<L> r;
  if constexpr (L == 2) {
    using Half = Vector<std::int32_t, 4>;
    r.v = (Vector<std::uint64_t, L>)__builtin_ia32_pmuludq128((Half)a.v, (Half)b.v);
  } else {  // g++ would multiply all 64 bits
    asm("vpmuludq %2, %1, %0" : "=v"(r.v) : "v"(a.v), "v"(b.v));
  }
  return r;
#else
  const Words<L> mask(0xffffffffu);
  return (a & mask) * (b & mask);
#endif
}

// Four words of L blocks, the low half of each lane valid. Lanes hold the blocks 0, L / 2, 1, L / 2 + 1, ... after the
// first, so that interleaving two vectors within 16 bytes, which is one instruction, gives them in order.
template <int L>
struct Blocks {
  Words<L> word[4];

  static ERGO_INLINE Words<L> order() {
    const Words<L> iota = Words<L>::iota();
    return (iota >> 1) + (iota & Words<L>(1)) * Words<L>(L / 2);
  }
  // Words `First` and `Second` of each block, side by side.
  template <int First, int Second>
  ERGO_INLINE Words<L> pair() const {
    return (word[First] & Words<L>(0xffffffffu)) | (word[Second] << 32);
  }
};

// The keys of all rounds in every lane.
template <int L>
struct RoundKeys {
  Words<L> of[Philox4x32::kRounds][2];
  ERGO_INLINE explicit RoundKeys(std::uint64_t key) {
    auto k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (auto& k : of) {
      k[0] = Words<L>(k0);
      k[1] = Words<L>(k1);
      k0 += Philox4x32::kStep0;
      k1 += Philox4x32::kStep1;
    }
    asm("" : "+m"(of));  // operands in memory: else the compiler makes them again in every round
  }
};

// b[j].word[0] holds block numbers; turns them into the blocks of a key. N independent chains hide a round's latency.
template <int N, int L>
ERGO_INLINE void encrypt(Blocks<L> (&b)[N], const RoundKeys<L>& key) {
  const Words<L> m0(Philox4x32::kMultiply0), m1(Philox4x32::kMultiply1);
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {  // words 2 and 3 are 0: half of the first round
    const Words<L> p = multiply_low(b[j].word[0], m0), high = b[j].word[0] >> 32;
    b[j].word[0] = high ^ key.of[0][0];
    b[j].word[1] = Words<L>();
    b[j].word[2] = (p >> 32) ^ key.of[0][1];
    b[j].word[3] = p;
  }
#pragma GCC unroll 10
  for (int round = 1; round < Philox4x32::kRounds; ++round) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      Words<L>* c = b[j].word;
      const Words<L> p0 = multiply_low(c[0], m0), p1 = multiply_low(c[2], m1);
      c[0] = (p1 >> 32) ^ c[1] ^ key.of[round][0];
      c[1] = p1;
      c[2] = (p0 >> 32) ^ c[3] ^ key.of[round][1];
      c[3] = p0;
    }
  }
}

// Lanes of a and b alternating, within each 16 bytes: those of the first 8 bytes, or those of the last.
template <bool Last, class T, int W, int... K>
ERGO_INLINE Pack<T, W> interleave(const Pack<T, W>& a, const Pack<T, W>& b, std::integer_sequence<int, K...>) {
  constexpr int kPerLane = 16 / int(sizeof(T)), kFrom = Last ? kPerLane / 2 : 0;
  return shuffle<(K / kPerLane * kPerLane + kFrom + K % kPerLane / 2 + (K % 2 ? W : 0))...>(a, b);
}
template <class T, int W>
ERGO_INLINE Pack<T, W> interleave_low(const Pack<T, W>& a, const Pack<T, W>& b) {
  return interleave<false>(a, b, std::make_integer_sequence<int, W>{});
}
template <class T, int W>
ERGO_INLINE Pack<T, W> interleave_high(const Pack<T, W>& a, const Pack<T, W>& b) {
  return interleave<true>(a, b, std::make_integer_sequence<int, W>{});
}

// The same bytes as lanes of T.
template <class T, class S, int W>
ERGO_INLINE auto lanes_of(const Pack<S, W>& a) {
  constexpr int kLanes = W * int(sizeof(S)) / int(sizeof(T));
  Pack<T, kLanes> r;
  r.v = (decltype(r.v))a.v;
  return r;
}

// The words of L blocks in order, as two registers of Word.
template <class Word, int L>
struct Ordered {
  Pack<Word, 8 * L / int(sizeof(Word))> low, high;
  ERGO_INLINE explicit Ordered(const Blocks<L>& b) {
    const Words<L> first = b.template pair<0, 1>(), second = b.template pair<2, 3>();
    low = lanes_of<Word>(interleave_low(first, second));
    high = lanes_of<Word>(interleave_high(first, second));
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail

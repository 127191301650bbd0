// SIMD registers as values. `Pack<T, W>` is W lanes of T (float, double, integers) with the arithmetic of T on each,
// `Mask<T, W>` what comparing two of them gives; their members are in cpu/pack_type.hpp, here is what goes between
// packs: selection, lanes moved about, tests of all lanes. A pack should not be wider than a register of the
// instruction set that the loop is compiled for: W = kRegisterBytes<I> / sizeof(T). Floating arithmetic is IEEE's;
// integers wrap. Storage types (bool, the 16-bit floats) are read and written by cpu/pack_storage.hpp, the elementary
// functions are in cpu/math.hpp.
#pragma once

#include "ergo/cpu/pack_type.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Lanes K... of those of a followed by those of b.
template <int... K, class T, int W>
ERGO_INLINE Pack<T, int(sizeof...(K))> shuffle(const Pack<T, W>& a, const Pack<T, W>& b) {
  Pack<T, int(sizeof...(K))> r;
#if defined(__CUDACC__)  // nvcc loses the expansion of K among the arguments of a built-in
  int i = 0;
  ((r.v[i++] = K < W ? a.v[K % W] : b.v[K % W]), ...);
#else
  r.v = __builtin_shufflevector(a.v, b.v, K...);
#endif
  return r;
}

namespace detail {

// As `shuffle`, with lanes counted from First.
template <int First, class T, int W, int... K>
ERGO_INLINE Pack<T, int(sizeof...(K))> shuffle_from(const Pack<T, W>& a, const Pack<T, W>& b,
                                                    std::integer_sequence<int, K...>) {
  return shuffle<(First + K)...>(a, b);
}

// Some bit for each lane of 16 bytes or less whose sign bit is set.
template <class T, int W>
ERGO_INLINE int sign_bits(const Pack<T, W>& a) {
#if defined(__x86_64__)
  if constexpr (sizeof(a.v) == 16 && sizeof(T) == 4) {
    return __builtin_ia32_movmskps((Vector<float, 4>)a.v);
  } else if constexpr (sizeof(a.v) == 16 && sizeof(T) == 8) {
    return __builtin_ia32_movmskpd((Vector<double, 2>)a.v);
  } else if constexpr (sizeof(a.v) == 16 && sizeof(T) == 1) {
    return __builtin_ia32_pmovmskb128((Vector<char, 16>)a.v);
  }
#endif
  int r = 0;
  for (int i = 0; i < W; ++i) r |= int(a.v[i] < 0);
  return r;
}

}  // namespace detail

// The first and the last W / 2 lanes, and a pack of two such.
template <class T, int W>
ERGO_INLINE Pack<T, W / 2> low(const Pack<T, W>& a) {
  return detail::shuffle_from<0>(a, a, std::make_integer_sequence<int, W / 2>{});
}
template <class T, int W>
ERGO_INLINE Pack<T, W / 2> high(const Pack<T, W>& a) {
  return detail::shuffle_from<W / 2>(a, a, std::make_integer_sequence<int, W / 2>{});
}
template <class T, int W>
ERGO_INLINE Pack<T, 2 * W> join(const Pack<T, W>& low, const Pack<T, W>& high) {
  return detail::shuffle_from<0>(low, high, std::make_integer_sequence<int, 2 * W>{});
}

// a * b + c: one rounding where the instruction set has it and the compiler contracts, else two.
template <class T, int W>
ERGO_INLINE Pack<T, W> fma(const Pack<T, W>& a, const Pack<T, W>& b, const Pack<T, W>& c) {
  if constexpr (std::is_floating_point_v<T>) {
    Pack<T, W> r;
    r.v = a.v * b.v + c.v;
    return r;
  } else {
    return a * b + c;
  }
}

// Each lane of a where the mask is true, of b where it is false.
template <class M, class T, int W>
ERGO_INLINE Pack<T, W> where(const Mask<M, W>& mask, const Pack<T, W>& a, const Pack<T, W>& b) {
  const Mask<T, W> m = mask.template to<T>();
  Pack<T, W> r;
  if constexpr (sizeof(m.v) > detail::kMaskBytes) {
    r.v = (decltype(r.v))((m.v & (decltype(m.v))a.v) | (~m.v & (decltype(m.v))b.v));
  } else {
    r.v = m.v ? a.v : b.v;
  }
  return r;
}

// The larger and the smaller; a NaN in either operand gives NaN.
template <class T, int W>
ERGO_INLINE Pack<T, W> maximum(const Pack<T, W>& a, const Pack<T, W>& b) {
  if constexpr (std::is_floating_point_v<T>) return where((a < b) | (b != b), b, a);
  return where(a < b, b, a);
}
template <class T, int W>
ERGO_INLINE Pack<T, W> minimum(const Pack<T, W>& a, const Pack<T, W>& b) {
  if constexpr (std::is_floating_point_v<T>) return where((b < a) | (b != b), b, a);
  return where(b < a, b, a);
}

// Whether some, whether every lane is true.
template <class T, int W>
ERGO_INLINE bool any(const Mask<T, W>& m) {
  return any_negative(m.bits());
}
// Whether some lane has its sign bit set: the cheapest test of all lanes, without a comparison.
template <class T, int W>
ERGO_INLINE bool any_negative(const Pack<T, W>& a) {
  if constexpr (!std::is_same_v<T, detail::SignedOf<T>>) {
    return any_negative(a.bits());
  } else if constexpr (sizeof(a.v) > 16) {
    return any_negative(low(a) | high(a));
  } else {
    return detail::sign_bits(a) != 0;
  }
}
template <class T, int W>
ERGO_INLINE bool all(const Mask<T, W>& m) {
  return !any(!m);
}

namespace detail {

struct Equal {
  template <class V, class M>
  static ERGO_INLINE void apply(const V& a, const V& b, M& r) {
    r = (M)(a == b);
  }
};
struct Less {
  template <class V, class M>
  static ERGO_INLINE void apply(const V& a, const V& b, M& r) {
    r = (M)(a < b);
  }
};
struct LessEqual {
  template <class V, class M>
  static ERGO_INLINE void apply(const V& a, const V& b, M& r) {
    r = (M)(a <= b);
  }
};
template <class Relation, class T, int W>
ERGO_INLINE Mask<T, W> compare(const Pack<T, W>& a, const Pack<T, W>& b) {
  Mask<T, W> r;
  if constexpr (sizeof(a.v) > kMaskBytes) {
    r.v = join(compare<Relation>(low(a), low(b)).bits(), compare<Relation>(high(a), high(b)).bits()).v;
  } else {
    Relation::apply(a.v, b.v, r.v);
  }
  return r;
}

}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD::cpu

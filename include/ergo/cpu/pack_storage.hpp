// How packs meet memory that holds another type: the 16-bit floats, bools, integers. `load_as<P>` widens, `store_as`
// rounds once, to nearest even (NaN stays NaN, what is too large becomes an infinity, subnormals are right); the
// `_part` forms touch n lanes of memory only. `stream` writes past the caches.
#pragma once

#include "ergo/core/dtype.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// P is a Pack, or a Mask if S is bool. From a type that P's lanes cannot hold: as `Pack::to` converts.
template <class P, class S>
P load_as(const S* p);
template <class P, class S>
P load_part_as(const S* p, int n);
// Lanes `stride` bytes apart, possibly 0 or negative.
template <class P, class S>
P gather_as(const S* p, std::int64_t stride);
template <class P, class S>
P gather_part_as(const S* p, std::int64_t stride, int n);

template <class S, class T, int W>
void store_as(S* p, const Pack<T, W>& a);
template <class T, int W>
void store_as(bool* p, const Mask<T, W>& a);
template <class S, class P>
void store_part_as(S* p, const P& a, int n);

// Past the caches, for results that outgrow them; p must be a multiple of 16 bytes. A `stream_fence` by the same thread
// comes before another thread may read.
template <class T, int W>
void stream(T* p, const Pack<T, W>& a);
inline void stream_fence();

// The 16-bit floats, from and to float.
template <int W>
Pack<float, W> from_bfloat16(const Pack<std::uint16_t, W>& a);
template <int W>
Pack<float, W> from_half(const Pack<std::uint16_t, W>& a);
template <int W>
Pack<std::uint16_t, W> to_bfloat16(const Pack<float, W>& a);
template <int W>
Pack<std::uint16_t, W> to_half(const Pack<float, W>& a);

namespace detail {

template <class T>
struct PackOf;  // what a pack or a mask is made of
template <class T, int W>
struct PackOf<Pack<T, W>> {
  using Lane = T;
  static constexpr bool kMask = false;
};
template <class T, int W>
struct PackOf<Mask<T, W>> {
  using Lane = T;
  static constexpr bool kMask = true;
};

template <class S>
inline constexpr bool kSixteen = std::is_same_v<S, bfloat16> || std::is_same_v<S, half>;

// How S lies in memory, as a type that vectors can have.
template <class S>
using StoredOf =
    std::conditional_t<kSixteen<S>, std::uint16_t, std::conditional_t<std::is_same_v<S, bool>, std::uint8_t, S>>;

template <class P, class S>
ERGO_INLINE P widen(const Pack<StoredOf<S>, P::kLanes>& a) {
  using T = typename PackOf<P>::Lane;
  if constexpr (PackOf<P>::kMask) {
    static_assert(std::is_same_v<S, bool>, "masks are loaded from bool");
    P r;
    r.v = (-a.template to<typename P::Lane>()).v;
    return r;
  } else if constexpr (std::is_same_v<S, bfloat16>) {
    return from_bfloat16(a).template to<T>();
  } else if constexpr (std::is_same_v<S, half>) {
    return from_half(a).template to<T>();
  } else {
    return a.template to<T>();
  }
}

template <class S, class T, int W>
ERGO_INLINE Pack<StoredOf<S>, W> narrow(const Pack<T, W>& a) {
  if constexpr (std::is_same_v<S, bfloat16> && std::is_same_v<T, float>) {
    return to_bfloat16(a);
  } else if constexpr (std::is_same_v<S, half> && std::is_same_v<T, float>) {
    return to_half(a);
  } else if constexpr (kSixteen<S>) {  // from double and integers: one rounding, lane by lane
    Pack<StoredOf<S>, W> r;
    for (int i = 0; i < W; ++i) r.v[i] = S(a.v[i]).bits;
    return r;
  } else if constexpr (std::is_same_v<S, bool>) {
    return narrow<bool>(a != Pack<T, W>{});
  } else {
    return a.template to<S>();
  }
}
template <class S, class T, int W>
ERGO_INLINE Pack<StoredOf<S>, W> narrow(const Mask<T, W>& a) {
  static_assert(std::is_same_v<S, bool>, "masks are stored as bool");
  return (-a.bits()).template to<std::int8_t>().template as<std::uint8_t>();
}

template <class S>
ERGO_INLINE const StoredOf<S>* stored(const S* p) {
  return reinterpret_cast<const StoredOf<S>*>(p);
}
template <class S>
ERGO_INLINE StoredOf<S>* stored(S* p) {
  return reinterpret_cast<StoredOf<S>*>(p);
}

}  // namespace detail

template <class P, class S>
ERGO_INLINE P load_as(const S* p) {
  return detail::widen<P, S>(Pack<detail::StoredOf<S>, P::kLanes>::load(detail::stored(p)));
}
template <class P, class S>
ERGO_INLINE P load_part_as(const S* p, int n) {
  return detail::widen<P, S>(Pack<detail::StoredOf<S>, P::kLanes>::load_part(detail::stored(p), n));
}
template <class P, class S>
ERGO_INLINE P gather_as(const S* p, std::int64_t stride) {
  return detail::widen<P, S>(
      Pack<detail::StoredOf<S>, P::kLanes>::gather(reinterpret_cast<const std::byte*>(p), stride));
}
template <class P, class S>
ERGO_INLINE P gather_part_as(const S* p, std::int64_t stride, int n) {
  return detail::widen<P, S>(
      Pack<detail::StoredOf<S>, P::kLanes>::gather_part(reinterpret_cast<const std::byte*>(p), stride, n));
}

template <class S, class T, int W>
ERGO_INLINE void store_as(S* p, const Pack<T, W>& a) {
  detail::narrow<S>(a).store(detail::stored(p));
}
template <class T, int W>
ERGO_INLINE void store_as(bool* p, const Mask<T, W>& a) {
  detail::narrow<bool>(a).store(detail::stored(p));
}
template <class S, class P>
ERGO_INLINE void store_part_as(S* p, const P& a, int n) {
  detail::narrow<S>(a).store_part(detail::stored(p), n);
}

template <class T, int W>
ERGO_INLINE void stream(T* p, const Pack<T, W>& a) {
  if constexpr (sizeof(a.v) > 16) {  // 16 bytes is what every set has; the write-combining buffer joins them to lines
    stream(p, low(a));
    stream(p + W / 2, high(a));
  } else if constexpr (sizeof(a.v) < 16) {
    a.store(p);
  } else {
#if defined(__clang__)
    __builtin_nontemporal_store(a.v, reinterpret_cast<detail::Vector<T, W>*>(p));
#elif defined(__x86_64__)
    __builtin_ia32_movntps(reinterpret_cast<float*>(p), (detail::Vector<float, 4>)a.v);
#else
    a.store(p);
#endif
  }
}
inline void stream_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

template <int W>
ERGO_INLINE Pack<float, W> from_bfloat16(const Pack<std::uint16_t, W>& a) {
  return (a.template to<std::int32_t>() << 16).template as<float>();
}

template <int W>
ERGO_INLINE Pack<std::uint16_t, W> to_bfloat16(const Pack<float, W>& a) {
  using I = Pack<std::int32_t, W>;
  const I u = a.bits(), rounded = u + I(0x7fff) + ((u >> 16) & I(1));
  const I quiet_nan = u | I(0x400000);
  return (where(a != a, quiet_nan, rounded) >> 16).template to<std::uint16_t>();
}

template <int W>
ERGO_INLINE Pack<float, W> from_half(const Pack<std::uint16_t, W>& a) {
  using I = Pack<std::int32_t, W>;
  const I u = a.template to<std::int32_t>(), body = u & I(0x7fff), sign = (u & I(0x8000)) << 16;
  const I bias(112 << 23), normal = (body << 13) + bias;
  const I finite = where(body < I(0x400), (body.template to<float>() * Pack<float, W>(0x1p-24f)).bits(), normal);
  return (where(body < I(0x7c00), finite, normal + bias) | sign).template as<float>();
}

template <int W>
ERGO_INLINE Pack<std::uint16_t, W> to_half(const Pack<float, W>& a) {
  using I = Pack<std::int32_t, W>;
  const I u = a.bits(), body = u & I(0x7fffffff), sign = (u >> 16) & I(0x8000);
  const I normal = (body + I(0xfff - (112 << 23)) + ((body >> 13) & I(1))) >> 13;
  // Adding one half rounds in the float adder at 2^-24, the unit of subnormals.
  const I subnormal = (body.template as<float>() + Pack<float, W>(0.5f)).bits() - I(0x3f000000);
  const I nan = I(0x7e00) | ((body >> 13) & I(0x3ff));
  const I large = where(body < I(0x7f800001), I(0x7c00), nan);
  const I r = where(body < I(0x38800000), subnormal, where(body < I(0x47800000), normal, large));
  return (r | sign).template to<std::uint16_t>();
}

}  // namespace ergo::inline ERGO_BUILD::cpu

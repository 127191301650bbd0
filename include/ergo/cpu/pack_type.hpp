// The two types behind cpu/pack.hpp: `Pack<T, W>`, W lanes of T with the arithmetic of T on each, and `Mask<T, W>`,
// what comparing two of them gives. Both wrap a vector of the compiler's own vector extension, so they are compiled for
// whatever instruction set the loop around them is compiled for (cpu/isa.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
struct Pack;
template <class T, int W>
struct Mask;

namespace detail {

// The integers that are as wide as T.
template <class T>
using SignedOf = std::conditional_t<
    sizeof(T) == 1, std::int8_t,
    std::conditional_t<sizeof(T) == 2, std::int16_t, std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>>>;
template <class T>
using UnsignedOf = std::make_unsigned_t<SignedOf<T>>;

// Half the larger of the two, with the sign of T: a step on the way from one to the other.
template <class T, class U, std::size_t Size = (sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U)) / 2>
using BetweenOf = std::conditional_t<std::is_signed_v<T>, std::conditional_t<Size == 2, std::int16_t, std::int32_t>,
                                     std::conditional_t<Size == 2, std::uint16_t, std::uint32_t>>;

// The compiler's vector of W lanes, and the same without alignment and type-based aliasing, to load and store through.
template <class T, int W>
struct VectorOf {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
  typedef T loose __attribute__((vector_size(W * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T, int W>
using Vector = typename VectorOf<T, W>::type;

// g++ chooses the type of a comparison's result for the function that it parses, not for the one that it is inlined
// into: comparisons of 64-byte vectors, and selections by them, would fall apart into scalars. They are taken in halves
// there.
#if defined(__clang__)
inline constexpr std::size_t kMaskBytes = 64;
#else
inline constexpr std::size_t kMaskBytes = 32;
#endif

struct Equal;
struct Less;
struct LessEqual;
template <class Relation, class T, int W>
Mask<T, W> compare(const Pack<T, W>& a, const Pack<T, W>& b);

}  // namespace detail

// A truth value for each lane of a Pack<T, W>, kept as all ones or all zeros.
template <class T, int W>
struct Mask {
  using Lane = detail::SignedOf<T>;
  static constexpr int kLanes = W;
  detail::Vector<Lane, W> v;

  ERGO_INLINE Mask() : v{} {}
  ERGO_INLINE explicit Mask(bool x) : v(Lane(-Lane(x)) - detail::Vector<Lane, W>{}) {}
  ERGO_INLINE Mask(const Mask& o) : v(o.v) {}
  ERGO_INLINE Mask& operator=(const Mask& o) {
    v = o.v;
    return *this;
  }

  ERGO_INLINE bool operator[](int i) const { return v[i] != 0; }

  // The same truths for lanes of U.
  template <class U>
  ERGO_INLINE Mask<U, W> to() const {
    Mask<U, W> r;
    r.v = bits().template to<typename Mask<U, W>::Lane>().v;
    return r;
  }
  // -1 for true, 0 for false.
  ERGO_INLINE Pack<Lane, W> bits() const {
    Pack<Lane, W> r;
    r.v = v;
    return r;
  }

  friend ERGO_INLINE Mask operator&(const Mask& a, const Mask& b) { return of(a.v & b.v); }
  friend ERGO_INLINE Mask operator|(const Mask& a, const Mask& b) { return of(a.v | b.v); }
  friend ERGO_INLINE Mask operator^(const Mask& a, const Mask& b) { return of(a.v ^ b.v); }
  friend ERGO_INLINE Mask operator!(const Mask& a) { return of(~a.v); }
  friend ERGO_INLINE Mask operator==(const Mask& a, const Mask& b) { return !(a ^ b); }  // false < true
  friend ERGO_INLINE Mask operator!=(const Mask& a, const Mask& b) { return a ^ b; }
  friend ERGO_INLINE Mask operator<(const Mask& a, const Mask& b) { return !a & b; }
  friend ERGO_INLINE Mask operator<=(const Mask& a, const Mask& b) { return !a | b; }
  friend ERGO_INLINE Mask operator>(const Mask& a, const Mask& b) { return a & !b; }
  friend ERGO_INLINE Mask operator>=(const Mask& a, const Mask& b) { return a | !b; }
  // where on masks: a where c, else b.
  friend ERGO_INLINE Mask where(const Mask& c, const Mask& a, const Mask& b) { return (c & a) | (!c & b); }

 private:
  template <class V>
  static ERGO_INLINE Mask of(const V& v) {
    Mask r;
    r.v = v;
    return r;
  }
};

// W lanes of T: float, double, or an integer type.
template <class T, int W>
struct Pack {
  static_assert(W > 0 && (W & (W - 1)) == 0, "the number of lanes is a power of two");
  using value_type = T;
  static constexpr int kLanes = W;
  detail::Vector<T, W> v;

  ERGO_INLINE Pack() : v{} {}
  ERGO_INLINE explicit Pack(T x)
      : v(x - detail::Vector<T, W>{}) {}  // minus 0, not plus: that would lose the sign of -0
  template <class S>
    requires(std::is_arithmetic_v<S> && !std::is_same_v<S, T>)
  ERGO_INLINE explicit Pack(S x) : Pack(T(x)) {}  // A(0.1) in a functor is meant, whatever the lane
  // Written out, so that every ABI passes packs in memory: functions compiled for different sets then agree (a user's
  // functor that is not inlined at -O0), where trivially copied 64-byte vectors are passed in different registers.
  ERGO_INLINE Pack(const Pack& o) : v(o.v) {}
  ERGO_INLINE Pack& operator=(const Pack& o) {
    v = o.v;
    return *this;
  }

  // Lanes from memory, of no particular alignment.
  static ERGO_INLINE Pack load(const T* p) {
    Pack r;
    r.v = *reinterpret_cast<const typename detail::VectorOf<T, W>::loose*>(p);
    return r;
  }
  // The first n lanes from memory, which alone is read; the others are 0.
  static ERGO_INLINE Pack load_part(const T* p, int n) {
    Pack r;
    __builtin_memcpy(&r.v, p, std::size_t(n) * sizeof(T));
    return r;
  }
  // Lanes `stride` bytes apart, possibly 0 or negative.
  static ERGO_INLINE Pack gather(const std::byte* p, std::int64_t stride) {
    return gather_lanes(p, stride, std::make_integer_sequence<int, W>{});
  }
  static ERGO_INLINE Pack gather_part(const std::byte* p, std::int64_t stride, int n) {
    Pack r;
    for (int i = 0; i < n; ++i) r.v[i] = lane_at(p + i * stride);
    return r;
  }
  // 0, 1, 2, ...
  static ERGO_INLINE Pack iota() { return iota_lanes(std::make_integer_sequence<int, W>{}); }

  ERGO_INLINE void store(T* p) const { *reinterpret_cast<typename detail::VectorOf<T, W>::loose*>(p) = v; }
  ERGO_INLINE void store_part(T* p, int n) const { __builtin_memcpy(p, &v, std::size_t(n) * sizeof(T)); }

  ERGO_INLINE T operator[](int i) const { return v[i]; }
  ERGO_INLINE void set(int i, T x) { v[i] = x; }

  // Each lane as a U, as static_cast does it: towards zero, and what U cannot hold has no meaning.
  template <class U>
  ERGO_INLINE Pack<U, W> to() const {
    Pack<U, W> r;
    if constexpr (std::is_same_v<T, U>) {
      r.v = v;
    } else if constexpr (std::is_floating_point_v<U> && std::is_integral_v<T> && sizeof(T) < 4) {
      return to<std::int32_t>().template to<U>();  // machines convert from and to 32 bits
    } else if constexpr (std::is_floating_point_v<T> && std::is_integral_v<U> && sizeof(U) < 4) {
      return to<std::int32_t>().template to<U>();
    } else if constexpr (std::is_integral_v<T> && std::is_integral_v<U> &&
                         (sizeof(T) > 2 * sizeof(U) || 2 * sizeof(T) < sizeof(U))) {
      return to<detail::BetweenOf<T, U>>().template to<U>();  // g++ takes longer steps lane by lane
    } else {
      r.v = __builtin_convertvector(v, decltype(r.v));
    }
    return r;
  }
  // The bits of each lane as an integer, and a pack from such.
  ERGO_INLINE Pack<detail::SignedOf<T>, W> bits() const { return as<detail::SignedOf<T>>(); }
  static ERGO_INLINE Pack from_bits(const Pack<detail::SignedOf<T>, W>& b) { return b.template as<T>(); }
  // The bits of each lane as a U of the same size.
  template <class U>
  ERGO_INLINE Pack<U, W> as() const {
    static_assert(sizeof(U) == sizeof(T));
    Pack<U, W> r;
    r.v = (decltype(r.v))v;
    return r;
  }

  friend ERGO_INLINE Pack operator+(const Pack& a, const Pack& b) { return of((Ring)a.v + (Ring)b.v); }
  friend ERGO_INLINE Pack operator-(const Pack& a, const Pack& b) { return of((Ring)a.v - (Ring)b.v); }
  friend ERGO_INLINE Pack operator*(const Pack& a, const Pack& b) { return of((Ring)a.v * (Ring)b.v); }
  friend ERGO_INLINE Pack operator-(const Pack& a) { return of(-(Ring)a.v); }
  friend ERGO_INLINE Pack operator/(const Pack& a, const Pack& b) requires std::is_floating_point_v<T> {
    return of(a.v / b.v);
  }
  ERGO_INLINE Pack& operator+=(const Pack& b) { return *this = *this + b; }
  ERGO_INLINE Pack& operator-=(const Pack& b) { return *this = *this - b; }
  ERGO_INLINE Pack& operator*=(const Pack& b) { return *this = *this * b; }
  ERGO_INLINE Pack& operator/=(const Pack& b) requires std::is_floating_point_v<T> { return *this = *this / b; }

  // For integers. A shift is by the same n for every lane, 0 <= n < the bits of T; `>>` repeats the sign of signed
  // lanes.
  friend ERGO_INLINE Pack operator&(const Pack& a, const Pack& b) { return of(a.v & b.v); }
  friend ERGO_INLINE Pack operator|(const Pack& a, const Pack& b) { return of(a.v | b.v); }
  friend ERGO_INLINE Pack operator^(const Pack& a, const Pack& b) { return of(a.v ^ b.v); }
  friend ERGO_INLINE Pack operator~(const Pack& a) { return of(~a.v); }
  friend ERGO_INLINE Pack operator<<(const Pack& a, int n) { return of((Ring)a.v << T(n)); }
  friend ERGO_INLINE Pack operator>>(const Pack& a, int n) { return of(a.v >> T(n)); }

  friend ERGO_INLINE Mask<T, W> operator==(const Pack& a, const Pack& b) {
    return detail::compare<detail::Equal>(a, b);
  }
  friend ERGO_INLINE Mask<T, W> operator<(const Pack& a, const Pack& b) { return detail::compare<detail::Less>(a, b); }
  friend ERGO_INLINE Mask<T, W> operator<=(const Pack& a, const Pack& b) {
    return detail::compare<detail::LessEqual>(a, b);
  }
  friend ERGO_INLINE Mask<T, W> operator!=(const Pack& a, const Pack& b) { return !(a == b); }
  friend ERGO_INLINE Mask<T, W> operator>(const Pack& a, const Pack& b) { return b < a; }
  friend ERGO_INLINE Mask<T, W> operator>=(const Pack& a, const Pack& b) { return b <= a; }

  // f(lane), or f(lane, lane of b), for each lane, one at a time.
  template <class F>
  ERGO_INLINE Pack each(F f) const {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = f(v[i]);
    return r;
  }
  template <class F>
  ERGO_INLINE Pack each(F f, const Pack& b) const {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = f(v[i], b.v[i]);
    return r;
  }

  // Over the lanes, folded by halves: lane i with lane i + W / 2, and so on. A NaN makes `max` and `min` NaN.
  ERGO_INLINE T sum() const {
    return fold([](const auto& a, const auto& b) __attribute__((always_inline)) { return a + b; });
  }
  ERGO_INLINE T product() const {
    return fold([](const auto& a, const auto& b) __attribute__((always_inline)) { return a * b; });
  }
  ERGO_INLINE T max() const {
    return fold([](const auto& a, const auto& b) __attribute__((always_inline)) { return maximum(a, b); });
  }
  ERGO_INLINE T min() const {
    return fold([](const auto& a, const auto& b) __attribute__((always_inline)) { return minimum(a, b); });
  }

 private:
  using Ring = detail::Vector<std::conditional_t<std::is_floating_point_v<T>, T, detail::UnsignedOf<T>>, W>;

  template <class V>
  static ERGO_INLINE Pack of(const V& v) {
    Pack r;
    r.v = (detail::Vector<T, W>)v;
    return r;
  }
  static ERGO_INLINE T lane_at(const std::byte* p) {
    T x;
    __builtin_memcpy(&x, p, sizeof(T));
    return x;
  }
  template <int... K>
  static ERGO_INLINE Pack gather_lanes(const std::byte* p, std::int64_t stride, std::integer_sequence<int, K...>) {
    Pack r;
    r.v = detail::Vector<T, W>{lane_at(p + K * stride)...};
    return r;
  }
  template <int... K>
  static ERGO_INLINE Pack iota_lanes(std::integer_sequence<int, K...>) {
    Pack r;
    r.v = detail::Vector<T, W>{T(K)...};
    return r;
  }
  template <class F>
  ERGO_INLINE T fold(F f) const {
    if constexpr (W == 1) {
      return v[0];
    } else {
      return f(low(*this), high(*this)).fold(f);
    }
  }
  template <class, int>
  friend struct Pack;
};

}  // namespace ergo::inline ERGO_BUILD::cpu

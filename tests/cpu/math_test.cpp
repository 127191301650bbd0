// Accuracy of cpu/math.hpp at every instruction set that the machine has: float against long double, double against the
// 128-bit functions of libquadmath (looked up at run time, so that nothing needs to be linked).
#include "ergo/cpu/math.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "ergo/cpu/isa.hpp"
#include "support/seed.hpp"
#include "support/skip.hpp"

namespace cpu_math_test {

namespace {

namespace cpu = ergo::cpu;
using cpu::Isa;
using cpu::Pack;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
using Quad = __float128;
#pragma GCC diagnostic pop

template <class F, class T>
struct Unary {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / int(sizeof(T));
    long i = 0;
    for (; i + w <= n; i += w) F::of(Pack<T, w>::load(x + i)).store(y + i);
    if (i < n) F::of(Pack<T, w>::load_part(x + i, int(n - i))).store_part(y + i, int(n - i));
  }
};
template <class F, class T>
struct Binary {
  template <Isa I>
  static ERGO_INLINE void run(const T* a, const T* b, T* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / int(sizeof(T));
    for (long i = 0; i + w <= n; i += w) F::of(Pack<T, w>::load(a + i), Pack<T, w>::load(b + i)).store(y + i);
  }
};

template <class T>
struct Range {
  T lo, hi;  // sampled evenly, and evenly in the exponent
};

template <class T>
struct Case {
  const char* name;
  void (*ours)(const T*, T*, long);
  void (*wide)(const T*, T*, long);
  long double (*reference)(long double);
  const char* quad;
  double limit, limit_without_fma;
  std::vector<Range<T>> ranges;
};

// Distance in units of the last place of T at `exact`. NaN, the sign of zero and overflow to infinity must be as there.
template <class T, class R>
double ulps(T y, R exact) {
  if (exact != exact) return y != y ? 0 : 1e30;
  if (y != y) return 1e30;
  if (exact == 0) return y == 0 && std::signbit(y) == (R(1) / exact < 0) ? 0 : 1e30;
  const R largest = R(std::numeric_limits<T>::max()), magnitude = exact < 0 ? -exact : exact;
  const int digits = std::numeric_limits<T>::digits;
  if (std::isinf(static_cast<long double>(exact))) return std::isinf(y) && (y < 0) == (exact < 0) ? 0 : 1e30;
  int e = std::ilogb(static_cast<long double>(magnitude)) + 1;
  if (e < std::numeric_limits<T>::min_exponent) e = std::numeric_limits<T>::min_exponent;
  const long double unit = std::ldexp(1.0L, e - digits);
  if (std::isinf(y)) return magnitude >= largest + R(unit) / 2 && (y < 0) == (exact < 0) ? 0 : 1e30;
  const R error = R(y) - exact;
  return double((error < 0 ? -error : error) / R(unit));
}

template <class T>
std::vector<T> sample(const std::vector<Range<T>>& ranges, int per_range) {
  std::mt19937_64 g(test_seed());
  std::vector<T> x;
  for (const auto& r : ranges) {
    std::uniform_real_distribution<T> even(T(0), T(1));
    for (int i = 0; i < per_range; ++i) {
      const T u = even(g);
      x.push_back(r.lo * (1 - u) + r.hi * u);
    }
    // Evenly in the bits, which is evenly in the exponent, on each side of 0.
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    for (int side = 0; side < 2; ++side) {
      const T lo = side == 0 ? std::fmax(r.lo, T(0)) : std::fmax(-r.hi, T(0)), hi = side == 0 ? r.hi : -r.lo;
      if (!(hi > lo)) continue;
      std::uniform_int_distribution<Bits> bits(std::bit_cast<Bits>(lo), std::bit_cast<Bits>(hi));
      for (int i = 0; i < per_range; ++i)
        x.push_back(side == 0 ? std::bit_cast<T>(bits(g)) : -std::bit_cast<T>(bits(g)));
    }
  }
  return x;
}

template <class T>
std::vector<T> specials() {
  using L = std::numeric_limits<T>;
  std::vector<T> r;
  for (T v : {T(0),
              L::infinity(),
              L::quiet_NaN(),
              L::denorm_min(),
              3 * L::denorm_min(),
              L::min() / 2,
              L::min(),
              L::max(),
              L::max() / 4,
              T(1),
              T(2),
              T(3),
              T(0.5),
              T(1.5),
              T(2.5),
              T(100),
              T(1000),
              T(1e7),
              T(1e30),
              L::epsilon(),
              L::epsilon() / 8,
              std::nextafter(T(1), T(0)),
              std::nextafter(T(1), T(2))}) {
    r.push_back(v);
    r.push_back(-v);
  }
  return r;
}

std::vector<Isa> machine_isas() {
  std::vector<Isa> r;
  for (Isa i : {Isa::sse2, Isa::avx2, Isa::avx512}) {
    if (int(i) <= int(cpu::machine_isa())) r.push_back(i);
  }
  return r;
}

Quad (*quad_function(const char* name))(Quad) {
  static void* library = dlopen("libquadmath.so.0", RTLD_NOW);
  return library ? reinterpret_cast<Quad (*)(Quad)>(dlsym(library, name)) : nullptr;
}

template <class T>
void check(const Case<T>& c) {
  std::vector<T> x = sample(c.ranges, 100000);
  for (T v : specials<T>()) x.push_back(v);
  std::vector<T> y(x.size());
  using R = std::conditional_t<sizeof(T) == 4, long double, Quad>;
  std::vector<R> exact(x.size());
  if constexpr (sizeof(T) == 4) {
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = c.reference(x[i]);
  } else {
    const auto f = quad_function(c.quad);
    if (!f) {
      skip(std::string(c.name) + " of double", "there is no libquadmath.so.0 to compare with");
      return;
    }
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = f(x[i]);
  }
  for (Isa isa : machine_isas()) {
    cpu::set_isa(isa);
    c.ours(x.data(), y.data(), long(x.size()));
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double e = ulps(y[i], exact[i]);
      if (e > worst) worst = e, at = i;
    }
    std::printf("%-6s %-6s %-6s %9.3f ulp at %.17g\n", c.name, sizeof(T) == 4 ? "float" : "double", cpu::name(isa),
                worst, double(x[at]));
    if (isa == Isa::sse2 && cpu::machine_isa() >= Isa::avx2) {  // wide packs take instructions of that set
      const long n = 16384;
      std::vector<T> z(static_cast<std::size_t>(n));
      const T* end = x.data() + x.size() - n;  // the special values among them
      c.wide(end, z.data(), n);
      const T* expected = y.data() + y.size() - n;
      long different = 0;
      for (long i = 0; i < n; ++i) different += !(z[std::size_t(i)] == expected[i] || expected[i] != expected[i]);
      CHECK(different == 0);
    }
    INFO(std::string(c.name), sizeof(T) == 4 ? " of float " : " of double ", std::string(cpu::name(isa)), " at ",
         x[at]);
    CHECK(worst <= (isa == Isa::sse2 ? c.limit_without_fma : c.limit));
  }
  cpu::set_isa(Isa::avx512);
}

#define FUNCTION(f)                       \
  struct Of_##f {                         \
    template <class A>                    \
    static ERGO_INLINE A of(const A& x) { \
      return f(x);                        \
    }                                     \
  };
FUNCTION(exp)
FUNCTION(exp2)
FUNCTION(expm1)
FUNCTION(sinh)
FUNCTION(cosh)
FUNCTION(tanh)
FUNCTION(log)
FUNCTION(log2)
FUNCTION(log10)
FUNCTION(log1p)
FUNCTION(cbrt)
FUNCTION(sin)
FUNCTION(cos)
FUNCTION(tan)
FUNCTION(asin)
FUNCTION(acos)
FUNCTION(atan)
FUNCTION(asinh)
FUNCTION(acosh)
FUNCTION(atanh)
FUNCTION(erf)
FUNCTION(erfc)
FUNCTION(ndtr)
struct Of_density {
  template <class A>
  static ERGO_INLINE A of(const A& x) {
    return normal_distribution(x).density;
  }
};
FUNCTION(sqrt)
FUNCTION(rsqrt)
FUNCTION(floor)
FUNCTION(ceil)
FUNCTION(round)
FUNCTION(trunc)
FUNCTION(abs)
#undef FUNCTION

template <class F, class T>
void ours(const T* x, T* y, long n) {
  cpu::for_isa<Unary<F, T>>(x, y, n);
}

// With 64-byte packs, compiled for the lowest set: what AVX-512 computes, for machines that lack it.
template <class F, class T>
void wide(const T* x, T* y, long n) {
  constexpr int w = 64 / int(sizeof(T));
  for (long i = 0; i + w <= n; i += w) F::of(Pack<T, w>::load(x + i)).store(y + i);
}

#define ROW(f, limit, without_fma, ...)                                                     \
  Case<T> {                                                                                 \
#f, ours < Of_##f, T>, wide < Of_##f, T>,                                               \
        [](long double x) -> long double { return std::f(x); }, #f "q", limit, without_fma, \
                                                             std::vector < Range < T>> {    \
      __VA_ARGS__                                                                           \
    }                                                                                       \
  }

template <class T>
std::vector<Case<T>> cases() {
  using R = Range<T>;
  const bool single = sizeof(T) == 4;
  const T max = std::numeric_limits<T>::max(), big = single ? T(91) : T(712);
  const double one = single ? 1 : 2;
  return {
      ROW(exp, one, one, R{single ? T(-105) : T(-750), big}, R{-1, 1}),
      ROW(exp2, 2, 2, R{single ? T(-151) : T(-1080), single ? T(129) : T(1025)}, R{-1, 1}),
      ROW(expm1, 2, 2, R{-50, big}, R{-1, 1}),
      ROW(sinh, 2, 2, R{-big, big}, R{-2, 2}),
      ROW(cosh, 2, 2, R{-big, big}, R{-2, 2}),
      ROW(tanh, one, single ? 1.25 : 2, R{-30, 30}, R{-1.5, 1.5}),
      ROW(log, one, one, R{0, max}, R{0, 3}, R{T(0.9), T(1.1)}),
      ROW(log2, 2, 2, R{0, max}, R{0, 3}, R{T(0.9), T(1.1)}),
      ROW(log10, 2, 2, R{0, max}, R{0, 3}, R{T(0.9), T(1.1)}),
      ROW(log1p, 2, 2, R{0, max}, R{-1, 3}, R{T(-0.1), T(0.1)}),
      ROW(cbrt, 2, 2, R{-max, max}, R{-10, 10}),
      ROW(sin, 2, 2, R{-1e6, 1e6}, R{-10, 10}),
      ROW(cos, 2, 2, R{-1e6, 1e6}, R{-10, 10}),
      ROW(tan, 2, 2, R{-1e6, 1e6}, R{-10, 10}),
      ROW(asin, 2, 2, R{-1, 1}, R{T(0.49), T(0.51)}, R{T(-1.1), T(-0.9)}),
      ROW(acos, 2, 2, R{-1, 1}, R{T(0.49), T(0.51)}, R{T(-1.1), T(-0.9)}),
      ROW(atan, 2, 2, R{-max, max}, R{-10, 10}, R{T(-0.5), T(0.5)}),
      ROW(asinh, 2, 2, R{-max, max}, R{-10, 10}, R{T(-0.5), T(0.5)}),
      ROW(acosh, 2, 2, R{1, max}, R{T(0.9), 10}, R{T(1), T(1.1)}),
      ROW(atanh, 2, 2, R{-1, 1}, R{T(-0.1), T(0.1)}, R{T(-1.1), T(-0.9)}),
      ROW(erf, one, single ? 1.25 : 2, R{-7, 7}, R{-1.5, 1.5}),
      ROW(erfc, one, one, R{single ? T(-10.5) : T(-28), single ? T(10.5) : T(28)}, R{-1.5, 3}),
      ROW(sqrt, 0.5, 0.5, R{0, max}),
      ROW(floor, 0, 0, R{-max, max}, R{-100, 100}),
      ROW(ceil, 0, 0, R{-max, max}, R{-100, 100}),
      ROW(trunc, 0, 0, R{-max, max}, R{-100, 100}),
      Case<T>{"round",
              ours<Of_round, T>,
              wide<Of_round, T>,
              [](long double x) { return std::nearbyint(x); },
              "nearbyintq",
              0,
              0,
              {R{-max, max}, R{-100, 100}}},
  };
}
#undef ROW

#define FUNCTION(f)                                   \
  struct Of_##f {                                     \
    template <class A>                                \
    static ERGO_INLINE A of(const A& x, const A& y) { \
      return f(x, y);                                 \
    }                                                 \
  };
FUNCTION(pow)
FUNCTION(fmod)
FUNCTION(atan2)
#undef FUNCTION

// `exact` for pairs of doubles or of floats.
template <class F, class T, class Exact>
void check_pairs(const char* name, std::vector<T> a, std::vector<T> b, double limit, Exact exact) {
  while (a.size() % 16) a.push_back(1), b.push_back(1);
  std::vector<T> y(a.size());
  for (Isa isa : machine_isas()) {
    cpu::set_isa(isa);
    cpu::for_isa<Binary<F, T>>(static_cast<const T*>(a.data()), static_cast<const T*>(b.data()), y.data(),
                               long(a.size()));
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double e = ulps(y[i], exact(a[i], b[i]));
      if (e > worst) worst = e, at = i;
    }
    std::printf("%-6s %-6s %-6s %9.3f ulp at %.17g, %.17g\n", name, sizeof(T) == 4 ? "float" : "double", cpu::name(isa),
                worst, double(a[at]), double(b[at]));
    INFO(std::string(name), " of ", a[at], ", ", b[at]);
    CHECK(worst <= limit);
  }
  cpu::set_isa(Isa::avx512);
}

template <class T>
void check_powers() {
  const T big = sizeof(T) == 4 ? 40 : 300;
  std::vector<T> a = sample<T>({{0, 10}, {T(0.9), T(1.1)}, {-4, 4}}, 40000),
                 b = sample<T>({{-big, big}, {-3, 3}}, 60000);
  std::mt19937_64 g(test_seed());
  std::shuffle(b.begin(), b.end(), g);
  b.resize(a.size(), T(2));
  for (std::size_t i = 0; i < a.size(); i += 3) b[i] = std::round(b[i] / 8);
  const auto n = a.size();
  for (T x : specials<T>()) {
    for (T y : specials<T>()) a.push_back(x), b.push_back(y);
  }
  // 128 bits for doubles; where the C library and libquadmath could differ in what is special, the C library is right.
  const auto power = reinterpret_cast<Quad (*)(Quad, Quad)>(reinterpret_cast<void*>(quad_function("powq")));
  if (sizeof(T) == 8 && power) {
    std::vector<T> u(a.begin(), a.begin() + long(n)), v(b.begin(), b.begin() + long(n));
    check_pairs<Of_pow, T>("pow", u, v, 2, [power](T x, T y) { return power(Quad(x), Quad(y)); });
  }
  check_pairs<Of_pow, T>("pow", a, b, sizeof(T) == 4 ? 2 : 3, [](T x, T y) -> long double {
    return sizeof(T) == 4 ? std::pow(static_cast<long double>(x), static_cast<long double>(y)) : std::pow(x, y);
  });
}
template <class T>
void check_remainders() {
  std::vector<T> a = sample<T>({{-1000, 1000}}, 40000), b = sample<T>({{-10, 10}}, 40000);
  for (T x : specials<T>()) {
    for (T y : specials<T>()) a.push_back(x), b.push_back(y);
  }
  check_pairs<Of_fmod, T>("fmod", a, b, 0, [](T x, T y) -> long double { return std::fmod(x, y); });
}

template <class T>
void check_angles() {
  const T max = std::numeric_limits<T>::max();
  std::vector<T> a = sample<T>({{-10, 10}, {-max, max}}, 40000), b = a;
  std::mt19937_64 g(test_seed());
  std::shuffle(b.begin(), b.end(), g);
  for (std::size_t i = 0; i < a.size(); i += 2) b[i] = a[i] * (T(0.25) + T(i % 1000) / 1000);
  for (T x : specials<T>()) {
    for (T y : specials<T>()) a.push_back(x), b.push_back(y);
  }
  if constexpr (sizeof(T) == 4) {
    check_pairs<Of_atan2, T>("atan2", a, b, 2, [](T y, T x) {
      return std::atan2(static_cast<long double>(y), static_cast<long double>(x));
    });
  } else {
    const auto angle = reinterpret_cast<Quad (*)(Quad, Quad)>(reinterpret_cast<void*>(quad_function("atan2q")));
    if (!angle) return skip("atan2 of double", "there is no libquadmath.so.0 to compare with");
    check_pairs<Of_atan2, T>("atan2", a, b, 2, [angle](T y, T x) { return angle(Quad(y), Quad(x)); });
  }
}

// The scalar overload gives the bits of a lane of the lowest set.
template <class T>
void check_scalar(T x) {
  cpu::set_isa(Isa::sse2);
  T y[7];
  const T in = x;
  ours<Of_exp, T>(&in, y, 1), ours<Of_log, T>(&in, y + 1, 1), ours<Of_tanh, T>(&in, y + 2, 1),
      ours<Of_sin, T>(&in, y + 3, 1);
  ours<Of_erfc, T>(&in, y + 4, 1), ours<Of_floor, T>(&in, y + 5, 1), ours<Of_cbrt, T>(&in, y + 6, 1);
  const T z[7] = {cpu::exp(x), cpu::log(x), cpu::tanh(x), cpu::sin(x), cpu::erfc(x), cpu::floor(x), cpu::cbrt(x)};
  for (int i = 0; i < 7; ++i) CHECK((y[i] == z[i] || (y[i] != y[i] && z[i] != z[i])));
  cpu::set_isa(Isa::avx512);
}

}  // namespace

TEST_CASE("every function is within its bound, float") {
  for (const auto& c : cases<float>()) check(c);
}
TEST_CASE("every function is within its bound, double") {
  for (const auto& c : cases<double>()) check(c);
}
TEST_CASE("the normal distribution function of floats is within its bound to the last subnormal of its tail") {
  check(Case<float>{"ndtr",
                    ours<Of_ndtr, float>,
                    wide<Of_ndtr, float>,
                    [](long double x) { return std::erfc(-x * std::sqrt(0.5L)) / 2; },
                    "",
                    6,  // 3 with fused multiply-adds, which g++ does not form at -O1
                    6,
                    {{-14.6f, 14.6f}, {-2, 2}, {-0.1f, 0.1f}}});
}
TEST_CASE("the normal density of floats is within its bound") {
  check(Case<float>{"density",
                    ours<Of_density, float>,
                    wide<Of_density, float>,
                    [](long double x) { return std::exp(-x * x / 2) * 0.398942280401432677939946059934L; },
                    "",
                    2,
                    2,
                    {{-14.6f, 14.6f}, {-2, 2}, {-0.1f, 0.1f}}});
}
TEST_CASE("powers and remainders of two arguments") {
  check_powers<float>();
  check_powers<double>();
  check_remainders<float>();
  check_remainders<double>();
}
TEST_CASE("angles of points are within their bound") {
  check_angles<float>();
  check_angles<double>();
}
TEST_CASE("single numbers get the same formula") {
  for (float x : specials<float>()) check_scalar(x);
  for (double x : specials<double>()) check_scalar(x);
  for (float x : sample<float>({{-20, 20}}, 50)) check_scalar(x);
  for (double x : sample<double>({{-20, 20}}, 50)) check_scalar(x);
}
TEST_CASE("rsqrt is within two roundings") {
  std::vector<float> x = sample<float>({{0, std::numeric_limits<float>::max()}}, 100000), y(x.size());
  for (Isa isa : machine_isas()) {
    cpu::set_isa(isa);
    ours<Of_rsqrt, float>(x.data(), y.data(), long(x.size()));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::fmax(worst, ulps(y[i], 1 / std::sqrt(static_cast<long double>(x[i]))));
    CHECK(worst <= 1.5);
  }
  cpu::set_isa(Isa::avx512);
}
template <int W>
void check_rounding() {
  for (float v : specials<float>()) {
    const Pack<float, W> x(v);
    const auto same = [](float a, float b) {
      return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (a != a && b != b);
    };
    CHECK(same(floor(x)[3], std::floor(v)));
    CHECK(same(ceil(x)[3], std::ceil(v)));
    CHECK(same(trunc(x)[3], std::trunc(v)));
    CHECK(same(round(x)[3], std::nearbyint(v)));
    CHECK(same(abs(x)[3], std::fabs(v)));
    CHECK(same(copysign(Pack<float, W>(2), x)[3], std::copysign(2.0f, v)));
  }
}
TEST_CASE("floor, ceil, trunc, abs and rounding keep special values") {
  check_rounding<4>();
  if (cpu::machine_isa() >= Isa::avx2) {
    check_rounding<8>();
    check_rounding<16>();
  }
  CHECK(abs(Pack<std::int32_t, 4>(std::numeric_limits<std::int32_t>::min()))[0] ==
        std::numeric_limits<std::int32_t>::min());
}

}  // namespace cpu_math_test

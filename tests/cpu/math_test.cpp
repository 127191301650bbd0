// Accuracy of cpu/math.hpp at every instruction set that the machine has: float against long double, double against the
// 128-bit functions of libquadmath (looked up at run time, so that nothing needs to be linked).
#include "ergo/cpu/math.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "../support/seed.hpp"
#include "../support/skip.hpp"
#include "ergo/cpu/isa.hpp"

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
  long double (*reference)(long double);
  const char* quad;
  double limit, limit_without_fma;
  std::vector<Range<T>> ranges;
};

// Distance in units of the last place of T at `exact`. An overflow of `exact` must be an infinity.
template <class T, class R>
double ulps(T y, R exact) {
  if (exact != exact) return y != y ? 0 : 1e30;
  if (y != y) return 1e30;
  const R largest = R(std::numeric_limits<T>::max()), magnitude = exact < 0 ? -exact : exact;
  const int digits = std::numeric_limits<T>::digits;
  int e = std::ilogb(static_cast<long double>(magnitude)) + 1;
  if (magnitude == 0) e = std::numeric_limits<T>::min_exponent;
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
      for (int i = 0; i < per_range; ++i) x.push_back(side == 0 ? std::bit_cast<T>(bits(g)) : -std::bit_cast<T>(bits(g)));
    }
  }
  return x;
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
  const std::vector<T> x = sample(c.ranges, 200000);
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
    INFO(std::string(c.name), sizeof(T) == 4 ? " of float " : " of double ", std::string(cpu::name(isa)), " at ", x[at]);
    CHECK(worst <= (isa == Isa::sse2 ? c.limit_without_fma : c.limit));
  }
  cpu::set_isa(cpu::machine_isa());
}

#define FUNCTION(f)                          \
  struct Of_##f {                            \
    template <class A>                       \
    static ERGO_INLINE A of(const A& x) {    \
      return f(x);                           \
    }                                        \
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
FUNCTION(erf)
FUNCTION(erfc)
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

#define ROW(f, limit, without_fma, ...)                                                                       \
  Case<T> {                                                                                      \
    #f, ours<Of_##f, T>, [](long double x) -> long double { return std::f(x); }, #f "q", limit, without_fma, \
        std::vector<Range<T>> { __VA_ARGS__ }                                                    \
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
      ROW(erf, one, single ? 1.25 : 2, R{-7, 7}, R{-1.5, 1.5}),
      ROW(erfc, one, one, R{single ? T(-10.5) : T(-28), single ? T(10.5) : T(28)}, R{-1.5, 3}),
      ROW(sqrt, 0.5, 0.5, R{0, max}),
      ROW(floor, 0, 0, R{-max, max}, R{-100, 100}),
      ROW(ceil, 0, 0, R{-max, max}, R{-100, 100}),
      ROW(trunc, 0, 0, R{-max, max}, R{-100, 100}),
      Case<T>{"round", ours<Of_round, T>, [](long double x) { return std::nearbyint(x); }, "nearbyintq", 0, 0,
              {R{-max, max}, R{-100, 100}}},
  };
}
#undef ROW

}  // namespace

TEST_CASE("every function is within its bound, float") {
  for (const auto& c : cases<float>()) check(c);
}
TEST_CASE("every function is within its bound, double") {
  for (const auto& c : cases<double>()) check(c);
}

// Accuracy of silu and gelu_tanh at every instruction set that the machine has, down to the last subnormal of their
// tails. Optimised, for g++ forms fused multiply-adds at -O2 only, and the tail of gelu_tanh needs them.
// flags: -O2
#include "ergo/cpu/math_logistic.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "ergo/cpu/isa.hpp"
#include "support/seed.hpp"

namespace cpu_logistic_test {

namespace cpu = ergo::cpu;
using cpu::Isa;

namespace {

struct Silu {
  template <class A>
  static ERGO_INLINE A of(const A& x) {
    return silu(x);
  }
  static long double exact(long double x) { return x / (1 + std::exp(-x)); }
};
struct GeluTanh {
  template <class A>
  static ERGO_INLINE A of(const A& x) {
    return gelu_tanh(x);
  }
  static long double exact(long double x) {
    const long double scale = 1.59576912160573071176L;  // 2 sqrt(2 / pi)
    return x / (1 + std::exp(-scale * (x + 0.044715L * x * x * x)));
  }
};

template <class F, class T>
struct Each {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / int(sizeof(T));
    for (long i = 0; i < n; i += w) F::of(cpu::Pack<T, w>::load(x + i)).store(y + i);
  }
};
template <class F, class T>
std::vector<T> results(const std::vector<T>& x) {
  std::vector<T> y(x.size());
  cpu::for_isa<Each<F, T>>(x.data(), y.data(), long(x.size()));
  return y;
}

template <class F, class T>
void check(const char* name, T lowest, double limit, double limit_without_fma) {
  constexpr std::size_t kCount = 200000;
  std::mt19937_64 g(test_seed());
  std::uniform_real_distribution<T> all(lowest, -lowest), near(T(-2), T(2));
  std::vector<T> x;
  for (std::size_t i = 0; i < kCount; i += 2) {
    x.push_back(all(g));
    x.push_back(near(g));
  }
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    cpu::set_isa(Isa(isa));
    CAPTURE(name);
    CAPTURE(isa);
    const std::vector<T> y = results<F>(x);
    double worst = 0;
    T at = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
      const long double exact = F::exact(x[i]);
      const int e = std::max(exact == 0 ? -99999 : std::ilogb(exact) + 1, std::numeric_limits<T>::min_exponent);
      const double error = double(std::fabs((y[i] - exact) / std::ldexp(1.0L, e - std::numeric_limits<T>::digits)));
      if (!(error <= worst)) worst = error, at = x[i];
    }
    std::printf("%-9s %-6s %-6s %9.3f ulp at %.17g\n", name, sizeof(T) == 4 ? "float" : "double", cpu::name(Isa(isa)),
                worst, double(at));
    CHECK(worst <= (isa == int(Isa::sse2) ? limit_without_fma : limit));

    // An element does not depend on its neighbours, which decide whether the tail needs care.
    std::vector<T> sorted = x;
    std::sort(sorted.begin(), sorted.end());
    std::vector<T> after = results<F>(x), before = results<F>(sorted);
    std::vector<std::pair<T, T>> pairs(kCount);
    for (std::size_t i = 0; i < kCount; ++i) pairs[i] = {x[i], after[i]};
    std::sort(pairs.begin(), pairs.end());
    long different = 0;
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    for (std::size_t i = 0; i < kCount; ++i)
      different += std::bit_cast<Bits>(pairs[i].second) != std::bit_cast<Bits>(before[i]);
    CHECK(different == 0);

    const T infinity = std::numeric_limits<T>::infinity();
    std::vector<T> corners(64, T(1));
    corners[0] = -infinity, corners[1] = infinity, corners[2] = -T(0), corners[3] = T(-1e30);
    corners[4] = std::numeric_limits<T>::quiet_NaN(), corners[5] = T(1e30);
    const std::vector<T> c = results<F>(corners);
    CHECK((c[0] == 0 && std::signbit(c[0])));
    CHECK(c[1] == infinity);
    CHECK((c[2] == 0 && std::signbit(c[2])));
    CHECK(c[3] == 0);
    CHECK(c[4] != c[4]);
    CHECK(c[5] == T(1e30));
  }
  cpu::set_isa(Isa::avx512);
}

}  // namespace

TEST_CASE("silu is within its bound to the last subnormal") {
  check<Silu, float>("silu", -110, 3.5, 3.5);
  check<Silu, double>("silu", -760, 3.5, 3.5);
}
TEST_CASE("gelu_tanh is within its bound to the last subnormal") {
  check<GeluTanh, float>("gelu_tanh", -11.5, 3.5, 200);
  check<GeluTanh, double>("gelu_tanh", -21.8, 3.5, 2000);
}

}  // namespace cpu_logistic_test

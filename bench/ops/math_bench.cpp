// Time per element of the elementary functions (cpu/math.hpp) on arrays in the first-level cache, at every
// instruction set of the machine, beside one call of the C library per element.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/math.hpp"

namespace {

namespace cpu = ergo::cpu;
using cpu::Isa;
using cpu::Pack;

template <class F, class T>
struct Loop {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / int(sizeof(T));
    for (long i = 0; i + w <= n; i += w) F::value(Pack<T, w>::load(x + i)).store(y + i);
  }
};

template <class T>
std::vector<T> arguments(T lo, T hi) {
  std::mt19937 g(1);
  std::uniform_real_distribution<T> u(lo, hi);
  std::vector<T> x(2048);
  for (T& v : x) v = u(g);
  return x;
}

template <class T, class Run>
void measure(const std::string& name, T lo, T hi, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    const std::vector<T> x = arguments(lo, hi);
    std::vector<T> y(x.size());
    for (auto _ : state) {
      run(x.data(), y.data(), long(x.size()));
      benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    state.counters["element"] = Counter(double(x.size()), Counter::kIsIterationInvariantRate | Counter::kInvert);
  });
}

template <class F, class T>
void row(const std::string& name, T lo, T hi, T (*library)(T)) {
  const std::string full = name + (sizeof(T) == 4 ? "/float/" : "/double/");
  for (int i = 0; i <= int(cpu::machine_isa()); ++i) {
    measure<T>(full + cpu::name(Isa(i)), lo, hi, [i](const T* x, T* y, long n) {
      cpu::set_isa(Isa(i));
      cpu::for_isa<Loop<F, T>>(x, y, n);
    });
  }
  measure<T>(full + "libm", lo, hi, [library](const T* x, T* y, long n) {
    for (long i = 0; i < n; ++i) y[i] = library(x[i]);
  });
}

#define FUNCTION(f)                          \
  struct Of_##f {                            \
    template <class A>                       \
    static ERGO_INLINE A value(const A& x) { \
      return f(x);                           \
    }                                        \
  };
FUNCTION(exp)
FUNCTION(exp2)
FUNCTION(expm1)
FUNCTION(log)
FUNCTION(log2)
FUNCTION(log1p)
FUNCTION(tanh)
FUNCTION(sinh)
FUNCTION(cosh)
FUNCTION(erf)
FUNCTION(erfc)
FUNCTION(sin)
FUNCTION(cos)
FUNCTION(tan)
FUNCTION(cbrt)
FUNCTION(sqrt)
FUNCTION(floor)
FUNCTION(round)
#undef FUNCTION

#define ROW(f, lo, hi)                                                             \
  row<Of_##f, float>(#f, float(lo), float(hi), [](float x) { return std::f(x); }); \
  row<Of_##f, double>(#f, lo, hi, [](double x) { return std::f(x); });

const bool registered = [] {
  ROW(exp, -10, 10)
  ROW(exp2, -10, 10)
  ROW(expm1, -2, 2)
  ROW(log, 0.1, 10)
  ROW(log2, 0.1, 10)
  ROW(log1p, -0.5, 5)
  ROW(tanh, -3, 3)
  ROW(sinh, -3, 3)
  ROW(cosh, -3, 3)
  ROW(erf, -3, 3)
  ROW(erfc, -3, 3)
  ROW(sin, -10, 10)
  ROW(cos, -10, 10)
  ROW(tan, -10, 10)
  ROW(cbrt, -10, 10)
  ROW(sqrt, 0.1, 10)
  ROW(floor, -10, 10)
  ROW(round, -10, 10)
  return true;
}();
#undef ROW

}  // namespace

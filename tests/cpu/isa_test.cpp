// The choice of instruction sets, and the trap that packs avoid: without optimisation a user's functor is a function of
// its own, compiled for the lowest set, called with packs from a loop compiled for a higher one.
// flags: -O0
#include "ergo/cpu/isa.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/pack.hpp"
#include "support/seed.hpp"
#include "support/skip.hpp"

namespace cpu_isa_test {

namespace {

namespace cpu = ergo::cpu;
using cpu::Isa;
using cpu::Pack;

constexpr Isa kAll[] = {Isa::sse2, Isa::avx2, Isa::avx512};

struct WhichSet {
  template <Isa I>
  static ERGO_INLINE void run(int* set, int* bytes) {
    *set = int(I);
    *bytes = cpu::kRegisterBytes<I>;
  }
};

struct ByValue {
  template <class A>
  A operator()(A x, A w) const {
    return x * w + x;
  }
};
struct ByReference {
  template <class A>
  A operator()(const A& x, const A& w) const {
    return where(x < w, sqrt(abs(x)), x * w + x);
  }
};
template <class F, class T>
struct Apply {
  template <Isa I>
  static ERGO_INLINE void run(const F* f, const T* x, const T* w, T* y, long n) {
    constexpr int lanes = cpu::kRegisterBytes<I> / int(sizeof(T));
    using A = Pack<T, lanes>;
    for (long i = 0; i + lanes <= n; i += lanes) (*f)(A::load(x + i), A::load(w + i)).store(y + i);
    const int left = int(n % lanes);
    const long i = n - left;
    (*f)(A::load_part(x + i, left), A::load_part(w + i, left)).store_part(y + i, left);
  }
};

template <class F, class T>
double worst(Isa isa) {
  std::mt19937_64 g(test_seed());
  std::uniform_real_distribution<T> u(-9, 9);
  std::vector<T> x(1003), w(1003), y(1003);
  for (T& v : x) v = u(g);
  for (T& v : w) v = u(g);
  cpu::set_isa(isa);
  const F f;
  cpu::for_isa<Apply<F, T>>(&f, x.data(), w.data(), y.data(), 1003L);
  cpu::set_isa(Isa::avx512);
  double r = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    T expected = x[i] * w[i] + x[i];
    if constexpr (std::is_same_v<F, ByReference>) {
      if (x[i] < w[i]) expected = T(__builtin_sqrt(__builtin_fabs(double(x[i]))));
    }
    const double e = __builtin_fabs(double(y[i]) - double(expected)) / (1 + __builtin_fabs(double(expected)));
    if (!(e <= r)) r = e;
  }
  return r;
}

}  // namespace

TEST_CASE("a loop runs compiled for the set in use") {
  for (Isa isa : kAll) {
    cpu::set_isa(isa);
    int set = -1, bytes = 0;
    cpu::for_isa<WhichSet>(&set, &bytes);
    CHECK(set == int(cpu::isa()));
    CHECK(set == std::min(int(isa), int(cpu::machine_isa())));
    CHECK(bytes == 16 << set);
    if (set != int(isa)) skip(std::string("the set ") + cpu::name(isa), "this machine lacks it");
  }
  cpu::set_isa(Isa::avx512);
}

TEST_CASE("ERGO_ISA lowers the choice and never raises it") {
  for (const char* wanted : {"sse2", "avx2", "avx512", "nonsense", ""}) {
    cpu::detail::isa_in_use = -1;  // as at the start of the program
    setenv("ERGO_ISA", wanted, 1);
    const Isa got = cpu::isa();
    unsetenv("ERGO_ISA");
    CHECK(int(got) <= int(cpu::machine_isa()));
    for (Isa isa : kAll) {
      if (std::string(wanted) == cpu::name(isa)) CHECK(int(got) == std::min(int(isa), int(cpu::machine_isa())));
    }
    CHECK(cpu::isa() == got);  // read once
  }
  cpu::set_isa(Isa::avx512);
  CHECK(cpu::isa() == cpu::machine_isa());
}

TEST_CASE("user functors that are not inlined get and give the right lanes") {
  for (Isa isa : kAll) {
    CHECK(worst<ByValue, float>(isa) < 1e-5);
    CHECK(worst<ByReference, float>(isa) < 1e-5);
    CHECK(worst<ByValue, double>(isa) < 1e-14);
    CHECK(worst<ByReference, double>(isa) < 1e-14);
  }
}

}  // namespace cpu_isa_test

// Packs and masks of every lane type and width against plain scalar arithmetic, at every instruction set of the
// machine; memory at the edge of a page; all 65,536 patterns of both 16-bit floats, and their rounding from float.
#include "ergo/cpu/pack.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"
#include "support/seed.hpp"

namespace cpu_pack_test {

namespace {

namespace cpu = ergo::cpu;
using cpu::Isa;
using cpu::Mask;
using cpu::Pack;
using ergo::bfloat16;
using ergo::half;

template <class Body, class... A>
void at_every_isa(A... arguments) {
  for (int i = 0; i <= int(cpu::machine_isa()); ++i) {
    cpu::set_isa(Isa(i));
    cpu::for_isa<Body>(arguments...);
  }
}

template <class T>
std::vector<T> random_values(int n) {
  static std::mt19937_64 g(test_seed());
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) {
    if constexpr (std::is_floating_point_v<T>) {
      v = std::uniform_real_distribution<T>(-100, 100)(g);
    } else {
      v = static_cast<T>(g());
    }
  }
  return x;
}

// Two integers' bits added, and so on, as the machine does it.
template <class T>
T wrapped(T a, T b, char op) {
  if constexpr (std::is_floating_point_v<T>) {
    return op == '+' ? a + b : op == '-' ? a - b : a * b;
  } else {
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    return static_cast<T>(op == '+' ? x + y : op == '-' ? x - y : x * y);
  }
}

// What the packs give, stored, so that plain code can look at it.
template <class T, int W>
struct Results {
  T sum[W], difference[W], product[W], negative[W], chosen[W], top[W], bottom[W], fused[W], each[W], swapped[W],
      bits[W], left[W], right[W], quotient[W];
  bool less[W], least[W], equal[W], unequal[W], more[W], most[W];
  T total, largest;
  bool some_less, all_less;
};

// Whether a pack of so many bytes is tried with the set: up to twice its registers, so that the packs of AVX-512 are
// tried on machines that lack it.
template <Isa I>
constexpr bool tried(std::size_t bytes) {
  return bytes <= 2 * std::size_t(cpu::kRegisterBytes<I>);
}
bool tried(Isa isa, std::size_t bytes) { return bytes <= 32u << int(isa); }

template <class T, int W>
struct Arithmetic {
  template <Isa I>
  static ERGO_INLINE void run(const T* a, const T* b, Results<T, W>* r) {
    if constexpr (tried<I>(W * sizeof(T))) look<Pack<T, W>>(a, b, r);
  }
  template <class A>
  static ERGO_INLINE void look(const T* a, const T* b, Results<T, W>* r) {
    const A x = A::load(a), y = A::load(b);
    (x + y).store(r->sum);
    (x - y).store(r->difference);
    (x * y).store(r->product);
    (-x).store(r->negative);
    where(x < y, x, y).store(r->chosen);
    maximum(x, y).store(r->top);
    minimum(x, y).store(r->bottom);
    fma(x, y, x).store(r->fused);
    x.each([](T v, T w) { return wrapped(v, w, '-'); }, y).store(r->each);
    join(high(x), low(x)).store(r->swapped);
    if constexpr (std::is_integral_v<T>) {
      ((x & y) | (x ^ ~y)).store(r->bits);
      (x << 3).store(r->left);
      (x >> 3).store(r->right);
    } else {
      (x / y).store(r->quotient);
    }
    cpu::store_as(r->less, x < y);
    cpu::store_as(r->least, x <= y);
    cpu::store_as(r->equal, x == y);
    cpu::store_as(r->unequal, x != y);
    cpu::store_as(r->more, (!(x <= y)) & (x != y));
    cpu::store_as(r->most, (x > y) ^ (x == y));
    r->total = x.sum();
    r->largest = x.max();
    r->some_less = any(x < y);
    r->all_less = all(x < y);
  }
};

template <class T, int W>
void arithmetic() {
  auto a = random_values<T>(W), b = random_values<T>(W);
  for (std::size_t i = 0; i < W; i += 3) b[i] = a[i];
  T s[W];
  std::copy(a.begin(), a.end(), s);
  for (int h = W / 2; h > 0; h /= 2) {
    for (int i = 0; i < h; ++i) s[i] = wrapped(s[i], s[i + h], '+');
  }
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    if (!tried(Isa(isa), W * sizeof(T))) continue;
    cpu::set_isa(Isa(isa));
    Results<T, W> r;
    cpu::for_isa<Arithmetic<T, W>>(static_cast<const T*>(a.data()), static_cast<const T*>(b.data()), &r);
    int wrong = 0, less = 0;
    for (std::size_t i = 0; i < W; ++i) {
      const T x = a[i], y = b[i];
      less += x < y;
      wrong += r.sum[i] != wrapped(x, y, '+') || r.difference[i] != wrapped(x, y, '-');
      wrong += r.product[i] != wrapped(x, y, '*') || r.negative[i] != wrapped(T(0), x, '-');
      wrong += r.each[i] != wrapped(x, y, '-') || r.swapped[i] != a[(i + W / 2) % W];
      wrong += r.chosen[i] != std::min(x, y) || r.bottom[i] != std::min(x, y) || r.top[i] != std::max(x, y);
      wrong += r.less[i] != (x < y) || r.least[i] != (x <= y) || r.more[i] != (x > y) || r.most[i] != (x >= y);
      wrong += r.equal[i] != (x == y) || r.unequal[i] != (x != y);
      if constexpr (std::is_integral_v<T>) {
        wrong += r.fused[i] != wrapped(wrapped(x, y, '*'), x, '+');
        wrong += r.left[i] != static_cast<T>(static_cast<std::make_unsigned_t<T>>(x) << 3);
        wrong += r.right[i] != static_cast<T>(x >> 3);
        wrong += r.bits[i] != static_cast<T>((x & y) | (x ^ ~y));
      } else {
        wrong += !(std::fabs(r.fused[i] - (x * y + x)) <= std::numeric_limits<T>::epsilon() * 20000);
        wrong += r.quotient[i] != x / y;
      }
    }
    wrong += r.total != s[0] || r.largest != *std::max_element(a.begin(), a.end());
    wrong += r.some_less != (less > 0) || r.all_less != (less == W);
    INFO(sizeof(T), " bytes, lanes ", W, ", set ", isa);
    CHECK(wrong == 0);
  }
}

// Of all widths up to that of the widest register; g++ takes minutes over that with its sanitizers, so two there.
template <class T>
void every_width() {
  arithmetic<T, int(16 / sizeof(T))>();
  arithmetic<T, int(64 / sizeof(T))>();
  if constexpr (!ergo::detail::kSanitized) {
    arithmetic<T, int(32 / sizeof(T))>();
    arithmetic<T, 2>();
    if constexpr (sizeof(T) != 4) arithmetic<T, 4>();
  }
}

template <class T, class U, int W>
struct Convert {
  template <Isa I>
  static ERGO_INLINE void run(const T* a, U* y, bool* m) {
    if constexpr (tried<I>(W * std::max(sizeof(T), sizeof(U)))) {
      const auto x = Pack<T, W>::load(a);
      x.template to<U>().store(y);
      cpu::store_as(m, (x < Pack<T, W>(a[0])).template to<U>());
    }
  }
};
template <class T, class U, std::size_t Bytes>
void convert() {
  constexpr std::size_t kLanes = Bytes / std::max(sizeof(T), sizeof(U));
  auto a = random_values<T>(kLanes);
  if constexpr (std::is_floating_point_v<T> && std::is_unsigned_v<U>) {
    for (T& v : a) v = std::fabs(v);
  }
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    if (!tried(Isa(isa), Bytes)) continue;
    cpu::set_isa(Isa(isa));
    U y[kLanes];
    bool m[kLanes];
    cpu::for_isa<Convert<T, U, int(kLanes)>>(static_cast<const T*>(a.data()), static_cast<U*>(y),
                                             static_cast<bool*>(m));
    int wrong = 0;
    for (std::size_t i = 0; i < kLanes; ++i) wrong += y[i] != static_cast<U>(a[i]) || m[i] != (a[i] < a[0]);
    INFO(sizeof(T), " to ", sizeof(U), " bytes, set ", isa);
    CHECK(wrong == 0);
  }
}
template <class T>
void convert_from() {
  convert<T, float, 32>();
  convert<T, float, 64>();
  convert<T, double, 32>();
  convert<T, double, 64>();
  convert<T, std::int32_t, 32>();
  convert<T, std::int32_t, 64>();
  convert<T, std::int64_t, 32>();
  convert<T, std::int64_t, 64>();
  convert<T, std::uint8_t, 32>();
  convert<T, std::uint8_t, 64>();
}

// n elements that end where the next page may not be touched, and begin after one that may not.
template <class T>
struct Fenced {
  static constexpr std::size_t kPage = 4096;
  char* base;
  T* first;
  explicit Fenced(int n)
      : base(static_cast<char*>(mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(base, kPage, PROT_NONE);
    mprotect(base + 2 * kPage, kPage, PROT_NONE);
    first = reinterpret_cast<T*>(base + 2 * kPage) - n;
  }
  ~Fenced() { munmap(base, 3 * kPage); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
};

template <class S, class T, int W>
struct Parts {
  template <Isa>
  static ERGO_INLINE void run(S* p, int n, int* wrong) {
    const auto x = cpu::load_part_as<Pack<T, W>>(p, n);
    const auto strided = cpu::gather_part_as<Pack<T, W>>(p + n - 1, -std::int64_t(sizeof(S)), n);
    for (int i = 0; i < W; ++i) {
      *wrong += x[i] != (i < n ? static_cast<T>(p[i]) : T(0));
      *wrong += strided[i] != (i < n ? static_cast<T>(p[n - 1 - i]) : T(0));
    }
    cpu::store_part_as(p, x + Pack<T, W>(1), n);
    for (int i = 0; i < n; ++i) *wrong += static_cast<T>(p[i]) != static_cast<T>(S(x[i] + T(1)));
  }
};
template <class S, class T>
void parts() {
  for (int n = 1; n <= 16; ++n) {
    Fenced<S> fenced(n);
    for (int i = 0; i < n; ++i) fenced.first[i] = S(i * 3);
    int wrong = 0;
    at_every_isa<Parts<S, T, 16>>(fenced.first, n, &wrong);
    CHECK(wrong == 0);
  }
}

template <class S>
struct Widen {
  template <Isa I>
  static ERGO_INLINE void run(const S* x, float* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / 4;
    for (long i = 0; i < n; i += w) cpu::load_as<Pack<float, w>>(x + i).store(y + i);
  }
};
template <class S>
struct Narrow {
  template <Isa I>
  static ERGO_INLINE void run(const float* x, S* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / 4;
    for (long i = 0; i < n; i += w) cpu::store_as(y + i, Pack<float, w>::load(x + i));
  }
};

// The value of a pattern by the definition of the format: e exponent bits, f fraction bits.
double value_of(unsigned bits, int e, int f) {
  const int exponent = int(bits >> f & ((1u << e) - 1)), fraction = int(bits & ((1u << f) - 1)),
            bias = (1 << (e - 1)) - 1;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << e) - 1) return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - f);
  return sign * std::ldexp(fraction + (1 << f), exponent - bias - f);
}

template <class S>
void sixteen(int e, int f) {
  std::vector<S> x(65536), back(65536);
  std::vector<float> y(65536);
  for (unsigned i = 0; i < 65536; ++i) x[i].bits = static_cast<std::uint16_t>(i);
  const int largest = ((1 << e) - 1) << f;  // the pattern of infinity
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    cpu::set_isa(Isa(isa));
    cpu::for_isa<Widen<S>>(static_cast<const S*>(x.data()), y.data(), 65536L);
    cpu::for_isa<Narrow<S>>(static_cast<const float*>(y.data()), back.data(), 65536L);
    int wrong = 0;
    for (unsigned i = 0; i < 65536; ++i) {
      const double v = value_of(i, e, f);
      if (v != v) {
        wrong += y[i] == y[i];
        wrong += (back[i].bits & 0x7fff) <= largest;
      } else {
        wrong += double(y[i]) != v || std::signbit(y[i]) != std::signbit(v);
        wrong += back[i].bits != i;
      }
    }
    CHECK(wrong == 0);

    // Rounding: the middle between neighbours goes to the even one, anything else to the nearer; over the top,
    // infinity.
    std::vector<float> z;
    for (int i = 0; i < largest; ++i) {
      const double lo = value_of(unsigned(i), e, f),
                   hi = i + 1 == largest ? 2 * lo - value_of(unsigned(i - 1), e, f) : value_of(unsigned(i + 1), e, f);
      const float middle = float(lo / 2 + hi / 2);
      for (float v : {std::nextafterf(middle, 0.0f), middle, std::nextafterf(middle, INFINITY)}) z.push_back(v);
    }
    while (z.size() % 16) z.push_back(0);
    std::vector<S> rounded(z.size());
    cpu::for_isa<Narrow<S>>(static_cast<const float*>(z.data()), rounded.data(), long(z.size()));
    for (int i = 0; i < largest; ++i) {
      const auto at = std::size_t(i) * 3;
      wrong += rounded[at].bits != i;
      wrong += rounded[at + 1].bits != i + (i & 1);
      wrong += rounded[at + 2].bits != i + 1;
    }
    CHECK(wrong == 0);
  }
}

template <class T>
struct Bools {
  template <Isa I>
  static ERGO_INLINE void run(const bool* b, const T* x, bool* y, T* z, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / int(sizeof(T));
    for (long i = 0; i < n; i += w) {
      const auto m = cpu::load_as<Mask<T, w>>(b + i);
      cpu::store_as(y + i, m ^ (Pack<T, w>::load(x + i) < Pack<T, w>(1)));
      cpu::load_as<Pack<T, w>>(b + i).store(z + i);
    }
  }
};
template <class T>
void bools() {
  const auto x = random_values<T>(64);
  bool b[64], y[64];
  T z[64];
  for (int i = 0; i < 64; ++i) b[i] = i % 3 == 0;
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    cpu::set_isa(Isa(isa));
    cpu::for_isa<Bools<T>>(static_cast<const bool*>(b), x.data(), static_cast<bool*>(y), static_cast<T*>(z), 64L);
    for (int i = 0; i < 64; ++i) {
      CHECK(y[i] == (b[i] != (x[std::size_t(i)] < T(1))));
      CHECK(z[i] == T(b[i]));
    }
  }
}

struct Streams {
  template <Isa I>
  static ERGO_INLINE void run(const float* x, float* y, long n) {
    constexpr int w = cpu::kRegisterBytes<I> / 4;
    for (long i = 0; i < n; i += w) cpu::stream(y + i, Pack<float, w>::load(x + i));
    cpu::stream_fence();
  }
};

}  // namespace

TEST_CASE("arithmetic, comparison, selection, folds") {
  every_width<float>();
  every_width<double>();
  every_width<std::int32_t>();
  every_width<std::int64_t>();
  every_width<std::uint8_t>();
  every_width<std::uint32_t>();
}

TEST_CASE("broadcasting keeps the sign of zero, maximum and max keep NaN") {
  CHECK(std::signbit(Pack<float, 8>(-0.0f)[3]));
  CHECK(std::signbit((-Pack<double, 4>(0.0))[1]));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Pack<float, 8> x(1);
  x.set(5, nan);
  CHECK(std::isnan(x.max()));
  CHECK(std::isnan(x.min()));
  CHECK(std::isnan(maximum(x, Pack<float, 8>(2))[5]));
  CHECK(std::isnan(maximum(Pack<float, 8>(2), x)[5]));
  CHECK(std::isnan(minimum(Pack<float, 8>(0), x)[5]));
  CHECK_FALSE((x == x)[5]);
  CHECK((x != x)[5]);
  CHECK_FALSE((x < x)[5]);
  CHECK(any_negative(-x));
  CHECK_FALSE(any_negative(Pack<double, 8>(0)));
}

TEST_CASE("conversion of lanes") {
  convert_from<float>();
  convert_from<double>();
  convert_from<std::int32_t>();
  convert_from<std::int64_t>();
  convert_from<std::uint8_t>();
}

TEST_CASE("parts touch their own lanes only") {
  parts<float, float>();
  parts<double, double>();
  parts<std::uint8_t, std::int32_t>();
  parts<bfloat16, float>();
  parts<half, float>();
}

TEST_CASE("16-bit floats: every pattern, and rounding between all neighbours") {
  sixteen<bfloat16>(8, 7);
  sixteen<half>(5, 10);
}

TEST_CASE("masks and bools in memory") {
  bools<float>();
  bools<double>();
  bools<std::int32_t>();
  bools<std::uint8_t>();
}

TEST_CASE("streaming stores") {
  const auto x = random_values<float>(256);
  alignas(64) float y[256];
  for (int isa = 0; isa <= int(cpu::machine_isa()); ++isa) {
    std::memset(y, 0, sizeof(y));
    cpu::set_isa(Isa(isa));
    cpu::for_isa<Streams>(x.data(), static_cast<float*>(y), 256L);
    CHECK(std::memcmp(y, x.data(), sizeof(y)) == 0);
  }
}

}  // namespace cpu_pack_test

// label: threads
#include "ergo/cpu/gemm.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/seed.hpp"
#include "support/skip.hpp"

namespace cpu_gemm_test {

namespace {

using namespace ergo;
using namespace ergo::cpu;

std::mt19937_64& random_bits() {
  static std::mt19937_64 engine(test_seed());
  return engine;
}

// A matrix inside a larger block of memory whose other elements must not change.
template <class T>
struct Matrix {
  std::vector<T> memory;
  MatrixView<T> view;
};

enum class Layout { rows, columns, strided, reversed };
constexpr Layout kLayouts[] = {Layout::rows, Layout::columns, Layout::strided, Layout::reversed};

template <class T>
Matrix<T> make(std::int64_t rows, std::int64_t cols, Layout layout, std::int64_t padding = 0) {
  const std::int64_t step = layout == Layout::strided ? 3 : 1;
  std::int64_t row = step * (cols + padding), col = step;
  if (layout == Layout::columns) {
    row = 1;
    col = rows + padding;
  }
  Matrix<T> m;
  const std::int64_t most = (rows > 0 ? rows - 1 : 0) * row + (cols > 0 ? cols - 1 : 0) * col + 1;
  m.memory.resize(std::size_t(most));
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (T& x : m.memory) x = T(uniform(random_bits()));
  m.view = {m.memory.data(), rows, cols, row, col};
  if (layout == Layout::reversed && rows > 0 && cols > 0) {
    m.view.data += (rows - 1) * row + (cols - 1) * col;
    m.view.row_stride = -row;
    m.view.col_stride = -col;
  }
  return m;
}

template <class T>
T& at(const MatrixView<T>& m, std::int64_t i, std::int64_t j) {
  return m.data[i * m.row_stride + j * m.col_stride];
}

template <class T>
double tolerance() {
  return sizeof(T) == 8 ? 1e-15 : 4e-7;
}

struct Relu {
  template <class P>
  static ERGO_INLINE P apply(const P& x) {
    return where(x < P(), P(), x);
  }
};

// Whether c is the product, computed in a wider type, plus the old c and the bias, to the bound for sums of k terms and
// one rounding to 16 bits.
template <class T>
bool matches(const MatrixView<T>& a, const MatrixView<T>& b, const MatrixView<T>& c, const MatrixView<T>* c0,
             const T* bias, bool relu) {
  using Wide = std::conditional_t<std::is_same_v<T, double>, long double, double>;
  const double storage = std::is_same_v<T, bfloat16> ? 0x1p-8 : std::is_same_v<T, half> ? 0x1p-11 : 0;
  const std::int64_t k = a.cols;
  std::vector<double> columns;  // B transposed
  for (std::int64_t j = 0; j < c.cols; ++j)
    for (std::int64_t p = 0; p < k; ++p) columns.push_back(double(at(b, p, j)));
  std::vector<double> row(static_cast<std::size_t>(k));
  for (std::int64_t i = 0; i < c.rows; ++i) {
    for (std::int64_t p = 0; p < k; ++p) row[std::size_t(p)] = double(at(a, i, p));
    for (std::int64_t j = 0; j < c.cols; ++j) {
      const double* x = row.data();
      const double* y = columns.data() + j * k;
      Wide sum = c0 ? double(at(*c0, i, j)) : bias ? double(bias[j]) : 0;
      Wide magnitude = std::fabs(sum);
      for (const double* end = x + k; x < end; ++x, ++y) {
        const Wide term = Wide(*x) * *y;
        sum += term;
        magnitude += term < 0 ? -term : term;
      }
      if (relu && sum < 0) sum = 0;
      const double bound = tolerance<Compute<T>>() * std::sqrt(double(k + 1)) * double(magnitude) +
                           storage * double(std::fabs(sum)) + (storage > 0 ? 1e-7 : 0);
      if (!(std::fabs(double(at(c, i, j)) - double(sum)) <= bound)) {
        MESSAGE("(" << i << ", " << j << "): " << double(at(c, i, j)) << ", expected " << double(sum));
        return false;
      }
    }
  }
  return true;
}

struct Case {
  std::int64_t m, n, k;
};

template <class T>
void check(const Case& s, Layout la, Layout lb, Layout lc, bool accumulate, bool with_bias = false, bool relu = false) {
  CAPTURE(s.m);
  CAPTURE(s.n);
  CAPTURE(s.k);
  CAPTURE(int(la));
  CAPTURE(int(lb));
  CAPTURE(int(lc));
  CAPTURE(accumulate);
  CAPTURE(with_bias);
  CAPTURE(relu);
  CAPTURE(sizeof(T));
  const Matrix<T> a = make<T>(s.m, s.k, la), b = make<T>(s.k, s.n, lb), bias = make<T>(1, s.n, Layout::rows);
  Matrix<T> c = make<T>(s.m, s.n, lc, 5);
  Matrix<T> before = c;
  before.view.data = before.memory.data() + (c.view.data - c.memory.data());
  const GemmOptions<T> options{.accumulate = accumulate, .bias = with_bias ? bias.memory.data() : nullptr};
  if (relu) {
    gemm<Relu>(a.view, b.view, c.view, options);
  } else {
    gemm(a.view, b.view, c.view, options);
  }
  CHECK(matches(a.view, b.view, c.view, accumulate ? &before.view : nullptr, options.bias, relu));
  // What lies between the elements of c is untouched.
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) at(c.view, i, j) = at(before.view, i, j);
  }
  CHECK(std::memcmp(c.memory.data(), before.memory.data(), c.memory.size() * sizeof(T)) == 0);
}

// The instruction sets of this machine, one after the other.
template <class F>
void for_each_isa(const F& f) {
  for (const Isa wanted : {Isa::sse2, Isa::avx2, Isa::avx512}) {
    if (wanted > machine_isa()) {
      skip(name(wanted), "this machine does not have it");
      continue;
    }
    set_isa(wanted);
    INFO(std::string(name(wanted)));
    f();
  }
  set_isa(machine_isa());
}

template <class T>
std::vector<T> product(const Matrix<T>& a, const Matrix<T>& b) {
  std::vector<T> c(std::size_t(a.view.rows * b.view.cols));
  gemm(a.view, b.view, MatrixView<T>{c.data(), a.view.rows, b.view.cols, b.view.cols, 1});
  return c;
}

}  // namespace

TEST_CASE_TEMPLATE("sizes around every block, both transposes", T, float, double) {
  for_each_isa([] {
    const std::int64_t tile = cpu::detail::tile_columns<T>();
    for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17}) {
      for (const std::int64_t n : {std::int64_t(1), std::int64_t(2), std::int64_t(3), tile / 2 - 1, tile / 2,
                                   tile / 2 + 1, tile - 1, tile, tile + 1, 2 * tile + tile / 2 + 1}) {
        for (const std::int64_t k : {0, 1, 7, 8, 9, 33}) {
          const bool accumulate = (m + n + k) % 2 == 0;
          check<T>({m, n, k}, (m + k) % 3 ? Layout::rows : Layout::columns,
                   (n + k) % 2 ? Layout::rows : Layout::columns, Layout::rows, accumulate);
        }
      }
    }
  });
}

TEST_CASE_TEMPLATE("each route at its boundaries, all layouts", T, float, double) {
  const Case cases[] = {{1, 70, 40},    {70, 1, 40},    {1, 1, 300},    {1, 4097, 7},   {4097, 1, 7},   {3, 50, 33},
                        {16, 16, 255},  {16, 17, 256},  {15, 40, 257},  {64, 10, 300},  {17, 2, 256},   {40, 50, 60},
                        {144, 40, 90},  {145, 40, 90},  {145, 33, 383}, {150, 30, 384}, {150, 31, 385}, {151, 70, 800},
                        {33, 130, 129}, {20, 300, 400}, {146, 4099, 6}, {300, 9, 70},   {301, 64, 400}, {302, 65, 40},
                        {103, 40, 20},  {110, 33, 700}, {159, 35, 70},  {160, 35, 70},  {400, 66, 420}};
  for (const Case& s : cases) {
    for (const Layout la : kLayouts) {
      for (const Layout lb : kLayouts) {
        const bool plain = la <= Layout::columns && lb <= Layout::columns;
        if (plain || s.m * s.n * s.k < 300000) check<T>(s, la, lb, Layout::rows, la == lb);
      }
    }
  }
}

TEST_CASE_TEMPLATE("results with any strides, bias and activation", T, float, double, bfloat16, half) {
  for (const Case& s : {Case{1, 9, 20}, Case{9, 1, 20}, Case{13, 21, 40}, Case{64, 10, 300}, Case{150, 40, 390}}) {
    for (const Layout lc : kLayouts) {
      for (int options = 0; options < 6; ++options) {
        check<T>(s, options % 2 ? Layout::rows : Layout::columns, Layout::rows, lc, options % 3 == 1, options % 3 == 2,
                 options >= 3);
      }
    }
  }
}

TEST_CASE_TEMPLATE("16-bit operands: float sums, one rounding, every layout and set", T, bfloat16, half) {
  for_each_isa([] {
    for (const Case& s : {Case{1, 1, 0}, Case{1, 70, 40}, Case{70, 1, 40}, Case{13, 21, 33}, Case{150, 20, 500}}) {
      for (const Layout la : kLayouts) {
        for (const Layout lb : kLayouts) check<T>(s, la, lb, Layout::rows, la == lb);
      }
    }
  });
  // 2^12 ones and one more: each partial sum beyond 2^8 (2^11) would stick if it were rounded to T.
  const std::vector<T> ones(4097, T(1.0f));
  T sum;
  gemm(MatrixView<const T>{ones.data(), 1, 4097, 4097, 1}, MatrixView<const T>{ones.data(), 4097, 1, 1, 1},
       MatrixView<T>{&sum, 1, 1, 1, 1});
  CHECK(float(sum) == float(T(4097.0f)));
}

TEST_CASE("operands that repeat: strides of zero") {
  const float row[3] = {1, 2, 3};
  const float column[2] = {10, 20};
  float c[2 * 4];
  // Every row of A is `row`, every column of B holds 10 + 0 * p.
  gemm(MatrixView<const float>{row, 2, 3, 0, 1}, MatrixView<const float>{column, 3, 4, 0, 0},
       MatrixView<float>{c, 2, 4, 4, 1});
  for (const float x : c) CHECK(x == 60);
}

TEST_CASE("nothing to sum, nothing to do") {
  float c[6] = {1, 2, 3, 4, 5, 6};
  const float bias[3] = {7, 8, 9};
  const MatrixView<const float> a{nullptr, 2, 0, 0, 1}, b{nullptr, 0, 3, 3, 1};
  gemm(a, b, MatrixView<float>{c, 2, 3, 3, 1}, {.accumulate = true});
  for (int i = 0; i < 6; ++i) CHECK(c[i] == float(i + 1));
  gemm(a, b, MatrixView<float>{c, 2, 3, 3, 1}, {.bias = bias});
  for (int i = 0; i < 6; ++i) CHECK(c[i] == float(7 + i % 3));
  gemm(a, b, MatrixView<float>{c, 2, 3, 3, 1});
  for (const float x : c) CHECK(x == 0);
  gemm(MatrixView<const float>{nullptr, 0, 4, 4, 1}, MatrixView<const float>{nullptr, 4, 3, 3, 1},
       MatrixView<float>{nullptr, 0, 3, 3, 1});
}

TEST_CASE_TEMPLATE("NaN and infinity reach what they touch, and nothing else", T, float, double) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  for (const Case& s : {Case{7, 17, 9}, Case{1, 40, 30}, Case{40, 3, 300}, Case{150, 40, 100}}) {
    Matrix<T> a = make<T>(s.m, s.k, Layout::rows);
    const Matrix<T> b = make<T>(s.k, s.n, Layout::rows);
    Matrix<T> zeros = b;
    zeros.view.data = zeros.memory.data();
    std::fill(zeros.memory.begin(), zeros.memory.end(), T(0));
    at(a.view, 0, s.k - 1) = nan;
    if (s.m > 1) at(a.view, s.m - 1, 0) = infinity;
    const std::vector<T> c = product(a, b), z = product(a, zeros);
    for (std::int64_t i = 0; i < s.m; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        const T x = c[std::size_t(i * s.n + j)];
        CHECK(std::isnan(x) == (i == 0));
        if (i > 0) CHECK(std::isinf(x) == (i == s.m - 1));
        CHECK(std::isnan(z[std::size_t(i * s.n + j)]) == (i == 0 || i == s.m - 1));
      }
    }
  }
}

TEST_CASE_TEMPLATE("the same bits for any number of threads", T, float, double) {
  const std::int64_t before = parallel_runs();
  for_each_isa([] {
    for (const Case& s : {Case{64, 512, 300}, Case{300, 200, 500}, Case{1, 3000, 300}, Case{3000, 1, 300},
                          Case{400, 10, 300}, Case{100, 100, 100}, Case{20, 600, 900}, Case{450, 80, 400}}) {
      for (const Layout lb : {Layout::rows, Layout::columns}) {
        const Matrix<T> a = make<T>(s.m, s.k, Layout::rows), b = make<T>(s.k, s.n, lb);
        set_num_threads(1);
        const std::vector<T> expected = product(a, b);
        for (const int threads : {2, 3, 5, 8}) {
          set_num_threads(threads);
          for (int repeat = 0; repeat < 3; ++repeat) {
            const std::vector<T> c = product(a, b);
            CHECK(std::memcmp(c.data(), expected.data(), c.size() * sizeof(T)) == 0);
          }
        }
        set_num_threads(0);
      }
    }
  });
  CHECK(parallel_runs() > before);
}

TEST_CASE_TEMPLATE("equal rows of A give equal rows of C, in whatever tile they fall", T, float, double) {
  for_each_isa([] {
    for (const Case& s : {Case{13, 37, 70}, Case{23, 40, 500}, Case{155, 33, 400}}) {
      Matrix<T> a = make<T>(s.m, s.k, Layout::rows);
      for (std::int64_t i = 1; i < s.m; ++i) {
        for (std::int64_t p = 0; p < s.k; ++p) at(a.view, i, p) = at(a.view, 0, p);
      }
      const std::vector<T> c = product(a, make<T>(s.k, s.n, Layout::rows));
      for (std::int64_t i = 1; i < s.m; ++i) {
        CHECK(std::memcmp(c.data(), c.data() + i * s.n, std::size_t(s.n) * sizeof(T)) == 0);
      }
    }
  });
}

TEST_CASE_TEMPLATE("batches equal single products, bit for bit", T, float, double, bfloat16) {
  for (const Case& s : {Case{5, 7, 9}, Case{1, 40, 33}, Case{30, 1, 20}, Case{24, 24, 300}, Case{160, 40, 70}}) {
    const std::int64_t count = 7, am = s.m * s.k, bm = s.k * s.n, cm = s.m * s.n;
    const Matrix<T> a = make<T>(count, am, Layout::rows), b = make<T>(count, bm, Layout::rows);
    for (const bool shared : {false, true}) {
      std::vector<T> together(std::size_t(count * cm)), alone = together;
      const MatrixView<const T> va{a.memory.data(), s.m, s.k, s.k, 1};
      const MatrixView<T> vc{together.data(), s.m, s.n, s.n, 1};
      gemm_batched(count, va, am, MatrixView<const T>{b.memory.data(), s.k, s.n, s.n, 1}, shared ? 0 : bm, vc, cm);
      for (std::int64_t i = 0; i < count; ++i) {
        gemm(MatrixView<const T>{a.memory.data() + i * am, s.m, s.k, s.k, 1},
             MatrixView<const T>{b.memory.data() + (shared ? 0 : i * bm), s.k, s.n, s.n, 1},
             MatrixView<T>{alone.data() + i * cm, s.m, s.n, s.n, 1});
      }
      CHECK(std::memcmp(together.data(), alone.data(), together.size() * sizeof(T)) == 0);
    }
  }
}

TEST_CASE_TEMPLATE("without memory nothing is written", T, float, bfloat16) {
  int failures = 0;
  for (const Case& s : {Case{20, 37, 40}, Case{150, 70, 400}, Case{64, 10, 300}, Case{1, 50, 50}}) {
    const Matrix<T> a = make<T>(s.m, s.k, Layout::rows), b = make<T>(s.k, s.n, Layout::columns);
    for (int nth = 1; nth < 10; ++nth) {
      Matrix<T> c = make<T>(s.m, s.n, Layout::rows);
      const std::vector<T> before = c.memory;
      ergo::detail::local_cache.fail_in = nth;
      bool failed = false;
      try {
        gemm(a.view, b.view, c.view, {.accumulate = true});
      } catch (const OutOfMemory&) { failed = true; }
      ergo::detail::local_cache.fail_in = 0;
      if (failed) {
        ++failures;
        CHECK(std::memcmp(c.memory.data(), before.data(), before.size() * sizeof(T)) == 0);
      }
    }
  }
  CHECK(failures > 0);
}

}  // namespace cpu_gemm_test

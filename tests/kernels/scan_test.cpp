// label: simt
// Scans over every layout, forwards, backwards, with and without the element: sums against serial sums in long double
// and in integers that wrap, and whatever else scans combine by against its serial definition. How elements come and go
// is the same for all of these: sums have each width of them, the others only what their own code tells apart.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/scan.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_scan_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T, class X>
auto cumsum(const ReductionLayout& layout, const X& x, ScanOptions options = {}) {
  const DeviceArray<T> in(x);
  const std::size_t offset = layout.shape[1] == 9000 ? 1 : 0;  // y not aligned
  const DeviceArray<ScanResult<T>> out{std::size_t(layout.outputs() * layout.shape[1]) + offset};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(cumsum_workspace<T>(view));
  const int before = stream().launches.next;
  launch_cumsum<T>(stream(), "cumsum", view, out.data() + offset, test::bytes_of(workspace), options);
  CHECK(stream().launches.next - before == (out.size() == 0 ? 0 : workspace.size() ? 3 : 1));
  return out.host(offset);
}

template <class T, class X>
void check_layout(const ReductionLayout& layout, const X& x, ScanOptions options) {
  CAPTURE(layout.text());
  CAPTURE(options.reverse);
  CAPTURE(options.exclusive);
  const auto y = cumsum<T>(layout, x, options);
  const std::int64_t n = layout.shape[1], inner = layout.shape[2];
  // A chain of additions in double: down one tile, then over tiles.
  const double chain = double((n < 256 ? n : 256) + n / 256 + 16) * 0x1p-53;
  for (std::int64_t o = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      using Sum = std::conditional_t<std::is_integral_v<T>, std::uint64_t, long double>;
      Sum sum = 0;
      double sizes = 0;
      bool right = true;
      for (std::int64_t p = 0; p < n; ++p) {
        const std::int64_t k = options.reverse ? n - 1 - p : p;
        const auto element = T(x[std::size_t(layout.at(o, k, i))]);
        Sum next = sum;
        if constexpr (std::is_integral_v<T>)
          next += std::uint64_t(std::int64_t(element));
        else
          next += static_cast<long double>(double(element));
        sizes += std::abs(double(element));
        const auto result = y[std::size_t((o * n + k) * inner + i)];
        const Sum expected = options.exclusive ? sum : next;
        if constexpr (std::is_integral_v<T>) {
          right = right && result == std::int64_t(expected);
        } else {
          const double wanted = double(expected);
          double unit = std::is_same_v<T, double> ? 2e-16 : 0x1.01p-24;  // one rounding, of sums in double
          if (std::is_same_v<T, ergo::bfloat16>) unit = 0x1.01p-8;
          right = right && std::abs(double(result) - wanted) <= unit * std::abs(wanted) + chain * sizes;
        }
        sum = next;
      }
      CHECK(right);
    }
}

std::vector<ReductionLayout> layouts() {
  auto all = test::reduction_layouts();
  for (std::int64_t n : {508, 512, 513, 516, 4092, 4096, 4097}) all.push_back(test::dense_layout(2, n, 1));
  all.push_back(test::dense_layout(257, 513, 1));  // enough rows, a block each
  all.push_back({{3, 8200, 1}, {8204, 1, 1}, 0});
  all.push_back({{3, 8200, 1}, {8204, 1, 1}, 4});
  all.push_back(test::dense_layout(2, 256, 3));
  all.push_back(test::dense_layout(2, 257, 3));
  return all;
}

TEST_CASE_TEMPLATE("running sums, every layout", T, std::uint8_t, std::int32_t, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : layouts()) {
    const auto x = test::random_elements<T>(layout.size(), random);
    check_layout<T>(layout, x, {bool(random() % 2), bool(random() % 2)});
  }
}

TEST_CASE("all four options on both sides of each way") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout :
       {test::dense_layout(3, 12, 1), test::dense_layout(3, 512, 1), test::dense_layout(2, 4000, 1),
        test::dense_layout(260, 4100, 1), test::dense_layout(2, 9001, 1), test::dense_layout(2, 9000, 1, 4),
        test::dense_layout(2, 100, 5), test::dense_layout(2, 600, 5), test::dense_layout(400, 258, 82)}) {
    if (layout.size() > 1500000 && random() % 4 == 0) continue;
    const auto x = test::random_elements<float>(layout.size(), random);
    for (int o = 0; o < (layout.size() > 500000 ? 1 : 4); ++o)
      check_layout<float>(layout, x, {(o & 1) != 0, (o & 2) != 0});
  }
}

TEST_CASE("ones count exactly; a NaN and an infinity stay from their place on") {
  const auto layout = test::dense_layout(1, 50000, 1);
  std::vector<float> x(50000, 1.0f);
  auto y = cumsum<float>(layout, x);
  for (std::size_t k = 0; k < x.size(); ++k)
    if (y[k] != float(k + 1)) {
      CHECK(y[k] == float(k + 1));
      break;
    }
  x[12345] = INFINITY;
  x[40000] = -INFINITY;
  y = cumsum<float>(layout, x);
  CHECK(y[12344] == 12345.0f);
  CHECK(y[12345] == INFINITY);
  CHECK(y[39999] == INFINITY);
  CHECK(std::isnan(y[40000]));
  CHECK(std::isnan(y[49999]));
}

// What M writes for each element by a serial loop over (o, i): next(state, elements, k) gives the state behind one.
template <class M, class State, class Next, class Result, class Equal>
void check_scan(const ReductionLayout& layout, ScanOptions options, const std::vector<typename M::In>& x,
                const std::vector<typename M::In>& second, State first, Next next, Result result, Equal equal) {
  CAPTURE(layout.text());
  CAPTURE(options.reverse);
  CAPTURE(options.exclusive);
  const DeviceArray<typename M::In> in(x), other(second);
  const DeviceArray<typename M::Out> out{std::size_t(layout.outputs() * layout.shape[1])};
  const auto view = layout.view(static_cast<const typename M::In*>(in.data()));
  const DeviceArray<std::byte> workspace(scan_workspace<M>(view));
  const int before = stream().launches.next;
  launch_scan<M>(stream(), "scan", view, second.empty() ? nullptr : other.data() + (view.data - in.data()), out.data(),
                 test::bytes_of(workspace), options);
  CHECK(stream().launches.next - before == (out.size() == 0 ? 0 : workspace.size() ? 3 : 1));
  const auto y = out.host();
  const std::int64_t n = layout.shape[1], inner = layout.shape[2];
  std::int64_t wrong = -1;
  for (std::int64_t o = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      State state = first;
      for (std::int64_t p = 0; p < n; ++p) {
        const std::int64_t k = options.reverse ? n - 1 - p : p;
        const std::size_t at = std::size_t(layout.at(o, k, i));
        const State behind = next(state, x[at], second.empty() ? x[at] : second[at], k);
        const auto wanted = result(state, behind, x[at], second.empty() ? x[at] : second[at]);
        if (!equal(y[std::size_t((o * n + k) * inner + i)], wanted) && wrong < 0) wrong = (o * n + k) * inner + i;
        state = behind;
      }
    }
  CHECK(wrong == -1);
}
std::vector<ReductionLayout> few_layouts() {
  auto all = std::vector<ReductionLayout>{};
  for (std::int64_t n : {1, 5, 16, 17, 255, 256, 257, 260, 508, 512, 513, 2048, 2049, 4096, 5000})
    all.push_back(test::dense_layout(2, n, 1));
  for (std::int64_t n : {1, 7, 8, 9, 256, 257, 700}) all.push_back(test::dense_layout(2, n, 3));
  all.push_back(test::dense_layout(0, 4, 1));
  all.push_back(test::dense_layout(258, 259, 1));    // enough rows: a block each
  all.push_back(test::dense_layout(3, 2052, 1, 4));  // packs behind an offset
  all.push_back({{3, 600, 1}, {1, 5, 1}, 3});        // rows that are columns of memory
  all.push_back({{2, 300, 4}, {-1300, -4, 1}, 0});
  return all;
}
template <class T>
std::vector<T> uniform(std::int64_t n, double lo, double hi, std::mt19937& random) {
  std::uniform_real_distribution<double> u(lo, hi);
  std::vector<T> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(ergo::convert<T>(u(random)));
  return x;
}
template <class T>
double unit() {
  return std::is_same_v<T, double> ? 4e-16 : 2e-7;
}
// Up to a chain of n roundings in double, and one in T.
template <class T>
auto near(double slack = 1) {
  return [slack](T given, long double wanted) {
    const double a = double(given), b = double(wanted);
    if (std::isnan(b) || std::isinf(b)) return std::isnan(b) ? std::isnan(a) : a == b;
    return std::abs(a - b) <= slack * (unit<T>() + 1e-12) * (1 + std::abs(b));
  };
}

TEST_CASE_TEMPLATE("running products", T, std::int32_t, float, double) {
  std::mt19937 random(std::random_device{}());
  for (const auto& layout : few_layouts()) {
    const ScanOptions options{bool(random() % 2), bool(random() % 2)};
    if constexpr (std::is_integral_v<T>) {
      const auto x = test::random_elements<T>(layout.size(), random);
      check_scan<ProductScan<T>>(
          layout, options, x, {}, std::uint64_t{1},
          [](std::uint64_t s, T e, T, auto) { return s * std::uint64_t(std::int64_t(e)); },
          [&](std::uint64_t s, std::uint64_t t, T, T) { return std::int64_t(options.exclusive ? s : t); },
          [](std::int64_t a, std::int64_t b) { return a == b; });
    } else {
      auto x = uniform<T>(layout.size(), 0.99, 1.01, random);
      if (random() % 2) x[x.size() / 2] = ergo::convert<T>(0);
      check_scan<ProductScan<T>>(
          layout, options, x, {}, 1.0L,
          [](long double s, T e, T, auto) { return s * static_cast<long double>(double(e)); },
          [&](long double s, long double t, T, T) { return options.exclusive ? s : t; }, near<T>());
    }
  }
}

// Factors of a walk: products of rows stay within exp(+-size), those of parts need not, and one of a few is 0.
template <class T>
std::vector<T> walk(const ReductionLayout& layout, double size, bool reverse, std::mt19937& random) {
  std::vector<T> x(std::size_t(layout.size()));
  std::uniform_real_distribution<double> u(-size, size);
  const std::int64_t n = layout.shape[1];
  for (std::int64_t o = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < layout.shape[2]; ++i) {
      double here = 0;
      for (std::int64_t p = 0; p < n; ++p) {
        const double next = random() % 5 == 0 ? here : u(random);
        x[std::size_t(layout.at(o, reverse ? n - 1 - p : p, i))] = T((random() % 3 ? 1 : -1) * std::exp(next - here));
        here = next;
      }
    }
  return x;
}
template <class T>
auto relatively_near(double slack) {
  return [slack](T given, long double wanted) {
    const double error = double(std::abs(static_cast<long double>(given) - wanted));
    return error <= slack * double(std::abs(wanted)) + (wanted == 0 ? 0 : 0x1p-1073 * (sizeof(T) == 4 ? 0x1p925 : 1));
  };
}
TEST_CASE_TEMPLATE("products of parts that overflow and vanish", T, float, double) {
  std::mt19937 random(std::random_device{}());
  for (const auto& layout : few_layouts()) {
    const ScanOptions options{bool(random() % 2), bool(random() % 2)};
    auto x = walk<T>(layout, std::is_same_v<T, float> ? 40 : 330, options.reverse, random);
    if (random() % 2 && !x.empty()) x[x.size() / 2] = 0;
    check_scan<ProductScan<T>>(
        layout, options, x, {}, 1.0L, [](long double s, T e, T, auto) { return s * static_cast<long double>(e); },
        [&](long double s, long double t, T, T) { return options.exclusive ? s : t; },
        relatively_near<T>(std::is_same_v<T, float> ? 6e-8 : double(layout.shape[1] + 2) * 0x1p-53));
  }
}
TEST_CASE("infinities, NaN, zeros and denormals of products") {
  const std::vector<double> x{2, INFINITY, -3, 1e-300, 1e300, 0, 4, 1e-320, 1e10, NAN, 0, 5e-324, 0x1.8p-70};
  const std::int64_t n = std::int64_t(x.size());
  for (std::int64_t first : {std::int64_t(0), std::int64_t(2), std::int64_t(6), n - 2}) {
    std::vector<double> row(x.begin() + first, x.end());
    row.resize(40, 1.0);  // in lanes of a warp
    const DeviceArray<double> in(row), y{row.size()};
    const auto view = row_major(static_cast<const double*>(in.data()), {1, 40, 1});
    launch_scan<ProductScan<double>>(stream(), "scan", view, nullptr, y.data(), nullptr);
    const auto given = y.host();
    long double product = 1;
    for (std::size_t k = 0; k < row.size(); ++k) {
      product *= static_cast<long double>(row[k]);
      const double wanted = double(product);
      const bool same = std::isnan(wanted) ? std::isnan(given[k]) : given[k] == wanted;
      CHECK((same || std::abs(given[k] - wanted) <= 1e-14 * std::abs(wanted) + 0x1p-1073));
    }
  }
}
TEST_CASE("slopes of running products") {
  using T = double;
  struct State {
    long double product = 1, slope = 0;
  };
  std::mt19937 random(std::random_device{}());
  const double size = 300;
  for (const auto& layout : few_layouts()) {
    const ScanOptions options{bool(random() % 2), bool(random() % 2)};
    const auto x = walk<T>(layout, size, options.reverse, random);
    std::vector<T> t(x.size());  // of x's sign and size: nothing cancels
    for (std::size_t i = 0; i < x.size(); ++i) t[i] = x[i] * T(random() % 4);
    check_scan<ProductSlopeScan<T>>(
        layout, options, x, t, State{},
        [](State s, T a, T b, auto) {
          return State{s.product * static_cast<long double>(a),
                       s.slope * static_cast<long double>(a) + s.product * static_cast<long double>(b)};
        },
        [&](State s, State u, T, T) { return options.exclusive ? s.slope : u.slope; },
        relatively_near<T>(double(layout.shape[1] + 2) * 0x1p-51));
  }
}
TEST_CASE("cotangents of running products") {
  using T = double;
  std::mt19937 random(std::random_device{}());
  const double size = 300;
  for (const std::vector<std::int64_t>& shape : std::vector<std::vector<std::int64_t>>{{2, 1, 1},
                                                                                       {2, 16, 1},
                                                                                       {3, 17, 1},
                                                                                       {2, 128, 1},
                                                                                       {2, 129, 1},
                                                                                       {2, 516, 1},
                                                                                       {1, 5000, 1},
                                                                                       {258, 1025, 1},
                                                                                       {2, 1, 3},
                                                                                       {2, 9, 3},
                                                                                       {2, 257, 3},
                                                                                       {3, 700, 2},
                                                                                       {0, 4, 1}}) {
    const ScanOptions options{bool(random() % 2), bool(random() % 2)};
    const auto layout = test::dense_layout(shape[0], shape[1], shape[2]);
    const std::int64_t n = shape[1], inner = shape[2];
    CAPTURE(layout.text());
    CAPTURE(options.reverse);
    CAPTURE(options.exclusive);
    auto x = walk<T>(layout, size, options.reverse, random);
    std::vector<T> g(x.size());
    for (auto& each : g) each = T(random() % 3 ? 0 : 1 + random() % 4);
    // Signs of x would cancel: of products they are known, so g has them.
    for (std::int64_t o = 0; o < shape[0]; ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        int sign = 1;
        for (std::int64_t p = 0; p < n; ++p) {
          const std::size_t at = std::size_t(layout.at(o, options.reverse ? n - 1 - p : p, i));
          const int after = x[at] < 0 ? -sign : sign;
          if ((options.exclusive ? sign : after) < 0) g[at] = -g[at];
          sign = after;
        }
      }
    const DeviceArray<T> in(x), given(g), y(std::vector<T>(x.size()));
    const auto view = layout.view(static_cast<const T*>(in.data()));
    const DeviceArray<std::byte> workspace(product_cotangent_workspace<T>(view));
    launch_product_cotangent<T>(stream(), "cumprod", view, given.data(), y.data(), test::bytes_of(workspace), options);
    const auto dx = y.host();
    std::int64_t wrong = -1;
    const auto near = relatively_near<T>(double(n + 2) * 0x1p-51);
    for (std::int64_t o = 0; o < shape[0]; ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        const auto at = [&](std::int64_t p) { return std::size_t(layout.at(o, options.reverse ? n - 1 - p : p, i)); };
        std::vector<long double> before(std::size_t(n), 1.0L);
        for (std::int64_t p = 1; p < n; ++p)
          before[std::size_t(p)] = before[std::size_t(p - 1)] * static_cast<long double>(x[at(p - 1)]);
        long double h = 0;
        for (std::int64_t p = n; p-- > 0;) {
          const long double own = static_cast<long double>(g[at(p)]), out = options.exclusive ? h : h + own;
          if (!near(dx[at(p)], before[std::size_t(p)] * out) && wrong < 0) wrong = std::int64_t(at(p));
          h = static_cast<long double>(x[at(p)]) * (options.exclusive ? h : out) + (options.exclusive ? own : 0);
        }
      }
    CHECK(wrong == -1);
  }
}

template <class T, bool Largest>
void check_extrema(std::mt19937& random) {
  struct State {
    double value = Largest ? -HUGE_VAL : HUGE_VAL;
    std::int64_t at = -1;
  };
  for (const auto& layout : few_layouts()) {
    const bool reverse = random() % 2;
    std::vector<T> x;
    for (std::int64_t i = 0; i < layout.size(); ++i) x.push_back(ergo::convert<T>(double(int(random() % 2000)) / 4));
    if (!std::is_integral_v<T> && random() % 2 && x.size() > 9) x[x.size() * 2 / 3] = ergo::convert<T>(double(NAN));
    const auto next = [](State s, T e, T, std::int64_t k) {
      const double v = double(e);
      const bool wins = s.at < 0 || (!std::isnan(s.value) && (std::isnan(v) || (Largest ? v > s.value : v < s.value)));
      return wins ? State{v, k} : s;
    };
    const auto same = [](T a, double b) { return std::isnan(b) ? std::isnan(double(a)) : double(a) == b; };
    check_scan<ExtremumScan<T, Largest>>(
        layout, {reverse, false}, x, {}, State{}, next, [](State, State t, T, T) { return t.value; }, same);
    State first;
    if (std::is_same_v<T, std::int32_t>) first.value = Largest ? double(INT32_MIN) : double(INT32_MAX);
    if (std::is_same_v<T, std::uint8_t>) first.value = Largest ? 0 : 255;
    check_scan<ExtremumScan<T, Largest>>(
        layout, {reverse, true}, x, {}, first, next, [](State s, State, T, T) { return s.value; }, same);
    if constexpr (std::is_same_v<T, float>)  // they begin alike in every dtype
      check_scan<ArgExtremumScan<T, Largest>>(
          layout, {reverse, false}, x, {}, State{}, next, [](State, State t, T, T) { return t.at; },
          [](std::int64_t a, std::int64_t b) { return a == b; });
  }
}
TEST_CASE("running extrema and where they stand") {
  std::mt19937 random(std::random_device{}());
  check_extrema<float, true>(random);
  // The smallest differ by one comparison, integers in what they begin with.
  check_extrema<float, false>(random);
  check_extrema<std::int32_t, false>(random);
  check_extrema<std::uint8_t, true>(random);
}

TEST_CASE_TEMPLATE("the running log-sum-exp, its weights and decays", T, float, double) {
  struct State {
    long double top = -HUGE_VALL, sum = 0;
  };
  std::mt19937 random(std::random_device{}());
  const auto below = [](long double low, long double high) { return low == high ? 1.0L : std::exp(low - high); };
  for (const auto& layout : few_layouts()) {
    const bool reverse = random() % 2, exclusive = random() % 2;
    auto x = uniform<T>(layout.size(), -30, 30, random);
    if (random() % 2 && x.size() > 9) {
      for (std::size_t i = 0; i < x.size(); i += 3) x[i] = ergo::convert<T>(double(-INFINITY));
      if (random() % 2) x[x.size() / 2] = x[x.size() / 2 + 1] = ergo::convert<T>(double(INFINITY));
      if (random() % 2) x[x.size() - 2] = ergo::convert<T>(double(NAN));
    }
    const auto next = [&](State s, T e, T, std::int64_t) {
      const long double v = double(e);
      if (s.top < v || std::isnan(v)) return State{v, s.sum * below(s.top, v) + 1};
      return State{s.top, s.sum + below(v, s.top)};
    };
    check_scan<LogSumExpScan<T, LogSumExp::value>>(
        layout, {reverse, exclusive}, x, {}, State{}, next,
        [&](State s, State t, T, T) { return exclusive ? s.top + std::log(s.sum) : t.top + std::log(t.sum); },
        near<T>(2));
    if constexpr (std::is_same_v<T, double>) {  // derivatives take these, in double alone
      check_scan<LogSumExpScan<T, LogSumExp::weight>>(
          layout, {reverse, false}, x, {}, State{}, next,
          [&](State, State t, T e, T) {
            return std::isinf(t.top) && t.top < 0 ? 0.0L : below(static_cast<long double>(double(e)), t.top) / t.sum;
          },
          near<T>(2));
      check_scan<LogSumExpScan<T, LogSumExp::decay>>(
          layout, {reverse, false}, x, {}, State{}, next,
          [&](State s, State t, T, T) { return s.sum * below(s.top, t.top) / t.sum; }, near<T>(2));
    }
  }
}

template <class T, Recurrence Form>
void check_recurrence(std::mt19937& random) {
  for (const auto& layout : few_layouts()) {
    auto a = uniform<T>(layout.size(), -1, 1, random);
    const auto b = uniform<T>(layout.size(), -2, 2, random);
    for (std::size_t i = 0; i < a.size(); i += 11) a[i] = 0;
    check_scan<RecurrenceScan<T, Form>>(
        layout, {bool(random() % 2), false}, a, b, 0.0L,
        [](long double s, T p, T q, auto) {
          return Form == Recurrence::late ? static_cast<long double>(p) * (s + q) : static_cast<long double>(p) * s + q;
        },
        [](long double s, long double t, T, T q) {
          return Form == Recurrence::inclusive ? t : Form == Recurrence::late ? s + q : s;
        },
        near<T>(4));
  }
}
TEST_CASE("linear recurrences") {
  std::mt19937 random(std::random_device{}());
  check_recurrence<double, Recurrence::inclusive>(random);
  check_recurrence<double, Recurrence::late>(random);
  check_recurrence<double, Recurrence::exclusive>(random);
}
TEST_CASE("a recurrence starts late: factors that overflow before it do not reach it") {
  const std::int64_t n = 9000;
  std::vector<double> a(n, 1e9), b(n, 0);
  b[n - 3] = 1;
  const DeviceArray<double> x(a), second(b), y{std::size_t(n)};
  const auto view = row_major(static_cast<const double*>(x.data()), {1, n, 1});
  using M = RecurrenceScan<double, Recurrence::inclusive>;
  const DeviceArray<std::byte> workspace(scan_workspace<M>(view));
  launch_scan<M>(stream(), "scan", view, second.data(), y.data(), test::bytes_of(workspace));
  const auto h = y.host();
  CHECK(h[n - 4] == 0);
  CHECK(h[n - 3] == 1);
  CHECK(h[n - 1] == 1e18);
}

}  // namespace kernels_scan_test

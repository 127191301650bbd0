// label: simt
// cross_entropy and its gradient against sums in long double: classes on both sides of every bound, weights, smoothing,
// ignored and bad labels, several problems, each reduction.
#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/cross_entropy.cuh"
#include "support/device_array.hpp"

namespace kernels_cross_entropy_test {

using namespace ergo::cuda;
using test::DeviceArray;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
double to_double(T x) {
  return double(ergo::Compute<T>(x));
}
template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 1e-13
                              : std::is_same_v<T, float> ? 1e-6
                                                         : 4e-3;

// A call, on the host.
template <class T, class L>
struct Case {
  std::int64_t problems = 1, rows, classes;
  LossReduction reduction = LossReduction::mean;
  bool weighted = false, ignores = false;
  std::int64_t ignored = 0;
  double smoothing = 0;
  std::int64_t offset = 0, gap = 0;  // elements before the logits, and between their rows
  bool apart = false;                // the logits are columns of a (classes, rows) matrix
  std::vector<T> x{}, weight{};
  std::vector<L> label{};

  Case& filled(std::mt19937& random, double low = -8, double high = 8) {
    std::uniform_real_distribution<double> value(low, high), positive(0.25, 2);
    for (std::int64_t i = 0; i < problems * rows * classes; ++i) x.push_back(T(value(random)));
    for (std::int64_t i = 0; i < problems * classes; ++i) weight.push_back(T(positive(random)));
    const std::int64_t most = std::min<std::int64_t>(classes, std::int64_t(std::numeric_limits<L>::max()));
    for (std::int64_t i = 0; i < problems * rows; ++i) label.push_back(L(random() % std::uint64_t(most)));
    return *this;
  }
  bool counts(std::int64_t row) const {
    const auto y = std::int64_t(label[std::size_t(row)]);
    return !(ignores && y == ignored) && y >= 0 && y < classes;
  }
  double weight_of(std::int64_t problem, std::int64_t k) const {
    return weighted ? to_double(weight[std::size_t(problem * classes + k)]) : 1;
  }
  // Of a row: its loss, and the gradient of it.
  double of_row(std::int64_t row, std::vector<double>& gradient, std::vector<double>& scale) const {
    gradient.assign(std::size_t(classes), 0);
    scale.assign(std::size_t(classes), 0);
    if (!counts(row)) return 0;
    const std::int64_t problem = row / rows, y = std::int64_t(label[std::size_t(row)]);
    const auto at = [&](std::int64_t k) { return (long double)(to_double(x[std::size_t(row * classes + k)])); };
    long double top = -kInfinity, sum = 0, total = 0, loss = 0;
    for (std::int64_t k = 0; k < classes; ++k)
      if (at(k) > top) top = at(k);
    for (std::int64_t k = 0; k < classes; ++k) sum += at(k) == top ? 1 : std::exp(at(k) - top);
    if (top == -kInfinity) sum = NAN;
    const auto target = [&](std::int64_t k) {
      return weight_of(problem, k) * ((1 - smoothing) * (k == y) + smoothing / double(classes));
    };
    for (std::int64_t k = 0; k < classes; ++k) {
      total += target(k);
      const long double surprise = std::log(sum) - (at(k) == top ? 0 : at(k) - top);
      if (std::isnan(double(surprise)) || target(k) != 0) loss += target(k) * surprise;
    }
    for (std::int64_t k = 0; k < classes; ++k) {
      const long double share = (at(k) == top ? 1 : std::exp(at(k) - top)) / sum;
      gradient[std::size_t(k)] = double(total * share - target(k));
      const long double below = top - at(k), depth = below >= 0 && below < 100 ? below : 0;
      scale[std::size_t(k)] = double(total * share * (1 + depth / 8) + target(k));
    }
    return double(loss);
  }
};

bool near(double got, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= tolerance;
}

// Runs a case with and without gradient; its fault words.
template <class T, class L>
std::vector<std::int64_t> check_case(const Case<T, L>& c) {
  CAPTURE(c.problems);
  CAPTURE(c.rows);
  CAPTURE(c.classes);
  CAPTURE(int(c.reduction));
  CAPTURE(c.weighted);
  CAPTURE(c.ignores);
  CAPTURE(c.smoothing);
  const std::int64_t all = c.problems * c.rows, n = c.classes, pitch = c.apart ? 1 : n + c.gap;
  const std::int64_t step = c.apart ? all : 1;
  std::vector<T> laid(std::size_t(c.offset + all * (n + c.gap)), T(3));
  for (std::int64_t r = 0; r < all; ++r)
    for (std::int64_t k = 0; k < n; ++k)
      laid[std::size_t(c.offset + r * pitch + k * step)] = c.x[std::size_t(r * n + k)];
  const DeviceArray<T> x(laid), dx(laid), weight(c.weight);
  const DeviceArray<L> label(c.label);
  const bool none = c.reduction == LossReduction::none, mean = c.reduction == LossReduction::mean;
  const auto losses = std::size_t(none ? all : c.problems);
  const DeviceArray<T> loss(losses), again(losses);
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>(kFaultWords, kNoFault));
  const DeviceArray<unsigned char> workspace(cross_entropy_workspace<T>(c.problems, c.rows, n));
  Stream& stream = current_stream(ergo::Device::cuda());

  CrossEntropyCall<T> call{{x.data() + c.offset, {all, n}, {pitch, step}},
                           Labels::of<L>({label.data(), {all}, {1}}),
                           row_major(loss.data(), {std::int64_t(losses)})};
  if (c.weighted) call.weight = row_major(weight.data(), {c.problems, n});
  call.problems = c.problems;
  call.reduction = c.reduction;
  call.ignores = c.ignores;
  call.ignore_label = c.ignored;
  call.smoothing = c.smoothing;
  call.fault = fault.data();
  launch_cross_entropy(stream, call, workspace.data());
  call.loss.data = again.data();
  call.gradient = {dx.data() + c.offset, {all, n}, {pitch, step}};
  launch_cross_entropy(stream, call, workspace.data());

  const auto got = loss.host(), repeated = again.host(), d = dx.host();
  for (std::size_t i = 0; i < losses; ++i)
    CHECK((to_double(got[i]) == to_double(repeated[i]) || std::isnan(to_double(got[i]))));
  std::size_t wrong = 0;
  std::vector<double> gradient, scale;
  for (std::int64_t p = 0; p < c.problems; ++p) {
    long double total = 0, counted = 0, size = 0;
    for (std::int64_t r = p * c.rows; r < (p + 1) * c.rows; ++r)
      if (c.counts(r)) counted += c.weight_of(p, std::int64_t(c.label[std::size_t(r)]));
    if (!c.ignores && !c.weighted) counted = (long double)(c.rows);
    const double factor = mean ? double(1 / counted) : 1;
    for (std::int64_t r = p * c.rows; r < (p + 1) * c.rows; ++r) {
      const double value = c.of_row(r, gradient, scale);
      total += value;
      size += std::abs(value) + 1;
      if (none) CHECK(near(to_double(got[std::size_t(r)]), value, kTolerance<T> * (1 + std::abs(value))));
      for (std::int64_t k = 0; k < n; ++k) {
        const double is = to_double(d[std::size_t(c.offset + r * pitch + k * step)]);
        const double should = c.counts(r) ? gradient[std::size_t(k)] * factor : 0;
        const double room = (c.counts(r) ? kTolerance<T> * scale[std::size_t(k)] * std::abs(factor) : 0) + 1e-44;
        if (!near(is, should, room) && wrong++ == 0) {
          CAPTURE(r);
          CAPTURE(k);
          CHECK(is == should);
        }
      }
    }
    if (!none) {
      const double value = double(mean ? total / counted : total);
      CHECK(near(to_double(got[std::size_t(p)]), value, kTolerance<T> * double(mean ? size / counted : size)));
    }
  }
  CHECK(wrong == 0);
  return fault.host();
}

TEST_CASE_TEMPLATE("classes on both sides of every bound", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  unsigned kind = unsigned(random() % 12);
  for (const auto& [rows, classes] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1},
                                                                                        {40, 10},
                                                                                        {16, 64},
                                                                                        {17, 65},
                                                                                        {5, 256},
                                                                                        {6, 257},
                                                                                        {3, 1000},
                                                                                        {4, 1024},
                                                                                        {2, 1025},
                                                                                        {2, 4096},
                                                                                        {1, 8192},
                                                                                        {2, 8193},
                                                                                        {1, 20001},
                                                                                        {1, 16384}}) {
    for (int k = 0; k < (classes < 1024 ? 6 : 2); ++k, ++kind) {
      Case<T, std::int32_t> c{.problems = kind % 5 == 0 ? 2 : 1, .rows = rows, .classes = classes};
      c.reduction = LossReduction(kind % 3);
      c.weighted = kind % 2 == 0;
      c.smoothing = kind % 4 == 0 ? 0 : 0.1;
      c.ignores = kind % 12 < 5;
      c.offset = k % 2;
      c.gap = k % 3 == 0 ? 8 : 0;
      c.apart = k == 4;
      if (c.apart) c.gap = 0;
      c.filled(random);
      c.ignored = -100;
      for (std::size_t r = 1; c.ignores && r < c.label.size(); r += 3) c.label[r] = -100;
      const auto fault = check_case(c);
      CHECK(fault == std::vector<std::int64_t>(kFaultWords, kNoFault));
    }
  }
}

TEST_CASE_TEMPLATE("labels of every type", L, std::uint8_t, std::int32_t, std::int64_t) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto reduction : {LossReduction::none, LossReduction::sum, LossReduction::mean}) {
    Case<float, L> c{.rows = 35, .classes = 300, .reduction = reduction, .ignores = true, .ignored = 7};
    c.filled(random);
    c.label[3] = c.label[34] = 7;
    check_case(c);
  }
}

TEST_CASE("many rows") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const bool weighted : {false, true}) {  // over one part of the counted
    Case<float, std::uint8_t> c{.rows = kCountedPart + 33, .classes = 3, .weighted = weighted};
    check_case(c.filled(random));
  }
}

TEST_CASE_TEMPLATE("a bad label is reported, and the rest is right", L, std::uint8_t, std::int32_t, std::int64_t) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::int64_t classes : {9, 100, 150, 1030, 8200}) {
    Case<float, L> c{.rows = 20, .classes = classes, .reduction = LossReduction::none};
    if (classes > 1000) c.rows = 6;
    c.filled(random);
    L bad = L(random() % 2 && std::is_signed_v<L> ? -3 : 200);
    if constexpr (sizeof(L) == 8) {
      if (random() % 2) bad = random() % 2 ? (std::int64_t(1) << 40) + 12345 : -(std::int64_t(1) << 50) - 77;
    }
    const bool is_bad = std::int64_t(bad) < 0 || std::int64_t(bad) >= classes;
    if (!is_bad) bad = sizeof(L) == 1 ? L(255) : L(classes);
    if (sizeof(L) == 1 && classes > 255) continue;
    const auto first = std::size_t(random() % 4);
    c.label[first] = bad;
    c.label[5] = L(sizeof(L) == 1 ? 254 : classes + 5);
    const auto fault = check_case(c);
    CHECK(fault[0] == std::int64_t(first));
    CHECK(fault_value(fault.data()) == std::int64_t(bad));
  }
  // Without words to report to, the same values.
  const DeviceArray<float> x(std::vector<float>{1, 2, 3}), loss(1);
  const DeviceArray<L> label(std::vector<L>{L(9)});
  CrossEntropyCall<float> call{row_major(x.data(), {1, 3}), Labels::of<L>({label.data(), {1}, {1}}),
                               row_major(loss.data(), {1})};
  call.reduction = LossReduction::none;
  launch_cross_entropy(current_stream(ergo::Device::cuda()), call, nullptr);
  CHECK(loss.host() == std::vector<float>{0});
}

TEST_CASE_TEMPLATE("NaN, infinities, zero weights", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const T inf = T(kInfinity), minus = T(-kInfinity), nan = T(double(NAN));
  for (std::int64_t classes : {5, 70, 300, 1100, 8201}) {
    for (const double smoothing : {0.0, 0.25, 1.0}) {
      Case<T, std::int32_t> c{.rows = 9, .classes = classes, .reduction = LossReduction::none, .smoothing = smoothing};
      c.weighted = random() % 2;
      c.ignores = true;
      c.ignored = -1;
      c.filled(random, -3, 3);
      const auto at = [&](std::int64_t r, std::int64_t k) -> T& { return c.x[std::size_t(r * classes + k)]; };
      at(0, classes - 1) = nan;
      at(1, 2) = minus;
      for (std::int64_t k = 0; k < classes; ++k) at(2, k) = minus;
      at(3, 1) = inf;
      at(4, 0) = at(4, 3) = inf;
      at(4, 1) = minus;
      c.label[3] = 1;
      c.label[4] = 2;
      at(5, 0) = nan;
      c.label[5] = -1;  // ignored, whatever stands there
      c.weight[4] = T(0);
      c.label[6] = 4;
      at(6, 4) = minus;
      for (std::int64_t k = 0; k < classes; ++k) at(7, k) = inf;
      at(8, 1) = minus;
      c.label[8] = 1;
      check_case(c);
    }
  }
}

TEST_CASE_TEMPLATE("logits far from zero", T, float, double) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::int64_t classes : {10, 1000, 5000, 9000})
    for (double offset : {1e4, -1e4}) {
      Case<T, std::int32_t> c{.rows = 2, .classes = classes, .smoothing = 0.1};
      check_case(c.filled(random, offset - 20, offset + 20));
    }
}

TEST_CASE("no rows, no problems, no row that counts") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> x(0), loss(1), workspace(16);
  const DeviceArray<std::int32_t> label(0);
  CrossEntropyCall<float> call{row_major(x.data(), {0, 3}), Labels::of<std::int32_t>({label.data(), {0}, {1}}),
                               row_major(loss.data(), {1})};
  launch_cross_entropy(stream, call, workspace.data());
  CHECK(std::isnan(loss.host()[0]));
  call.ignores = true;
  launch_cross_entropy(stream, call, workspace.data());
  CHECK(std::isnan(loss.host()[0]));
  call.reduction = LossReduction::sum;
  launch_cross_entropy(stream, call, workspace.data());
  CHECK(loss.host()[0] == 0);
  call.problems = 0;
  launch_cross_entropy(stream, call, nullptr);

  Case<float, std::int32_t> c{.rows = 3, .classes = 4, .ignores = true, .ignored = 2};
  std::mt19937 random(1);
  c.filled(random);
  c.label = {2, 2, 2};
  check_case(c);
}

}  // namespace kernels_cross_entropy_test

// Rows of reductions, scans, the softmax family, normalisation and losses. References are naive loops in long double, in
// which no sum is split and nothing is fused.
#include <cmath>

#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/scan.hpp"
#include "ergo/ops/statistics.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;
using Row = std::vector<Real>;

// Distinct numbers 5 apart in no order, so that the differences of a test cross no tie.
template <class T>
Tensor<T> ramp(const Tensor<T>& x) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T(5 * ((i * 37 + 11) % 101)));
  return from_span<T>(v, x.shape());
}
template <class T>
std::int64_t classes_of(const Tensor<T>& x) {
  return x.shape()[-1];
}
// A label for each row; every fourth is ignored (-1) if asked for.
template <class T>
Tensor<std::int32_t> labels_of(const Tensor<T>& x, bool ignoring = false) {
  const Shape s = x.shape().first(x.rank() - 1);
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(ignoring && i % 4 == 1 ? -1 : std::int32_t((i * 7 + 2) % classes_of(x)));
  return from_span<std::int32_t>(v, s);
}
template <class T>
Tensor<T> class_weights(std::int64_t n) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(T(0.5 + 0.25 * double(i % 5)));
  return from_span<T>(v, {n});
}
template <class T>
Tensor<bool> mask_of(const Tensor<T>& x) {
  const std::int64_t n = classes_of(x);
  std::vector<std::uint8_t> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(i % 3 != 1);
  return from_span<std::uint8_t>(v, {n}) != std::uint8_t(0);
}

// f(row, out) along one axis (from the back; 0: all elements): each row of x gives `out`, of any length.
Reference along(const Tensor<double>& x, int axis, bool keeps_length, const std::function<Row(const Row&)>& f) {
  const auto v = x.to_vector();
  const Shape s = x.shape();
  const int at = axis ? s.rank() - axis : 0;
  const std::int64_t n = axis ? s[at] : x.numel(), inner = axis ? s.last(axis - 1).numel() : 1, outer = axis ? s.first(at).numel() : 1;
  Reference r{axis ? s.first(at) + (keeps_length ? Shape{n} : Shape{}) + s.last(axis - 1) : keeps_length ? s : Shape{}, {}};
  r.values.resize(std::size_t(r.shape.numel()));
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      Row row;
      for (std::int64_t k = 0; k < n; ++k) row.push_back(v[std::size_t((o * n + k) * inner + i)]);
      const Row y = f(row);
      for (std::int64_t k = 0; k < std::int64_t(y.size()); ++k)
        r.values[std::size_t((o * std::int64_t(y.size()) + k) * inner + i)] = double(y[std::size_t(k)]);
    }
  return r;
}

// The same for sums: errors are relative to the sums of sizes.
Reference sums_along(const Tensor<double>& x, int axis, bool keeps_length, const std::function<Row(const Row&)>& f) {
  Reference r = along(x, axis, keeps_length, f);
  r.sizes = along(abs(x), axis, keeps_length, f).values;
  return r;
}

Real total(const Row& x) {
  Real s = 0;
  for (Real v : x) s += v;
  return s;
}
Real average(const Row& x) { return total(x) / Real(x.size()); }
Real product(const Row& x) {
  Real p = 1;
  for (Real v : x) p *= v;
  return p;
}
Real largest(const Row& x) {
  Real m = x[0];
  for (Real v : x) m = v > m ? v : m;
  return m;
}
Real spread_of(const Row& x, Real correction) {
  Real s = 0, m = average(x);
  for (Real v : x) s += (v - m) * (v - m);
  return s / (Real(x.size()) - correction);
}
Real log_sum_exp(const Row& x) {
  Real s = 0;
  for (Real v : x) s += std::exp(v);
  return std::log(s);
}
Row map_row(const Row& x, const std::function<Real(Real)>& f) {
  Row y;
  for (Real v : x) y.push_back(f(v));
  return y;
}
Row running(const Row& x, bool reverse, bool exclusive) {
  Row y(x.size());
  Real s = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const std::size_t i = reverse ? x.size() - 1 - k : k;
    y[i] = exclusive ? s : s + x[i];
    s += x[i];
  }
  return y;
}
// The loss of each row for a target on each class, and the weight of its label.
struct Losses {
  Row loss, weight;
};
Losses losses_of(const Tensor<double>& x, bool ignoring, Real smoothing, bool weighted) {
  const std::int64_t n = classes_of(x);
  const auto v = x.to_vector(), w = class_weights<double>(n).to_vector();
  const auto labels = labels_of(x, ignoring).to_vector();
  Losses r;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    Row row;
    for (std::int64_t k = 0; k < n; ++k) row.push_back(v[i * std::size_t(n) + std::size_t(k)]);
    const Real all = log_sum_exp(row);
    Real loss = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const Real target = (k == labels[i] ? 1 - smoothing : 0) + smoothing / Real(n);
      if (labels[i] >= 0) loss += (weighted ? Real(w[std::size_t(k)]) : 1) * target * (all - row[std::size_t(k)]);
    }
    r.loss.push_back(loss);
    r.weight.push_back(labels[i] < 0 ? 0 : weighted ? Real(w[std::size_t(labels[i])]) : 1);
  }
  return r;
}
Reference scalar_reference(Real v) { return {Shape{}, {double(v)}}; }

const std::vector<std::vector<Shape>> kWhole = {{{3, 5}}, {{}}, {{1}}, {{0}}, {{7}}, {{2, 3, 4}}, {{37}}, {{4, 0, 2}}, {{70, 33}}};
const std::vector<std::vector<Shape>> kFilled = {{{3, 5}}, {{}}, {{1}}, {{7}}, {{2, 3, 4}}, {{37}}, {{70, 33}}};
const std::vector<std::vector<Shape>> kRows = {{{3, 5}}, {{1, 1}}, {{4, 7}}, {{2, 3, 10}}, {{5, 17}}, {{3, 64}}, {{2, 100}}, {{0, 4}}, {{2, 2500}}};
const std::vector<std::vector<Shape>> kColumns = {{{5, 3}}, {{4, 1}}, {{2, 9, 3}}, {{200, 7}}, {{70, 33}}, {{17, 16}}, {{3, 0}}, {{2, 1500, 9}}};

#define ROW(title, given, range, most, expression, ...)                                   \
  [] {                                                                                    \
    Case c;                                                                               \
    c.name = title;                                                                       \
    c.shapes = given;                                                                     \
    c.ranges = {range};                                                                   \
    c.order = most;                                                                       \
    c.f64 = [](const Doubles& in) -> Tensor<double> {                                     \
      const Tensor<double>& x = in[0];                                                    \
      return expression;                                                                  \
    };                                                                                    \
    c.f32 = [](const Floats& in) -> Tensor<float> {                                       \
      const Tensor<float>& x = in[0];                                                     \
      return expression;                                                                  \
    };                                                                                    \
    c.reference = [](const Doubles& in) -> Reference {                                    \
      const Tensor<double>& x = in[0];                                                    \
      __VA_ARGS__                                                                         \
    };                                                                                    \
    c.large = {{300, 301}};                                                               \
    return c;                                                                             \
  }()

constexpr Range kAny{-2, 2};

}  // namespace

std::vector<Case> reduction_cases() {
  std::vector<Case> all = {
      ROW("sum", kWhole, kAny, 3, sum(x), return sums_along(x, 0, false, [](const Row& r) { return Row{total(r)}; });),
      ROW("sum: last axis", kRows, kAny, 3, sum(x, -1), return sums_along(x, 1, false, [](const Row& r) { return Row{total(r)}; });),
      ROW("sum: columns", kColumns, kAny, 3, sum(x, -2), return sums_along(x, 2, false, [](const Row& r) { return Row{total(r)}; });),
      ROW("sum: axes that do not touch", (std::vector<std::vector<Shape>>{{{2, 3, 4}}, {{5, 1, 9}}, {{3, 20, 33}}}), kAny, 3,
          (sum(x, {0, -1}, true)), const Shape& s = x.shape();
          Reference r = sums_along(reshape(permute(x, {1, 0, 2}), {s[1], s[0] * s[2]}), 1, false, [](const Row& v) { return Row{total(v)}; });
          r.shape = Shape{1, s[1], 1}; return r;),
      ROW("mean", kFilled, kAny, 3, mean(x), return sums_along(x, 0, false, [](const Row& r) { return Row{average(r)}; });),
      ROW("mean: columns", kColumns, kAny, 3, mean(x, -2), return sums_along(x, 2, false, [](const Row& r) { return Row{average(r)}; });),
      ROW("prod", (std::vector<std::vector<Shape>>{{{3, 4}}, {{}}, {{1}}, {{0}}, {{7}}, {{37}}}), kAny, 3, prod(x), return along(x, 0, false, [](const Row& r) { return Row{product(r)}; });),
      ROW("prod: columns", kColumns, (Range{0.5, 1.4}), 3, prod(x, -2), return along(x, 2, false, [](const Row& r) { return Row{product(r)}; });),
      ROW("max", kFilled, kAny, 3, max(x + ramp(x)), return along(x + ramp(x), 0, false, [](const Row& r) { return Row{largest(r)}; });),
      ROW("max: columns", kColumns, kAny, 3, max(x + ramp(x), -2), return along(x + ramp(x), 2, false, [](const Row& r) { return Row{largest(r)}; });),
      ROW("min", kRows, kAny, 3, min(x - ramp(x), -1), return along(x - ramp(x), 1, false, [](const Row& r) { return Row{-largest(map_row(r, [](Real v) { return -v; }))}; });),
      ROW("variance", kFilled, kAny, 3, variance(x), return along(x, 0, false, [](const Row& r) { return Row{spread_of(r, 0)}; });),
      ROW("variance: rows, corrected", (std::vector<std::vector<Shape>>{{{3, 5}}, {{4, 7}}, {{5, 17}}, {{2, 100}}}), kAny, 3, (variance(x, -1, {.correction = 1})), return along(x, 1, false, [](const Row& r) { return Row{spread_of(r, 1)}; });),
      ROW("norm", kWhole, kAny, 3, norm(x), return along(x, 0, false, [](const Row& r) { return Row{std::sqrt(total(map_row(r, [](Real v) { return v * v; })))}; });),
      ROW("norm: rows of order 1", kRows, (Range{0.5, 2}), 3, (norm(x, -1, {.ord = 1})), return along(x, 1, false, [](const Row& r) { return Row{total(map_row(r, [](Real v) { return std::abs(v); }))}; });),
      ROW("norm: of order infinity", kFilled, kAny, 3, (norm(x - ramp(x), {.ord = HUGE_VAL})), return along(x - ramp(x), 0, false, [](const Row& r) { return Row{largest(map_row(r, [](Real v) { return std::abs(v); }))}; });),
      ROW("logsumexp", kFilled, kAny, 3, logsumexp(x), return along(x, 0, false, [](const Row& r) { return Row{log_sum_exp(r)}; });),
      ROW("logsumexp: rows", kRows, (Range{-30, 30}), 3, (logsumexp(x, -1, true)), Reference r = along(x, 1, false, [](const Row& v) { return Row{log_sum_exp(v)}; }); r.shape.push(1); return r;),
      ROW("logsumexp: columns", kColumns, kAny, 2, logsumexp(x, -2), return along(x, 2, false, [](const Row& v) { return Row{log_sum_exp(v)}; });),
      ROW("cumsum", kRows, kAny, 3, cumsum(x), return sums_along(x, 1, true, [](const Row& r) { return running(r, false, false); });),
      ROW("cumsum: backwards, exclusive", kRows, kAny, 3, (cumsum(x, -1, {.reverse = true, .exclusive = true})), return sums_along(x, 1, true, [](const Row& r) { return running(r, true, true); });),
      ROW("cumsum: columns", kColumns, kAny, 3, (cumsum(x, -2, {.reverse = true})), return sums_along(x, 2, true, [](const Row& r) { return running(r, true, false); });),
      ROW("softmax", kRows, kAny, 3, softmax(x), return along(x, 1, true, [](const Row& r) { return map_row(r, [s = log_sum_exp(r)](Real v) { return std::exp(v - s); }); });),
      ROW("softmax: far apart", kRows, (Range{-40, 40}), 2, softmax(x, -1), return along(x, 1, true, [](const Row& r) { return map_row(r, [s = log_sum_exp(r)](Real v) { return std::exp(v - s); }); });),
      ROW("softmax: columns", kColumns, kAny, 3, softmax(x, -2), return along(x, 2, true, [](const Row& r) { return map_row(r, [s = log_sum_exp(r)](Real v) { return std::exp(v - s); }); });),
      ROW("softmax: masked", kRows, kAny, 3, (softmax(x, {.mask = mask_of(x)})), return along(x, 1, true, [](const Row& r) {
            Row taken, y;
            for (std::size_t k = 0; k < r.size(); ++k)
              if (k % 3 != 1) taken.push_back(r[k]);
            const Real s = log_sum_exp(taken);
            for (std::size_t k = 0; k < r.size(); ++k) y.push_back(k % 3 != 1 ? std::exp(r[k] - s) : 0);
            return y;
          });),
      ROW("log_softmax", kRows, kAny, 3, log_softmax(x), return along(x, 1, true, [](const Row& r) { return map_row(r, [s = log_sum_exp(r)](Real v) { return v - s; }); });),
      ROW("log_softmax: columns", kColumns, (Range{-30, 30}), 2, log_softmax(x, -2), return along(x, 2, true, [](const Row& r) { return map_row(r, [s = log_sum_exp(r)](Real v) { return v - s; }); });),
      ROW("cross_entropy", kRows, kAny, 3, cross_entropy(x, labels_of(x)), return scalar_reference(average(losses_of(x, false, 0, false).loss));),
      ROW("cross_entropy: sum, ignoring", kRows, kAny, 3, (cross_entropy(x, labels_of(x, true), {.reduction = Reduction::sum, .ignore_label = -1})), return scalar_reference(total(losses_of(x, true, 0, false).loss));),
      ROW("cross_entropy: smooth, weighted, ignoring", (std::vector<std::vector<Shape>>{{{3, 5}}, {{4, 7}}, {{2, 3, 10}}, {{5, 17}}, {{3, 64}}, {{2, 2500}}}), kAny, 3,
          (cross_entropy(x, labels_of(x, true), {.ignore_label = -1, .label_smoothing = 0.1, .weight = class_weights<typename std::remove_cvref_t<decltype(x)>::value_type>(classes_of(x))})),
          const Losses l = losses_of(x, true, 0.1L, true); return scalar_reference(total(l.loss) / total(l.weight));),
      ROW("cross_entropy: unreduced", kRows, kAny, 3, (cross_entropy(x, labels_of(x, true), {.reduction = Reduction::none, .ignore_label = -1, .label_smoothing = 0.2})),
          Reference r{x.shape().first(x.rank() - 1), {}}; for (Real v : losses_of(x, true, 0.2L, false).loss) r.values.push_back(double(v)); return r;),
  };
  {
    Case c;
    c.name = "cross_entropy: probabilities";
    c.large = {{300, 301}, {300, 301}};
    c.shapes = {{{3, 5}, {3, 5}}, {{2, 2, 17}, {2, 2, 17}}, {{1, 1}, {1, 1}}};
    c.ranges = {{-2, 2}, {0.1, 1}};
    c.f64 = [](const Doubles& x) { return cross_entropy(x[0], x[1]); };
    c.f32 = [](const Floats& x) { return cross_entropy(x[0], x[1]); };
    c.reference = [](const Doubles& x) {
      const auto v = x[0].to_vector(), p = x[1].to_vector();
      const std::size_t n = std::size_t(classes_of(x[0]));
      Row losses;
      for (std::size_t i = 0; i < v.size(); i += n) {
        const Real whole = log_sum_exp(Row(v.begin() + long(i), v.begin() + long(i + n)));
        Real loss = 0;
        for (std::size_t k = 0; k < n; ++k) loss += p[i + k] * (whole - v[i + k]);
        losses.push_back(loss);
      }
      return scalar_reference(average(losses));
    };
    all.push_back(c);
  }
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    Case c;
    c.name = reduction == Reduction::mean ? "mse" : "mse: sum";
    c.shapes = {{{3, 5}, {3, 5}}, {{}, {}}, {{1}, {1}}, {{37}, {37}}, {{70, 33}, {70, 33}}};
    c.f64 = reduction == Reduction::mean ? [](const Doubles& x) { return mse(x[0], x[1]); }
                                         : [](const Doubles& x) { return mse(x[0], x[1], {.reduction = Reduction::sum}); };
    c.f32 = reduction == Reduction::mean ? [](const Floats& x) { return mse(x[0], x[1]); }
                                         : [](const Floats& x) { return mse(x[0], x[1], {.reduction = Reduction::sum}); };
    c.reference = reduction == Reduction::mean ? [](const Doubles& x) {
      const auto a = x[0].to_vector(), b = x[1].to_vector();
      Real s = 0;
      for (std::size_t i = 0; i < a.size(); ++i) s += (Real(a[i]) - b[i]) * (Real(a[i]) - b[i]);
      return scalar_reference(s / Real(a.size()));
    } : [](const Doubles& x) {
      const auto a = x[0].to_vector(), b = x[1].to_vector();
      Real s = 0;
      for (std::size_t i = 0; i < a.size(); ++i) s += (Real(a[i]) - b[i]) * (Real(a[i]) - b[i]);
      return scalar_reference(s);
    };
    c.large = {{300, 301}, {300, 301}};
    all.push_back(c);
  }
  {
    Case c;
    c.name = "layer_norm";
    c.shapes = {{{3, 5}, {5}, {5}}, {{7}, {7}, {7}}, {{2, 3, 10}, {10}, {10}}, {{4, 17}, {17}, {17}}, {{2, 100}, {100}, {100}}, {{2, 3}, {3}, {3}}};
    c.f64 = [](const Doubles& x) { return layer_norm(x[0], x[1], x[2]); };
    c.f32 = [](const Floats& x) { return layer_norm(x[0], x[1], x[2]); };
    c.reference = [](const Doubles& x) {
      const auto w = x[1].to_vector(), b = x[2].to_vector();
      return along(x[0], 1, true, [&](const Row& r) {
        Row y;
        const Real m = average(r), s = std::sqrt(spread_of(r, 0) + 1e-5L);
        for (std::size_t k = 0; k < r.size(); ++k) y.push_back((r[k] - m) / s * w[k] + b[k]);
        return y;
      });
    };
    c.large = {{300, 301}, {301}, {301}};
    c.tolerance = 5e-6;
    all.push_back(c);
  }
  const auto alone = [&](const std::string& name, Tensor<float> (*bare)(const Floats&)) {
    for (Case& c : all)
      if (c.name == name) c.bare = bare;
  };
  alone("max", [](const Floats& in) { return max(in[0]); });
  alone("max: columns", [](const Floats& in) { return max(in[0], -2); });
  alone("min", [](const Floats& in) { return min(in[0], -1); });
  alone("norm: of order infinity", [](const Floats& in) { return norm(in[0], {.ord = HUGE_VAL}); });
  for (Case& c : all) {
    if (c.name.ends_with(": columns")) c.large = {{1200, 700}};
    if (c.name.starts_with("sum") || c.name.starts_with("mean")) c.serial_gradient = "a view of the cotangent, repeated";
    if (c.name == "max") c.serial_gradient = "all elements are one row, and rows run in parallel";
  }
  return all;
}
#undef ROW

}  // namespace cases

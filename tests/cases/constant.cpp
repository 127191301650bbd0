// Rows of operations whose result is an index, a bool or a share: constants to every derivative, which count as numbers
// here.
#include <cmath>

#include "ergo/ops/loss.hpp"
#include "ergo/ops/selection.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Row = std::vector<double>;

// f of each row along the last axis; with `whole`, of all elements as one.
Reference by_rows(const Tensor<double>& x, bool whole, const std::function<double(const Row&)>& f) {
  const auto v = x.to_vector();
  const std::int64_t n = whole ? x.numel() : x.shape()[-1];
  Reference r{whole ? Shape{} : x.shape().first(x.rank() - 1), {}};
  for (std::int64_t i = 0; i < r.shape.numel(); ++i)
    r.values.push_back(f(Row(v.begin() + i * n, v.begin() + (i + 1) * n)));
  return r;
}
template <class T>
Tensor<T> rounded(const Tensor<T>& x) {  // a few values only, so that most rows have ties
  return where(x > 0.5, T(1), where(x < T(-0.5), T(-1), T(0) * x));
}
double rounded_of(double x) { return x > 0.5 ? 1 : x < -0.5 ? -1 : 0; }
double first_most(const Row& r, double sign) {  // the place of the first of the largest (smallest) elements
  std::size_t best = 0;
  for (std::size_t k = 1; k < r.size(); ++k)
    if (sign * rounded_of(r[k]) > sign * rounded_of(r[best])) best = k;
  return double(best);
}
double share_above(const Row& r, double level) {
  std::size_t n = 0;
  for (double v : r) n += v > level;
  return double(n) / double(r.size());
}

// A label for each row; every fifth is ignored.
template <class T>
Tensor<std::int32_t> labels_of(const Tensor<T>& x) {
  const Shape s = x.shape().first(x.rank() - 1);
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(i % 5 == 1 ? -1 : std::int32_t(i * 7 % x.shape()[-1]));
  return from_span<std::int32_t>(v, s);
}

// `run` is the operation alone.
template <class F, class Run>
Case row(const char* name, const std::vector<std::vector<Shape>>& shapes, F, Run,
         Reference (*reference)(const Doubles&)) {
  Case c;
  c.name = name;
  c.shapes = shapes;
  c.large = {{300, 301}};
  c.order = 0;
  c.f64 = [](const Doubles& in) { return cast<double>(F{}(in[0])); };
  c.f32 = [](const Floats& in) { return cast<float>(F{}(in[0])); };
  c.bare = [](const Floats& in) {
    Run{}(in[0]);
    return in[0];
  };
  c.reference = reference;
  return c;
}
const std::vector<std::vector<Shape>> kWhole = {{{3, 5}}, {{}}, {{1}}, {{7}}, {{2, 3, 4}}, {{37}}, {{70, 33}}};
const std::vector<std::vector<Shape>> kRows = {{{3, 5}},  {{1, 1}}, {{4, 7}},   {{2, 3, 10}},
                                               {{3, 64}}, {{0, 4}}, {{2, 2500}}};

}  // namespace

std::vector<Case> constant_cases() {
  std::vector<Case> rows = {
      row(
          "argmax", kRows, [](const auto& x) { return argmax(rounded(x), -1); }, [](const auto& x) { argmax(x, -1); },
          [](const Doubles& in) { return by_rows(in[0], false, [](const Row& r) { return first_most(r, 1); }); }),
      row(
          "argmax: of all", kWhole, [](const auto& x) { return argmax(rounded(x)); }, [](const auto& x) { argmax(x); },
          [](const Doubles& in) { return by_rows(in[0], true, [](const Row& r) { return first_most(r, 1); }); }),
      row(
          "argmin", kRows, [](const auto& x) { return argmin(rounded(x), -1); }, [](const auto& x) { argmin(x, -1); },
          [](const Doubles& in) { return by_rows(in[0], false, [](const Row& r) { return first_most(r, -1); }); }),
      row(
          "all", kRows, [](const auto& x) { return all(x > -1, -1); },
          [](const auto& x) { all(ones<bool>(x.shape()), -1); },
          [](const Doubles& in) {
            return by_rows(in[0], false, [](const Row& r) { return double(share_above(r, -1) == 1); });
          }),
      row(
          "all: of all", kWhole, [](const auto& x) { return all(x > -1.9); },
          [](const auto& x) { all(ones<bool>(x.shape())); },
          [](const Doubles& in) {
            return by_rows(in[0], true, [](const Row& r) { return double(share_above(r, -1.9) == 1); });
          }),
      row(
          "any", kRows, [](const auto& x) { return any(x > 1, -1); },
          [](const auto& x) { any(zeros<bool>(x.shape()), -1); },
          [](const Doubles& in) {
            return by_rows(in[0], false, [](const Row& r) { return double(share_above(r, 1) > 0); });
          }),
      row(
          "accuracy", {{{3, 5}}, {{4, 1}}, {{2, 3, 10}}, {{70, 33}}},
          [](const auto& x) { return accuracy(x, labels_of(x), {.ignore_label = -1}); },
          [](const auto& x) { accuracy(x, labels_of(x)); },
          [](const Doubles& in) {
            const auto v = in[0].to_vector();
            const auto labels = labels_of(in[0]).to_vector();
            const std::size_t n = std::size_t(in[0].shape()[-1]);
            double right = 0, counted = 0;
            for (std::size_t i = 0; i < labels.size(); ++i) {
              std::size_t best = 0;
              for (std::size_t k = 0; k < n; ++k)
                if (v[i * n + k] > v[i * n + best]) best = k;
              right += labels[i] == std::int32_t(best);
              counted += labels[i] >= 0;
            }
            return Reference{Shape{}, {double(float(right / counted))}};
          }),
      row(
          "cast", kWhole, [](const auto& x) { return cast<std::int32_t>(x * 3); },  // towards zero
          [](const auto& x) { cast<std::int32_t>(x); },
          [](const Doubles& in) {
            Reference r{in[0].shape(), {}};
            for (double v : in[0].to_vector()) r.values.push_back(std::trunc(v * 3));
            return r;
          }),
  };
  for (Case& c : rows)
    if (c.name == "argmax: of all") c.serial = "all elements are one row, and rows run in parallel";
  return rows;
}

}  // namespace cases

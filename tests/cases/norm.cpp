// Rows of normalisation other than layer_norm. References are naive loops in long double.
#include <cmath>
#include <functional>

#include "ergo/ops/batch_norm.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/rms_norm.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;

// x (..., n): each row over the root of its mean square, times gamma.
Reference rms_reference(const Doubles& in, Real eps) {
  const auto x = in[0].to_vector(), gamma = in[1].to_vector();
  const std::size_t n = gamma.size();
  Reference r{in[0].shape(), {}};
  for (std::size_t at = 0; at < x.size(); at += n) {
    Real square = 0;
    for (std::size_t k = 0; k < n; ++k) square += Real(x[at + k]) * x[at + k];
    const Real root = std::sqrt(square / Real(n) + eps);
    for (std::size_t k = 0; k < n; ++k) r.values.push_back(double(x[at + k] / root * gamma[k]));
  }
  return r;
}

// Of x (examples, middle..., C): mean and variance of each example and group, y, in that order.
struct Groups {
  std::vector<Real> mean, variance, y;
};
Groups groups_of(const Doubles& in, std::size_t examples, std::size_t groups, Real eps) {
  const auto x = in[0].to_vector(), gamma = in[1].to_vector(), beta = in[2].to_vector();
  const std::size_t c = gamma.size(), depth = groups > 0 ? c / groups : 0, middle = examples > 0 && c > 0 ? x.size() / examples / c : 0;
  Groups r;
  r.y.resize(x.size());
  for (std::size_t e = 0; e < examples; ++e)
    for (std::size_t g = 0; g < groups; ++g) {
      const auto each = [&](const std::function<void(std::size_t, std::size_t)>& f) {
        for (std::size_t m = 0; m < middle; ++m)
          for (std::size_t d = 0; d < depth; ++d) f((e * middle + m) * c + g * depth + d, g * depth + d);
      };
      Real sum = 0, square = 0;
      each([&](std::size_t i, std::size_t) { sum += x[i]; });
      const Real mean = sum / Real(middle * depth);
      each([&](std::size_t i, std::size_t) { square += (x[i] - mean) * (x[i] - mean); });
      const Real variance = square / Real(middle * depth), root = std::sqrt(variance + eps);
      each([&](std::size_t i, std::size_t k) { r.y[i] = (x[i] - mean) / root * gamma[k] + beta[k]; });
      r.mean.push_back(mean);
      r.variance.push_back(variance);
    }
  return r;
}
Reference result(const Shape& s, const std::vector<Real>& v) { return {s, std::vector<double>(v.begin(), v.end())}; }
Reference group_reference(const Doubles& x, std::size_t groups, Real eps = 1e-5L) {
  return result(x[0].shape(), groups_of(x, std::size_t(x[0].shape()[0]), groups, eps).y);
}
Reference batch_reference(const Doubles& x, Real eps = 1e-5L) {
  return result(x[0].shape(), groups_of(x, 1, x[1].to_vector().size(), eps).y);
}
// y, mean and variance in one tensor (rows + 2, C).
template <class T>
Tensor<T> all_of(const BatchNormResult<T>& r) {
  const std::int64_t c = r.mean.shape()[0], rows = r.y.shape().first(r.y.rank() - 1).numel();
  return concatenate({reshape(r.y, {rows, c}), reshape(r.mean, {1, c}), reshape(r.variance, {1, c})}, 0);
}

}  // namespace

std::vector<Case> norm_cases() {
  std::vector<Case> all;
  {
    Case c;
    c.name = "rms_norm";
    c.shapes = {{{3, 5}, {5}}, {{7}, {7}}, {{2, 3, 10}, {10}}, {{4, 17}, {17}}, {{2, 100}, {100}}, {{70, 3}, {3}}, {{0, 4}, {4}}, {{2, 1}, {1}}, {{2, 4500}, {4500}}};
    c.f64 = [](const Doubles& x) { return rms_norm(x[0], x[1]); };
    c.f32 = [](const Floats& x) { return rms_norm(x[0], x[1]); };
    c.reference = [](const Doubles& x) { return rms_reference(x, 1e-5L); };
    c.large = {{300, 301}, {301}};
    c.tolerance = 5e-6;
    all.push_back(c);
    c.name = "rms_norm: at an offset, eps";
    c.ranges = {{1e4, 1.0001e4}, {-2, 2}};
    c.f64 = [](const Doubles& x) { return rms_norm(x[0], x[1], {.eps = 0.5}); };
    c.f32 = [](const Floats& x) { return rms_norm(x[0], x[1], {.eps = 0.5}); };
    c.reference = [](const Doubles& x) { return rms_reference(x, 0.5L); };
    c.order = 1;  // differences of derivatives that are 1e-8 of the value say nothing
    all.push_back(c);
  }
  const auto channels = [](std::initializer_list<Shape> given) {
    std::vector<std::vector<Shape>> r;
    for (const Shape& s : given) r.push_back({s, {s[-1]}, {s[-1]}});
    return r;
  };
  const auto group = [&](const char* name, std::initializer_list<Shape> shapes, Tensor<double> (*f64)(const Doubles&), Tensor<float> (*f32)(const Floats&), Reference (*reference)(const Doubles&)) {
    Case c;
    c.name = name;
    c.shapes = channels(shapes);
    c.f64 = f64;
    c.f32 = f32;
    c.reference = reference;
    c.large = {{40, 9, 302}, {302}, {302}};
    c.tolerance = 5e-6;
    all.push_back(c);
  };
  group("group_norm", {{2, 3, 6}, {3, 4}, {2, 2, 3, 10}, {1, 7, 18}, {0, 3, 4}, {70, 9, 32}, {2, 70, 130}, {2, 400, 200}, {1, 3000, 34}},
        [](const Doubles& x) { return group_norm(x[0], 2, x[1], x[2]); }, [](const Floats& x) { return group_norm(x[0], 2, x[1], x[2]); },
        [](const Doubles& x) { return group_reference(x, 2); });
  group("group_norm: one group", {{2, 3, 5}, {3, 4}, {2, 2, 3, 10}, {1, 7, 17}, {70, 1, 33}, {2, 70, 130}, {1, 1500, 34}, {3, 2, 9000}},
        [](const Doubles& x) { return group_norm(x[0], 1, x[1], x[2], {.eps = 0.1}); }, [](const Floats& x) { return group_norm(x[0], 1, x[1], x[2], {.eps = 0.1}); },
        [](const Doubles& x) { return group_reference(x, 1, 0.1L); });
  group("group_norm: a group a channel", {{2, 4, 3}, {2, 2, 3, 10}, {1, 7, 17}, {70, 9, 32}, {2, 70, 130}, {1, 3000, 34}},
        [](const Doubles& x) { return group_norm(x[0], x[1].numel(), x[1], x[2]); }, [](const Floats& x) { return group_norm(x[0], x[1].numel(), x[1], x[2]); },
        [](const Doubles& x) { return group_reference(x, x[1].to_vector().size()); });
  const std::initializer_list<Shape> batches = {{5, 3}, {2, 3}, {2, 3, 4}, {2, 2, 3, 10}, {7, 17}, {70, 33}, {3000, 34}, {300, 260}, {2, 0}, {4, 600}};
  const std::vector<Shape> large_batch = {{1200, 302}, {302}, {302}};
  group("batch_norm", batches, [](const Doubles& x) { return batch_norm(x[0], x[1], x[2]).y; }, [](const Floats& x) { return batch_norm(x[0], x[1], x[2]).y; },
        [](const Doubles& x) { return batch_reference(x); });
  all.back().large = large_batch;
  group("batch_norm: y, mean, variance", batches, [](const Doubles& x) { return all_of(batch_norm(x[0], x[1], x[2], {.eps = 0.01})); },
        [](const Floats& x) { return all_of(batch_norm(x[0], x[1], x[2], {.eps = 0.01})); },
        [](const Doubles& x) {
          const Groups g = groups_of(x, 1, x[1].to_vector().size(), 0.01L);
          auto v = g.y;
          v.insert(v.end(), g.mean.begin(), g.mean.end());
          v.insert(v.end(), g.variance.begin(), g.variance.end());
          const Shape& s = x[0].shape();
          return result({s.first(s.rank() - 1).numel() + 2, s[-1]}, v);
        });
  all.back().large = large_batch;
  group("batch_norm: mean and variance alone", {{5, 3}, {2, 3, 4}, {70, 33}},
        [](const Doubles& x) { const auto r = batch_norm(x[0], x[1], x[2]); return r.mean * r.variance; },
        [](const Floats& x) { const auto r = batch_norm(x[0], x[1], x[2]); return r.mean * r.variance; },
        [](const Doubles& x) {
          Groups g = groups_of(x, 1, x[1].to_vector().size(), 1);
          for (std::size_t i = 0; i < g.mean.size(); ++i) g.mean[i] *= g.variance[i];
          return result(x[1].shape(), g.mean);
        });
  all.back().large = large_batch;
  {
    Case c;
    c.name = "batch_norm: given statistics";
    for (const Shape& s : {Shape{4, 3}, Shape{3}, Shape{2, 3, 4}, Shape{1, 17}, Shape{70, 33}, Shape{0, 3}, Shape{2, 0}}) c.shapes.push_back({s, {s[-1]}, {s[-1]}, {s[-1]}, {s[-1]}});
    c.ranges = {{-2, 2}, {-2, 2}, {-2, 2}, {-2, 2}, {0.1, 2}};
    c.f64 = [](const Doubles& x) { return batch_norm(x[0], x[1], x[2], x[3], x[4], {.eps = 0.01}); };
    c.f32 = [](const Floats& x) { return batch_norm(x[0], x[1], x[2], x[3], x[4], {.eps = 0.01}); };
    c.reference = [](const Doubles& in) {
      const auto x = in[0].to_vector(), gamma = in[1].to_vector(), beta = in[2].to_vector(), mean = in[3].to_vector(), variance = in[4].to_vector();
      Reference r{in[0].shape(), {}};
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t k = i % gamma.size();
        r.values.push_back(double((Real(x[i]) - mean[k]) / std::sqrt(variance[k] + 0.01L) * gamma[k] + beta[k]));
      }
      return r;
    };
    c.large = {{1200, 302}, {302}, {302}, {302}, {302}};
    c.tolerance = 5e-6;
    all.push_back(c);
  }
  return all;
}

}  // namespace cases

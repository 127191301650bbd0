#include "support/case_drivers.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/tree_norm.hpp"
#include "support/case_inputs.hpp"
#include "support/parallel_use.hpp"

namespace cases {
namespace {

using namespace ergo;
using Function = std::function<Tensor<double>(const Doubles&)>;

bool close(double a, double b, double tolerance) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  return std::abs(a - b) <= tolerance * (1 + std::abs(b));
}
bool close(double a, const Reference& r, std::size_t i, double tolerance) {
  if (r.sizes.empty()) return close(a, r.values[i], tolerance);
  return a == r.values[i] || std::abs(a - r.values[i]) <= tolerance * r.sizes[i];
}
double worst(const Tensor<double>& a, const Tensor<double>& b) {
  REQUIRE(a.shape() == b.shape());
  const auto p = a.to_vector(), q = b.to_vector();
  double w = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i]))) continue;
    const double e = std::abs(p[i] - q[i]) / (1 + std::abs(q[i]));
    w = std::isnan(e) ? 1e300 : std::max(w, e);
  }
  return w;
}
double worst(const Doubles& a, const Doubles& b) {
  double w = 0;
  for (std::size_t i = 0; i < a.size(); ++i) w = std::max(w, worst(a[i], b[i]));
  return w;
}

Reference reference_of(const Case& c, const Doubles& x) {
  if (c.reference) return c.reference(x);
  Shape s;
  for (const auto& t : x) REQUIRE(ergo::detail::broadcast(s, t.shape()));
  Reference r{s, {}};
  std::vector<std::vector<double>> wide;
  for (const auto& t : x) wide.push_back((zeros<double>(s) + t).to_vector());
  for (std::int64_t i = 0; i < s.numel(); ++i) {
    double at[8] = {};
    for (std::size_t k = 0; k < x.size(); ++k) at[k] = wide[k][std::size_t(i)];
    r.values.push_back(c.scalar(at));
  }
  return r;
}

std::string describe(const Doubles& x) {
  std::string s;
  for (const auto& t : x) s += to_string(t.shape());
  return s;
}

// One number from f's result: its product with fixed weights.
struct Weighted {
  Function f;
  Tensor<double> weights;
  Tensor<double> operator()(const Doubles& x) const { return tree::dot(f(x), weights); }
};
Weighted weighted(const Function& f, const Doubles& x, std::mt19937_64& g) {
  return {f, sample(f(x).shape(), {-1, 1}, g)};
}

double item(const Tensor<double>& t) { return t.item(); }
double inner(const Doubles& a, const Doubles& b) { return tree::dot(a, b).item(); }

// d/ds of value(x + s d) at 0 by two central differences, the error of order h^4.
template <class Value>
double richardson(const Value& value, const Doubles& x, const Doubles& d) {
  const auto at = [&](double s) { return value(tree::axpy(s, d, x)); };
  const double h = 1e-3, wide = (at(2 * h) - at(-2 * h)) / (4 * h), narrow = (at(h) - at(-h)) / (2 * h);
  return (4 * narrow - wide) / 3;
}

Tensor<double> row(const Tensor<double>& x, std::int64_t i) { return x[i]; }
Doubles rows(const Doubles& x, std::int64_t i) {
  Doubles r;
  for (const auto& t : x) r.push_back(row(t, i));
  return r;
}

}  // namespace

void check_values(const Case& c) {
  if (!c.reference && !c.scalar) return;
  std::mt19937_64 g = generator(c);
  for (const auto& shapes : c.shapes) {
    const Doubles x = sample_inputs(c, shapes, g);
    CAPTURE(describe(x));
    if (c.f64) {
      const Reference r = reference_of(c, x);
      const Tensor<double> y = c.f64(x);
      REQUIRE(y.shape() == r.shape);
      const auto v = y.to_vector();
      for (std::size_t i = 0; i < v.size(); ++i) {
        CAPTURE(i);
        CHECK_MESSAGE(close(v[i], r, i, c.tolerance64), v[i], " against ", r.values[i]);
      }
    }
    if (c.f32 && c.same_in_float) {
      const Floats f = to_floats(x);
      const Reference r = reference_of(c, to_doubles(f));
      const Tensor<float> y = c.f32(f);
      REQUIRE(y.shape() == r.shape);
      const auto v = y.to_vector();
      for (std::size_t i = 0; i < v.size(); ++i) {
        CAPTURE(i);
        CHECK_MESSAGE(close(v[i], r, i, c.tolerance), v[i], " against ", r.values[i], " (float)");
      }
    }
  }
}

void check_layouts(const Case& c) {
  if (!c.f64) return;
  std::mt19937_64 g = generator(c, 1);
  for (const auto& shapes : c.shapes) {
    const Doubles x = sample_inputs(c, shapes, g);
    const Tensor<double> want = c.f64(x);
    for (int layout = 0; layout < 4; ++layout) {
      Doubles moved;
      for (const auto& t : x) {
        const int rank = t.rank();
        ergo::detail::Ref<ergo::detail::Array> a = t.ref();
        if (layout == 0 && rank >= 2) {  // the last two axes exchanged in memory
          std::int8_t order[kMaxRank];
          for (int d = 0; d < rank; ++d) order[d] = std::int8_t(d);
          std::swap(order[rank - 1], order[rank - 2]);
          a = ergo::detail::permute(ergo::detail::contiguous(*ergo::detail::permute(a, order)), order);
        } else if (layout == 1 && rank >= 1) {  // every second element backwards of a longer axis
          Shape twice = t.shape();
          twice[-1] = 2 * twice[-1] + 1;
          const auto wide = sample(twice, {-9, 9}, g);
          const std::int64_t n = t.shape()[-1];
          a = ergo::detail::SliceOp(1, 2 * n - 1 > 0 ? 2 * n - 1 : 0, n, -2, false).view(wide.array());
          ergo::detail::copy_strided(*a, t.array());
        } else if (layout == 2 && rank >= 1) {  // one value for a whole axis
          if (t.shape()[0] != 1) continue;
          const auto first = t[0];
          a = ergo::detail::broadcast_to(first.ref(), t.shape());
        } else if (layout == 3) {  // behind other elements of a larger buffer
          const std::int64_t n = t.numel();
          const auto wide = sample({n + 3}, {-9, 9}, g);
          a = ergo::detail::SliceOp(1, 3, n, 1, false).view(wide.array());
          a = ergo::detail::reshape(a, t.shape());
          ergo::detail::copy_strided(*a, t.array());
        }
        moved.push_back(Tensor<double>(a));
      }
      if (moved.size() != x.size()) continue;
      CAPTURE(layout);
      CAPTURE(describe(x));
      CHECK(worst(c.f64(moved), want) <= 1e-15 * (c.pointwise ? 0 : 100));
    }
  }
}

void check_derivatives(const Case& c) {
  if (!c.f64) return;
  std::mt19937_64 g = generator(c, 2);
  const Doubles x = sample_inputs(c, c.shapes.front(), g), u = directions_like(x, g), v = directions_like(x, g),
                w = directions_like(x, g);
  const Function f = c.f64;
  const Weighted s = weighted(f, x, g);
  const auto value = [&](const Doubles& p) { return item(s(p)); };

  const Doubles gradient = grad(s)(x);
  if (c.order == 0) {
    CHECK(tree::norm(gradient).item() == 0);
    CHECK(item(jvp(s)(x, u).second) == 0);
    return;
  }
  const double reverse = inner(gradient, u), forward = item(jvp(s)(x, u).second);
  CHECK_MESSAGE(close(forward, reverse, 1e-11), "jvp ", forward, " and grad ", reverse);
  CHECK_MESSAGE(close(reverse, richardson(value, x, u), 1e-7), "grad ", reverse, " and differences ",
                richardson(value, x, u));
  {  // <weights, J u> = <J' weights, u>
    const auto pulled = ergo::vjp(f, x);
    CHECK(close(inner(pulled.second(s.weights), u), tree::dot(s.weights, jvp(f)(x, u).second).item(), 1e-12));
  }
  if (c.order < 2) return;

  const auto slope = [&](const Doubles& p) { return tree::dot(grad(s)(p), u); };  // u . grad
  const auto pushed = [&](const Doubles& p) { return jvp(s)(p, u).second; };      // the same, forward
  const double second = inner(hvp(s)(x, v), u);
  CHECK_MESSAGE(close(item(jvp(slope)(x, v).second), second, 1e-11), "jvp(grad)");
  CHECK_MESSAGE(close(inner(grad(slope)(x), v), second, 1e-10), "grad(grad) ", inner(grad(slope)(x), v), " and ",
                second);
  CHECK_MESSAGE(close(inner(grad(pushed)(x), v), second, 1e-10), "grad(jvp)");
  CHECK_MESSAGE(close(item(jvp(pushed)(x, v).second), second, 1e-10), "jvp(jvp)");
  const double differences = richardson([&](const Doubles& p) { return inner(grad(s)(p), u); }, x, v);
  CHECK_MESSAGE(close(second, differences, 1e-7), "second order ", second, " and differences ", differences);
  if (c.order < 3) return;

  const auto curvature = [&](const Doubles& p) { return tree::dot(grad(slope)(p), v); };
  const double third = inner(grad(curvature)(x), w);
  const auto pushed_twice = [&](const Doubles& p) { return jvp(slope)(p, v).second; };
  CHECK_MESSAGE(close(item(jvp(pushed_twice)(x, w).second), third, 1e-9), "jvp(jvp(grad)) and grad(grad(grad))");
  const double differences3 = richardson([&](const Doubles& p) { return inner(hvp(s)(p, v), u); }, x, w);
  CHECK_MESSAGE(close(third, differences3, 1e-6), "third order ", third, " and differences ", differences3);
}

void check_vmap(const Case& c) {
  if (!c.f64 || !c.vmaps) return;
  std::mt19937_64 g = generator(c, 3);
  const auto& shapes = c.shapes.front();
  const auto batch_of = [&](std::int64_t n) {
    Doubles x;
    for (std::size_t i = 0; i < shapes.size(); ++i) x.push_back(sample(Shape{n} + shapes[i], range_of(c, i), g));
    return x;
  };
  const Function f = c.f64;
  const Doubles x = batch_of(3), t = [&] {
    Doubles d;
    for (const auto& p : x) d.push_back(sample(p.shape(), {-1, 1}, g));
    return d;
  }();
  const Weighted s = weighted(f, rows(x, 0), g);
  const auto mapped_value = vmap(f)(x);
  const Doubles mapped_gradient = vmap(grad(s))(x);
  Doubles mapped_hvp;
  if (c.order >= 2) mapped_hvp = vmap([&](const Doubles& p, const Doubles& d) { return hvp(s)(p, d); })(x, t);
  for (std::int64_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(worst(row(mapped_value, i), f(rows(x, i))) <= 1e-12);
    CHECK(worst(rows(mapped_gradient, i), grad(s)(rows(x, i))) <= 1e-12);
    if (c.order >= 2) CHECK(worst(rows(mapped_hvp, i), hvp(s)(rows(x, i), rows(t, i))) <= 1e-11);
  }
  // One mapped input at a time, the others shared.
  for (std::size_t k = 0; k < shapes.size() && shapes.size() > 1; ++k) {
    const Doubles shared = rows(x, 1);
    const auto only = vmap([&](const Tensor<double>& one) {
      Doubles all = shared;
      all[k] = one;
      return f(all);
    })(x[k]);
    for (std::int64_t i = 0; i < 3; ++i) {
      Doubles all = shared;
      all[k] = row(x[k], i);
      CAPTURE(k);
      CHECK(worst(row(only, i), f(all)) <= 1e-12);
    }
  }
  // As many kernels for a batch of 2 as for one of 7.
  const auto kernels = [&](std::int64_t n) {
    const Doubles b = batch_of(n);
    const std::int64_t before = ergo::detail::kernels_run;
    vmap(grad(s))(b);
    return ergo::detail::kernels_run - before;
  };
  CHECK(kernels(2) == kernels(7));
}

void check_special_values(const Case& c) {
  if (!c.pointwise || !c.scalar) return;
  const double inf = INFINITY, nan = NAN;
  const std::size_t arity = c.shapes.front().size();
  const std::vector<double> corners = {0.0,     -0.0,   1,     -1,     inf, -inf, nan, 5e-324,
                                       -5e-324, 1e-310, 1e300, -1e300, 0.5, 2,    3,   -2};
  const std::vector<double> float_corners = {0.0,    -0.0,  1,    -1,    inf, -inf, nan, 1e-45,
                                             -1e-45, 1e-39, 1e38, -1e38, 0.5, 2,    3,   -2};
  const auto same = [](double a, double b, double tolerance) {
    if (std::isnan(b)) return std::isnan(a);
    if (b == 0) return a == 0 && std::signbit(a) == std::signbit(b);
    return a == b || std::abs(a - b) <= tolerance * std::abs(b);
  };
  // Every tuple of corners, in tensors whose length leaves a tail.
  const std::size_t n = corners.size();
  std::size_t tuples = 1;
  for (std::size_t k = 0; k < arity; ++k) tuples *= n;
  std::vector<std::vector<double>> at(arity), at32(arity);
  for (std::size_t i = 0; i < tuples; ++i) {
    std::size_t rest = i;
    for (std::size_t k = 0; k < arity; ++k, rest /= n) {
      at[k].push_back(corners[rest % n]);
      at32[k].push_back(float_corners[rest % n]);
    }
  }
  for (std::size_t length : {tuples, tuples - 3}) {
    Doubles x;
    Floats y;
    for (std::size_t k = 0; k < arity; ++k) {
      const std::size_t skip = tuples - length;
      std::vector<double> v(at[k].begin() + std::ptrdiff_t(skip), at[k].end());
      std::vector<float> w(at32[k].begin() + std::ptrdiff_t(skip), at32[k].end());
      x.push_back(from_span<double>(v, {v.size()}));
      y.push_back(from_span<float>(w, {w.size()}));
    }
    if (c.f64) {
      const auto got = c.f64(x).to_vector();
      for (std::size_t i = 0; i < got.size(); ++i) {
        double in[8] = {};
        for (std::size_t k = 0; k < arity; ++k) in[k] = x[k].to_vector()[i];
        CHECK_MESSAGE(same(got[i], c.scalar(in), 1e-14), c.name, " of ", in[0], ", ", in[1], ", ", in[2], " is ",
                      got[i], " and not ", c.scalar(in));
      }
    }
    if (c.f32) {
      const auto got = c.f32(y).to_vector();
      for (std::size_t i = 0; i < got.size(); ++i) {
        double in[8] = {};
        for (std::size_t k = 0; k < arity; ++k) in[k] = double(y[k].to_vector()[i]);
        const double want = double(float(c.scalar(in)));
        const bool tiny = std::abs(want) < 1.2e-38 && std::abs(double(got[i]) - want) <= 3e-45;  // 2 ulp of a denormal
        CHECK_MESSAGE((tiny || same(double(got[i]), want, 1e-6)), c.name, " (float) of ", in[0], ", ", in[1], ", ",
                      in[2], " is ", got[i], " and not ", want);
      }
    }
  }
}

void check_threads(const Case& c) {
  if (c.large.empty()) {
    CHECK_MESSAGE(!c.serial.empty(), "no inputs over the parallel threshold");
    return;
  }
  std::mt19937_64 g = generator(c, 4);
  const Floats x = to_floats(sample_inputs(c, c.large, g));
  const int before = num_threads();

  const auto run = [&] {
    const auto r = value_and_grad([&](const Floats& p) {
      const Tensor<float> y = c.f32(p);
      return std::pair{tree::dot(y, y), y};
    })(x);
    std::vector<std::vector<float>> bits{r.first.second.to_vector()};
    for (const auto& t : r.second) bits.push_back(t.to_vector());
    return bits;
  };
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  set_num_threads(1);
  const auto want = run();
  for (int threads : detail::kSanitized ? std::vector<int>{3} : std::vector<int>{2, 3, 5, 8}) {
    set_num_threads(threads);
    const auto got = run();
    CAPTURE(threads);
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(same(got[i], want[i]));
  }

  // The operation alone, and its rule alone, hand a loop to several threads.
  set_num_threads(8);
  const auto bare = c.bare ? c.bare : c.f32;
  CHECK_MESSAGE((goes_parallel([&] { bare(x); }) == c.serial.empty()),
                (c.serial.empty() ? "ran on one thread: too small" : "ran in parallel, but: " + c.serial));
  if (c.order > 0) {
    const auto pulled = ergo::vjp(bare, x);
    const Tensor<float> cotangent = cast<float>(sample(pulled.first.shape(), {-1, 1}, g));
    CHECK_MESSAGE((goes_parallel([&] { pulled.second(cotangent); }) == c.serial_gradient.empty()),
                  (c.serial_gradient.empty() ? "the gradient ran on one thread: too small"
                                             : "the gradient ran in parallel, but: " + c.serial_gradient));
  }
  // A second thread truly takes part: the others' shares are not all taken back by the caller.
  if (c.serial.empty()) {
    const std::int64_t runs = parallel_runs();
    for (int tries = 0; parallel_runs() == runs && tries < 10000; ++tries) bare(x);
    CHECK_MESSAGE(parallel_runs() > runs, "no second thread took part");
  }
  set_num_threads(before);
}

Cost measure(const Case& c, int repeats) {
  if (!c.f32) return {0, 0, 0};
  std::mt19937_64 g = generator(c, 5);
  const Floats x = to_floats(sample_inputs(c, c.large.empty() ? c.shapes.front() : c.large, g));
  const auto bare = c.bare ? c.bare : c.f32;
  const auto seconds = [&](const auto& run) {
    double least = HUGE_VAL;
    for (int i = 0; i < repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run();
      least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return least;
  };
  Cost cost{0, seconds([&] { bare(x); }), 0};
  for (const auto& t : x) cost.elements += t.numel();
  if (c.order > 0) {
    const auto pulled = ergo::vjp(bare, x);
    const Tensor<float> cotangent = cast<float>(sample(pulled.first.shape(), {-1, 1}, g));
    cost.gradient = seconds([&] { pulled.second(cotangent); });
  }
  return cost;
}

void for_each_case(const std::vector<Case>& rows, void (*check)(const Case&)) {
  for (const Case& c : rows) {
    CAPTURE(c.name);
    try {
      check(c);
    } catch (const ergo::Error& e) { FAIL_CHECK("row \"" << c.name << "\": " << std::string(e.what())); }
  }
}

}  // namespace cases

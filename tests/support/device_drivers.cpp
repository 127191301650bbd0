#include "support/device_drivers.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/cuda/backend.hpp"
#include "support/case_inputs.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cases {
namespace {

using namespace ergo;

constexpr Device kDevice = Device::cuda(0);

template <class T>
std::vector<Tensor<T>> on_device(const std::vector<Tensor<T>>& x) {
  std::vector<Tensor<T>> r;
  for (const auto& t : x) r.push_back(t.to(kDevice));
  return r;
}

// The largest |a - b| / (1 + |b|), or over the size that the row's reference says errors are relative to.
template <class T>
double worst(const Tensor<T>& a, const Tensor<T>& b, const std::vector<double>& sizes = {}) {
  REQUIRE(a.shape() == b.shape());
  const auto p = a.to_vector(), q = b.to_vector();
  double w = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto x = double(p[i]), y = double(q[i]);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double e = std::abs(x - y) / (sizes.empty() ? 1 + std::abs(y) : sizes[i]);
    w = std::isnan(e) ? 1e300 : std::max(w, e);
  }
  return w;
}

template <class T>
void check_values(const Case& c, Tensor<T> (*f)(const std::vector<Tensor<T>>&), const std::vector<Tensor<T>>& x,
                  const std::vector<double>& sizes, double tolerance) {
  const Tensor<T> want = f(x);
  const auto there = on_device(x);
  const DeviceScope scope(kDevice);
#if defined(ERGO_EMULATED)
  simt::reset_counters();
#endif
  const Tensor<T> got = f(there);
#if defined(ERGO_EMULATED)
  const simt::Counters used = simt::counters();
  if (c.vmaps) {
    CHECK(used.copies_to_host == 0);
    CHECK(used.host_waits == 0);
  } else {  // its shape depends on the data: at most one count an operation, of which a row has two at most
    CHECK(used.copies_to_host <= 2);
    CHECK(used.host_waits == used.copies_to_host);
  }
#endif
  CHECK(got.device() == kDevice);
  const double off = worst(got, want, sizes);
  CHECK_MESSAGE(off <= tolerance, c.name, " is off by ", off, " in ", sizeof(T), " bytes");
}

}  // namespace

void check_device_values(const Case& c) {
  std::mt19937_64 g = generator(c, 11);
  for (const auto& shapes : c.shapes) {
    const Doubles x = sample_inputs(c, shapes, g);
    const std::vector<double> sizes = c.reference ? c.reference(x).sizes : std::vector<double>();
    if (c.f64) check_values(c, c.f64, x, sizes, 2 * c.tolerance64);
    if (c.f32) check_values(c, c.f32, to_floats(x), sizes, 2 * c.tolerance);
  }
}

void check_device_derivatives(const Case& c) {
  if (!c.f64 || c.order == 0) return;
  std::mt19937_64 g = generator(c, 12);
  bool first = true;
  for (const auto& shapes : c.shapes) {
    const Doubles x = sample_inputs(c, shapes, g), there = on_device(x);
    const Tensor<double> weights = sample(c.f64(x).shape(), {-1, 1}, g), weights_there = weights.to(kDevice);
    const auto dot_with = [&](const Tensor<double>& w) {
      return [&c, w](const Doubles& p) { return tree::dot(c.f64(p), w); };
    };
    const Doubles d = directions_like(x, g);
    const Doubles gradient = grad(dot_with(weights))(x);
    const Doubles curvature = first && c.order >= 2 ? hvp(dot_with(weights))(x, d) : Doubles();
    const DeviceScope scope(kDevice);
    const Doubles got = grad(dot_with(weights_there))(there);
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].device() == kDevice);
      CHECK_MESSAGE(worst(got[i], gradient[i]) <= 1e-11, c.name, ": gradient ", i);
    }
    if (first && c.order >= 2) {
      const Doubles second = hvp(dot_with(weights_there))(there, on_device(d));
      for (std::size_t i = 0; i < second.size(); ++i)
        CHECK_MESSAGE(worst(second[i], curvature[i]) <= 1e-10, c.name, ": second order ", i);
    }
    first = false;
  }
}

}  // namespace cases

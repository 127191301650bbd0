// label: simt
// Rotary positions against sines in long double: both pairings, channels that pass, strides, more than one block, back.
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/rotary.cuh"
#include "support/device_array.hpp"

namespace kernels_rotary_test {

using namespace ergo::cuda;
using test::DeviceArray;

template <class T, class I>
void check_rotary(std::int64_t l, std::int64_t t, std::int64_t h, std::int64_t d, std::int64_t dims, bool interleaved,
                  bool inverse, bool strided) {
  CAPTURE(t);
  CAPTURE(d);
  CAPTURE(dims);
  CAPTURE(interleaved);
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(-2, 2);
  std::vector<T> x(std::size_t(l * t * h * d), T(0));
  std::vector<I> places;
  for (T& v : x) v = T(float(uniform(random)));
  for (std::int64_t i = 0; i < t; ++i) places.push_back(I(int(random() % 50) - 9));
  const DeviceArray<T> from(x), to(x.size());
  const DeviceArray<I> at(places);
  RotaryCall<T, I> call{row_major<const T>(from.data(), {l, t, h, d}),
                        row_major<const I>(at.data(), {l, t}),
                        row_major(to.data(), {l, t, h, d}),
                        dims,
                        std::log2(500.0),
                        interleaved,
                        inverse};
  call.positions.stride[0] = 0;
  if (strided) {  // heads before times
    call.x.stride[1] = d;
    call.x.stride[2] = t * d;
  }
  launch_rotary(current_stream(ergo::Device::cuda()), call);
  const auto y = to.host();
  const double room = sizeof(T) == 8 ? 2e-14 : sizeof(T) == 4 ? 1e-6 : std::is_same_v<T, ergo::half> ? 2e-3 : 1.6e-2;
  std::size_t wrong = 0;
  for (std::int64_t a = 0; a < l; ++a)
    for (std::int64_t b = 0; b < t; ++b)
      for (std::int64_t c = 0; c < h; ++c)
        for (std::int64_t i = 0; i < d; ++i) {
          const auto read = [&](std::int64_t e) {
            return (long double)(ergo::Compute<T>(
                x[std::size_t(strided ? ((a * h + c) * t + b) * d + e : ((a * t + b) * h + c) * d + e)]));
          };
          long double expected = read(i);
          if (i < dims) {
            const std::int64_t half = dims / 2, pair = interleaved ? i / 2 : i % half;
            const bool second = interleaved ? i % 2 == 1 : i >= half;
            const std::int64_t other = interleaved ? i ^ 1 : second ? i - half : i + half;
            const long double angle = (inverse ? -1 : 1) * (long double)(places[std::size_t(b)]) *
                                      std::pow(500.0L, -2 * (long double)(pair) / (long double)(dims));
            expected = read(i) * std::cos(angle) + (second ? 1 : -1) * read(other) * std::sin(angle);
          }
          const double got = double(ergo::Compute<T>(y[std::size_t(((a * t + b) * h + c) * d + i)]));
          wrong += !(std::abs(got - double(expected)) <= room);
        }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("turns", T, float, double, ergo::half, ergo::bfloat16) {
  for (bool interleaved : {false, true}) {
    check_rotary<T, std::int64_t>(2, 3, 2, 4, 4, interleaved, false, false);
    check_rotary<T, std::int32_t>(1, 17, 3, 36, 36, interleaved, true, true);
    check_rotary<T, std::int32_t>(1, 9, 2, 70, 10, interleaved, false, true);
    check_rotary<T, std::int64_t>(2, 5, 1, 3, 0, interleaved, false, false);
    check_rotary<T, std::int64_t>(1, 0, 2, 4, 4, interleaved, false, false);
    check_rotary<T, std::int64_t>(1, 3, 0, 4, 4, interleaved, false, false);
  }
}

}  // namespace kernels_rotary_test

// The example deep_linear on a device beside the CPU: the same program, its draws, its output and its metrics.
// label: simt, examples
// device: emulated
// unit: own
#include <doctest/doctest.h>

#define main deep_linear_main
#include "examples/deep_linear.cpp"
#undef main

#include "ergo/core/compare.hpp"
#include "ergo/cuda/graph.hpp"
#include "support/example_runs.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

namespace cuda_deep_linear_test {

namespace {
template <class F>
auto on(Device d, const F& f) {
  const DeviceScope scope(d);
  return f();
}
}  // namespace

TEST_CASE("what it draws is the same on both devices") {
  const auto start = [] { return nn::init::orthogonal<double>(fold_in(Key{1}, 1), {16, 8}); };
  const auto there = on(Device::cuda(), start);
  CHECK(there.device() == Device::cuda());
  CHECK(max(abs(there.cpu() - start())).item() < 1e-13);
}

TEST_CASE("decompositions are made on the CPU, wherever the matrix lies, and come back to it") {
  const auto same = [](const auto& x) {
    const auto there = x.to(Device::cuda());
    const auto [q, r] = linalg::qr(there);
    CHECK(q.device() == Device::cuda());
    CHECK(array_equal(q.cpu(), linalg::qr(x).q));
    CHECK(array_equal(r.cpu(), linalg::qr(x).r));
    CHECK(array_equal(linalg::svdvals(there).cpu(), linalg::svdvals(x)));
    const auto [u, s, vt] = linalg::svd(transpose(there));
    CHECK(array_equal(u.cpu(), linalg::svd(transpose(x)).u));
    CHECK(s.device() == Device::cuda());
  };
  same(normal<double>(Key{test_seed()}, {2, 5, 3}));
  same(normal<float>(Key{test_seed()}, {4, 4}));
  CHECK(message_of([] {
          cuda::capture([] { return linalg::qr(ones<float>({2, 2}, Device::cuda())).q; });
        }).starts_with("[qr] inside cuda::capture the host reads nothing"));
}

TEST_CASE("it runs and says the same, but for rounding") {
  const ExampleRun here = run_example(&deep_linear_main, "cpu", {"--smoke"}),
                   there = run_example(&deep_linear_main, "cuda", {"--smoke"});
  check_alike(here, there);
  CHECK(there.numbers("step") == here.numbers("step"));
  CHECK(there.numbers("mode") == here.numbers("mode"));
  check_close(here, there, "theory", 1e-12, 1e-12);
  check_close(here, there, "strength", 1e-12, 1e-9);
}

}  // namespace cuda_deep_linear_test

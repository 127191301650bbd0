// label: simt
// Indexing and sorting on an emulated device: bits, gradients, bad indices, launches.
#include "ergo/ops/indexing.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ergo/autograd/transforms.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/sorting.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_indexing_test {

using namespace ergo;

namespace {
}
TEST_CASE("x") {
  const Tensor<float> x = reshape(arange<float>(12), {4,3});
  const auto i = ergo::tensor<std::int32_t>({1,3,3});
  const auto d = Device::cuda();
  CHECK(array_equal(take(x.to(d), i.to(d)).cpu(), take(x, i)));
}
}

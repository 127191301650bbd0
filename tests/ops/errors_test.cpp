// Golden texts: conv2d, max_pool2d, einsum, losses of pairs, samples and products; outside and inside transforms.
// again: cuda
#include <doctest/doctest.h>

#include <limits>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/descriptive.hpp"
#include "ergo/ops/einsum.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/pointwise_loss.hpp"
#include "ergo/ops/pooling.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/tensor_product.hpp"
#include "support/message.hpp"

namespace ops_errors_test {

using namespace ergo;
using X = Tensor<float>;

namespace {
const X image = ones<float>({2, 6, 5, 4}), weight = ones<float>({3, 3, 4, 8});
}  // namespace

TEST_CASE("conv2d") {
  const std::string both = "[conv2d] (2, 6, 5, 4) x (3, 3, 4, 8): ";
  CHECK(
      message_of([] {
        conv2d(ones<float>({8, 32, 32, 3}), ones<float>({3, 3, 4, 16}));
      }) ==
      "[conv2d] (8, 32, 32, 3) x (3, 3, 4, 16): channels 3 and 4 differ (weights are (KH, KW, C_in / groups, C_out))");
  CHECK(message_of([] {
          conv2d(ones<float>({6, 5}), weight);
        }) ==
        "[conv2d] (6, 5) x (3, 3, 4, 8): an image (N, H, W, C_in) or (H, W, C_in) and weights (KH, KW, C_in / groups, "
        "C_out) are\n  expected");
  CHECK(message_of([] {
          conv2d(image, ones<float>({4, 8}));
        }) ==
        "[conv2d] (2, 6, 5, 4) x (4, 8): an image (N, H, W, C_in) or (H, W, C_in) and weights (KH, KW, C_in / groups, "
        "C_out) are\n  expected");
  CHECK(message_of([] { conv2d(image, weight, {.groups = 0}); }) == both + "groups is 0, at least 1 is expected");
  CHECK(message_of([] { conv2d(image, weight, {.groups = 2}); }) ==
        both + "channels 4 and 8 differ (weights are (KH, KW, C_in / groups, C_out))");
  CHECK(message_of([] {
          conv2d(image, ones<float>({3, 3, 2, 7}), {.groups = 2});
        }) == "[conv2d] (2, 6, 5, 4) x (3, 3, 2, 7): the 7 output channels do not divide into 2 groups");
  CHECK(message_of([] {
          conv2d(image, ones<float>({0, 3, 4, 8}));
        }) == "[conv2d] (2, 6, 5, 4) x (0, 3, 4, 8): an empty kernel");
  CHECK(message_of([] { conv2d(image, weight, {.stride = 0}); }) ==
        both + "stride and dilation are at least 1 and at most 2^28");
  CHECK(message_of([] {
          conv2d(image, weight, {.dilation = {1, -1}});
        }) == both + "stride and dilation are at least 1 and at most 2^28");
  CHECK(message_of([] { conv2d(image, weight, {.padding = -1}); }) == both + "padding is negative, or over 2^28");
  CHECK(message_of([] { conv2d(image, weight, {.dilation = 3}); }) ==
        both + "a kernel of 7 by 7 is larger than the padded image of 6 by 5");
  CHECK(message_of([] {
          conv2d(image, weight, {.padding = {1, 0}, .dilation = {3, 3}});
        }) == both + "a kernel of 7 by 7 is larger than the padded image of 8 by 5");
}

TEST_CASE("max_pool2d") {
  const std::string x = "[max_pool2d] (2, 6, 5, 4): ";
  CHECK(message_of([] {
          max_pool2d(ones<float>({6, 5}), 2);
        }) == "[max_pool2d] (6, 5): an image (N, H, W, C) or (H, W, C) is expected");
  CHECK(message_of([] { max_pool2d(image, 0); }) == x + "kernel and stride are at least 1 and at most 2^28");
  CHECK(message_of([] {
          max_pool2d(image, 2, {.stride = {1, -1}});
        }) == x + "kernel and stride are at least 1 and at most 2^28");
  CHECK(message_of([] { max_pool2d(image, 2, {.padding = 2}); }) == x + "padding is at most half the kernel of 2");
  CHECK(message_of([] { max_pool2d(image, 2, {.padding = -1}); }) == x + "padding is at most half the kernel of 2");
  CHECK(message_of([] {
          max_pool2d(ones<float>({1, 0, 0, 2}), 2, {.padding = 1});
        }) == "[max_pool2d] (1, 0, 0, 2): the image's plane is empty");
  CHECK(message_of([] { max_pool2d(image, {2, 6}); }) == x + "a kernel of 6 is larger than the padded axis of 5");
}

TEST_CASE("einsum") {
  const X a = ones<float>({2, 3}), b = ones<float>({4, 5});
  CHECK(message_of([&] { einsum("ij,jk->ik", a, b); }) ==
        "[einsum] (2, 3) x (4, 5): \"ij,jk->ik\": axis j has extents 3 and 4");
  CHECK(message_of([&] { einsum("ij->i", a, b); }) == "[einsum] (2, 3) x (4, 5): \"ij->i\": 1 terms for 2 operands");
  CHECK(message_of([&] { einsum("ijk->i", a); }) ==
        "[einsum] (2, 3): \"ijk->i\": term ijk names 3 axes of an operand of rank 2");
  CHECK(message_of([&] { einsum("ij->ik", a); }) ==
        "[einsum] (2, 3): \"ij->ik\": the result's axis k is in no operand");
  CHECK(message_of([&] { einsum("ij->ii", a); }) == "[einsum] (2, 3): \"ij->ii\": the result names axis i twice");
  CHECK(message_of([&] { einsum("i1->i", a); }) == "[einsum] (2, 3): \"i1->i\": '1' is no letter");
  CHECK(message_of([&] { einsum("...ijk->i", a); }) ==
        "[einsum] (2, 3): \"...ijk->i\": term ...ijk names more axes than its operand of rank 2 has");
  CHECK(message_of([&] {
          einsum("...i,...i->...", a, ones<float>({4, 3}));
        }) == "[einsum] (2, 3) x (4, 3): \"...i,...i->...\": an axis of ... has extents 2 and 4");
  CHECK(message_of([&] { einsum("ii", a); }) == "[einsum] (2, 3): axis i has extents 2 and 3");
}

TEST_CASE("absurd sizes are Errors, not crashes") {
  const std::string both = "[conv2d] (2, 6, 5, 4) x (3, 3, 4, 8): ";
  const std::int64_t huge = std::int64_t(1) << 58, most = std::numeric_limits<std::int64_t>::max();
  CHECK(message_of([&] { conv2d(image, weight, {.stride = huge, .padding = huge}); }) ==
        both + "stride and dilation are at least 1 and at most 2^28");
  CHECK(message_of([&] { conv2d(image, weight, {.padding = most}); }) == both + "padding is negative, or over 2^28");
  CHECK(message_of([&] { conv2d(image, weight, {.dilation = most}); }) ==
        both + "stride and dilation are at least 1 and at most 2^28");
  CHECK(message_of([&] { max_pool2d(image, std::int64_t(1) << 32, {.padding = std::int64_t(1) << 31}); }) ==
        "[max_pool2d] (2, 6, 5, 4): kernel and stride are at least 1 and at most 2^28");
  CHECK(message_of([&] { split(zeros<float>({0}), std::int64_t(1) << 60); }) ==
        "[split] (0,): 1152921504606846976 tensors: at most 2^24 are made");
  CHECK(message_of([&] { unstack(broadcast_to(X(1.0f), {std::int64_t(1) << 45})); }) ==
        "[unstack] (35184372088832,): 35184372088832 tensors: at most 2^24 are made");
}

TEST_CASE("the same inside transforms, and everything works afterwards") {
  const std::string text =
      "[conv2d] (2, 6, 5, 4) x (3, 3, 3, 8): channels 4 and 3 differ (weights are (KH, KW, C_in / groups, C_out))";
  const auto f = [](const X& w) { return sum(conv2d(image, w)); };
  const X narrow = ones<float>({3, 3, 3, 8});
  CHECK(message_of([&] { grad(f)(narrow); }) == text);
  CHECK(message_of([&] { jvp(f)(narrow, narrow); }) == text);
  CHECK(message_of([&] { hvp(f)(narrow, narrow); }) == text);
  CHECK(message_of([&] { vmap(f)(ones<float>({5, 3, 3, 3, 8})); }) == text);
  CHECK(detail::levels.depth == 0);
  CHECK(f(weight).item() == doctest::Approx(2 * 4 * 3 * 9 * 4 * 8));
  CHECK(grad(f)(weight).to_vector() == std::vector<float>(std::size_t(weight.numel()), 24));
}

TEST_CASE("losses of pairs") {
  const X a = ones<float>({2, 3}), b = ones<float>({3});
  const std::string pair = "(2, 3) x (3,): shapes differ; losses do not broadcast: reshape one of them";
  CHECK(message_of([&] { mae(a, b); }) == "[mae] " + pair);
  CHECK(message_of([&] { huber(a, b); }) == "[huber] " + pair);
  CHECK(message_of([&] { huber(a, a, {.delta = 0}); }) == "[huber] .delta = 0: it must be positive");
  CHECK(message_of([&] { huber(a, a, {.delta = std::numeric_limits<double>::quiet_NaN()}); }) ==
        "[huber] .delta = nan: it must be positive");
  CHECK(message_of([&] { binary_cross_entropy(a, b); }) == "[binary_cross_entropy] " + pair);
  CHECK(message_of([&] { binary_cross_entropy(a, a, {.positive_weight = ones<float>({2})}); }) ==
        "[binary_cross_entropy] (2, 3): .positive_weight (2,) does not broadcast to it");
  CHECK(message_of([&] { kl_divergence(a, b); }) == "[kl_divergence] " + pair);
  CHECK(message_of([] { kl_divergence(X(1), X(2)); }) == "[kl_divergence] (): logits need an axis of classes");
}

TEST_CASE("samples and products") {
  const X a = ones<float>({2, 3}), b = ones<float>({3}), five = ones<float>({1, 1, 1, 1, 2});
  CHECK(message_of([&] { stddev(a, 2); }) == "[stddev] (2, 3): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { log_mean_exp(a, -3); }) == "[log_mean_exp] (2, 3): axis -3 is out of range for rank 2");
  CHECK(message_of([&] { count_nonzero(a, {0, 0}); }) == "[count_nonzero] (2, 3): axis 0 is given twice");
  CHECK(message_of([&] { covariance(b); }) == "[covariance] (3,): observations (..., n, d) in rows are expected");
  CHECK(message_of([&] { correlation(b); }) == "[correlation] (3,): observations (..., n, d) in rows are expected");
  CHECK(message_of([&] { cosine_similarity(a, b); }) ==
        "[cosine_similarity] (2, 3) x (3,): shapes differ: broadcast_to one of them");
  CHECK(message_of([&] { cosine_similarity(a, a, 2); }) ==
        "[cosine_similarity] (2, 3): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { outer(a, b); }) == "[outer] (2, 3) x (3,): two vectors are expected: flatten them");
  CHECK(message_of([&] { tensordot(a, b); }) == "[tensordot] (2, 3) x (3,): there are not 2 axes to contract in both");
  CHECK(
      message_of([&] { tensordot(a, a, 1); }) ==
      "[tensordot] (2, 3) x (2, 3): the last 1 axes of the first and the first 1 of the second differ: (3,) and (2,)");
  CHECK(message_of([&] { kron(a, five); }) == "[kron] (2, 3) x (1, 1, 1, 1, 2): at most four axes are supported");
}

}  // namespace ops_errors_test

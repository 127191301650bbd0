// Golden texts of operations on tensors: operation, shapes, the numbers that disagree, a hint; lines of at most 120
// characters. Each mistake leaves the process and the tensors as they were.
// again: cuda
#include "ergo/core/error.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/slicing.hpp"
#include "support/message.hpp"

namespace core_errors_test {

using namespace ergo;

namespace {
const auto x34 = ones<float>({3, 4});
const auto x52 = ones<float>({5, 2});
const auto ids = tensor<std::int32_t>({0, 1, 7});
}  // namespace

TEST_CASE("long messages continue on further lines, at spaces") {
  using ergo::detail::in_lines;
  CHECK(in_lines("short") == "short");
  CHECK(in_lines(std::string(120, 'a')) == std::string(120, 'a'));
  CHECK(in_lines(std::string(300, 'a')) == std::string(300, 'a'));  // a path, say
  CHECK(in_lines(std::string(119, 'a') + " b c") == std::string(119, 'a') + "\n  b c");
  CHECK(in_lines(std::string(120, 'a') + " b c") == std::string(120, 'a') + "\n  b c");
  CHECK(in_lines(std::string(121, 'a') + " b c") == std::string(121, 'a') + "\n  b c");
  CHECK(in_lines("first\n" + std::string(119, 'a') + " b") == "first\n" + std::string(119, 'a') + "\n  b");
  std::string words;
  for (int i = 0; i < 200; ++i) words += "word ";
  const std::string lines = in_lines(words);
  std::size_t begin = 0;
  for (std::size_t end; (end = lines.find('\n', begin)) != std::string::npos; begin = end + 1) CHECK(end - begin <= 120);
  CHECK(lines.size() - begin <= 120);
  CHECK(std::string(Error("[op] " + words).what()).find('\n') <= 120);
}

TEST_CASE("pointwise operations") {
  CHECK(message_of([] { return x34 + x52; }) == "[add] (3, 4) x (5, 2): shapes do not broadcast");
  CHECK(message_of([] { return x34 - ones<float>({3}); }) == "[subtract] (3, 4) x (3,): shapes do not broadcast");
  CHECK(message_of([] { return x34 * ones<float>({0}); }) == "[multiply] (3, 4) x (0,): shapes do not broadcast");
  CHECK(message_of([] { return x34 / x52; }) == "[divide] (3, 4) x (5, 2): shapes do not broadcast");
  CHECK(message_of([] { return x34 == x52; }) == "[equal] (3, 4) x (5, 2): shapes do not broadcast");
  CHECK(message_of([] { return maximum(x34, x52); }) == "[maximum] (3, 4) x (5, 2): shapes do not broadcast");
  CHECK(message_of([] { return where(x34 > 0, x34, x52); }) == "[where] (3, 4) x (3, 4) x (5, 2): shapes do not broadcast");
  CHECK(message_of([] { return tensor<std::uint8_t>({1}) + 300; }) == "[add] the number 300 does not fit uint8");
  CHECK(message_of([] { return tensor<std::int32_t>({1}) * (std::int64_t(1) << 40); }) ==
        "[multiply] the number 1099511627776 does not fit int32");
  CHECK(message_of([] { return clip(x34, 2, 1); }) ==
        "[clip] bounds 2 and 1: the first must not exceed the second");
  CHECK(message_of([] { return clip(x34, x34, std::numeric_limits<double>::quiet_NaN()); }) ==
        "[clip] the upper bound is NaN");
}

TEST_CASE("matrix products") {
  CHECK(message_of([] { return matmul(x34, x52); }) == "[matmul] (3, 4) x (5, 2): inner sizes 4 and 5 differ");
  CHECK(message_of([] { return matmul(x34, ones<float>({3})); }) == "[matmul] (3, 4) x (3,): inner sizes 4 and 3 differ");
  CHECK(message_of([] { return matmul(x34, Tensor<float>(1)); }) ==
        "[matmul] (3, 4) x (): a tensor of rank 0 is no matrix; multiply with *");
  CHECK(message_of([] { return matmul(ones<float>({2, 3, 4}), ones<float>({5, 4, 2})); }) ==
        "[matmul] (2, 3, 4) x (5, 4, 2): leading axes do not broadcast");
  CHECK(message_of([] { return linear(x34, x52, ones<float>({2})); }) ==
        "[linear] (3, 4) x (5, 2) x (2,): inner sizes 4 and 5 differ");
  CHECK(message_of([] { return linear(x34, ones<float>({4, 2}), ones<float>({3})); }) ==
        "[linear] (3, 4) x (4, 2) x (3,): the bias has 3 entries, the weight 2 columns");
  CHECK(message_of([] { return linear(x34, ones<float>({4}), ones<float>({3})); }) ==
        "[linear] (3, 4) x (4,) x (3,): x (..., in), weight (in, out) and bias (out,) are expected");
  CHECK(message_of([] { return linear(x34, x52); }) == "[linear] (3, 4) x (5, 2): inner sizes 4 and 5 differ");
}

TEST_CASE("movement") {
  CHECK(message_of([] { return reshape(x34, {5, 2}); }) == "[reshape] (3, 4): 12 elements do not fill (5, 2) of 10");
  CHECK(message_of([] { return reshape(x34, {-2, -3}); }) ==
        "[reshape] (3, 4): (-2, -3) is no shape (one extent may be -1, the others count)");
  CHECK(message_of([] { return reshape(x34, {-1, -1}); }) ==
        "[reshape] (3, 4): (-1, -1) is no shape (one extent may be -1, the others count)");
  CHECK(message_of([] { return reshape(x34, {5, -1}); }) == "[reshape] (3, 4): 12 elements do not divide into (5, -1)");
  CHECK(message_of([] { return reshape(zeros<float>({0, 4}), {0, -1}); }) ==
        "[reshape] (0, 4): the -1 of (0, -1) cannot be inferred beside an extent of 0");
  CHECK(message_of([] { return permute(x34, {0, 0}); }) == "[permute] (3, 4): axis 0 is given twice");
  CHECK(message_of([] { return permute(x34, {1}); }) == "[permute] (3, 4): 1 axes given for rank 2 (all are needed)");
  CHECK(message_of([] { return transpose(x34, {0, 2}); }) == "[transpose] (3, 4): axis 2 is out of range for rank 2");
  CHECK(message_of([] { return swap_axes(x34, 0, -3); }) == "[swap_axes] (3, 4): axis -3 is out of range for rank 2");
  CHECK(message_of([] { return squeeze(x34, 0); }) == "[squeeze] (3, 4): axis 0 has extent 3, not 1");
  CHECK(message_of([] { return expand_dims(x34, {0, 0}); }) == "[expand_dims] (3, 4): axis 0 is given twice");
  CHECK(message_of([] { return broadcast_to(x34, {3, 5}); }) == "[broadcast_to] (3, 4): does not broadcast to (3, 5)");
  CHECK(message_of([] { return broadcast_to(x34, {4}); }) == "[broadcast_to] (3, 4): does not broadcast to (4,)");
  CHECK(message_of([] { return move_axis(x34, {0, 1}, {0}); }) == "[move_axis] (3, 4): 2 axes move to 1 places");
  CHECK(message_of([] { return slice(x34, 2, 0); }) == "[slice] (3, 4): axis 2 is out of range for rank 2");
  CHECK(message_of([] { return slice(x34, 0, 0, 3, 0); }) == "[slice] (3, 4): the step is 0");
  CHECK(message_of([] { return flip(x34, {0, -2}); }) == "[flip] (3, 4): axis 0 is given twice");
  CHECK(message_of([] { return concatenate({x34, x52}); }).starts_with("[concatenate] (3, 4) x (5, 2): "));
  CHECK(message_of([] { return stack({x34, x52}); }).starts_with("[stack] (3, 4) x (5, 2): "));
  CHECK(message_of([] { return split(x34, 5); }).starts_with("[split] (3, 4): "));
}

TEST_CASE("reductions") {
  CHECK(message_of([] { return sum(x34, 2); }) == "[sum] (3, 4): axis 2 is out of range for rank 2");
  CHECK(message_of([] { return sum(x34, {0, -2}); }) == "[sum] (3, 4): axis 0 is given twice");
  CHECK(message_of([] { return mean(x34, {-3}); }) == "[mean] (3, 4): axis -3 is out of range for rank 2");
  CHECK(message_of([] { return prod(x34, {0, 1, 2}); }) == "[prod] (3, 4): axis 2 is out of range for rank 2");
}

TEST_CASE("indices that lie outside are named with value, place and extent; nothing is read there") {
  const std::string embedding_text = message_of([] { return embedding(x52, ids); });
  CHECK(embedding_text == "[embedding] ids (3,), table (5, 2): id 7 at (2,) is not in [0, 5)");
  CHECK(message_of([] { return take(x34, ids, 1); }).find("7 at (2,) is not in [0, 4)") != std::string::npos);
  CHECK(message_of([] { return take(x34, tensor<std::int32_t>({-1})); }).find("-1 at (0,) is not in [0, 3)") !=
        std::string::npos);
}

TEST_CASE("after all of this everything works") {
  CHECK(x34.to_vector() == std::vector<float>(12, 1));
  CHECK(matmul(x34, ones<float>({4})).to_vector() == std::vector<float>{4, 4, 4});
  CHECK(sum(x52).item() == 10);
  CHECK(detail::levels.depth == 0);
}

}  // namespace core_errors_test

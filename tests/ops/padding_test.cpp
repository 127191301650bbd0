// pad.
#include "movement_support.hpp"

#include "ergo/ops/padding.hpp"

namespace ops_padding_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  const Shape s{3, 4};
  const auto inside = FROM(p[0] >= 1 && p[0] < 4 && p[1] >= 2 && p[1] < 6);
  check_moves(s, OP(pad(x, {{1, 2}, {2, 1}})), {6, 7}, FROM(inside(p) ? (p[0] - 1) * 4 + p[1] - 2 : kZero));
  check_moves(s, OP(pad(x, {{1, 2}, {0, 0}}, {.mode = Pad::edge})), {6, 4},
              FROM(std::min<std::int64_t>(std::max<std::int64_t>(p[0] - 1, 0), 2) * 4 + p[1]));
  // 0 1 2 3 reflected by three places: 3 2 1 | 0 1 2 3 | 2 1 0.
  const std::int64_t mirror[] = {3, 2, 1, 0, 1, 2, 3, 2, 1, 0};
  check_moves(s, OP(pad(x, {{0, 0}, {3, 3}}, {.mode = Pad::reflect})), {3, 10}, FROM(p[0] * 4 + mirror[p[1]]));
  check_moves(s, OP(pad(x, {{5, 1}, {1, 0}}, {.mode = Pad::wrap})), {9, 5}, FROM((p[0] + 1) % 3 * 4 + (p[1] + 3) % 4));
}

TEST_CASE("other constants, empty, nothing to do") {
  CHECK(array_equal(pad(tensor<float>({1, 2}), {{1, 2}}, {.value = -0.5f}), tensor<float>({-0.5, 1, 2, -0.5, -0.5})));
  CHECK(array_equal(pad(tensor<std::int32_t>({1}), {{1, 0}}, {.value = 7}), tensor<std::int32_t>({7, 1})));
  CHECK(pad(zeros<bool>({0}), {{1, 1}}, {.value = true}).to_vector() == std::vector<bool>{true, true});
  CHECK(float(pad(zeros<half>({1}), {{0, 1}}, {.value = 2.5}).at({1})) == 2.5f);
  CHECK(float(pad(zeros<bfloat16>({1}), {{0, 1}}, {.value = bfloat16(3.0f)}).at({1})) == 3.0f);
  const auto x = draw<float>({2, 3});
  CHECK(pad(x, {{0, 0}, {0, 0}}, {.mode = Pad::wrap}).array().data == x.array().data);
  CHECK(pad(zeros<float>({2, 0}), {{1, 0}, {0, 0}}, {.mode = Pad::reflect}).shape() == Shape{3, 0});
  CHECK(pad(Tensor<float>(1.0f), {}).item() == 1.0f);
  const int n = 2;
  CHECK(pad(x, {{n, std::size_t(1)}, {0, 0}}).shape() == Shape{5, 3});
}

TEST_CASE("transforms") {
  const Shape s{3, 4};
  check_transforms("constant 0", OP(pad(x, {{1, 2}, {0, 3}})), s);
  check_transforms("constant 2", OP(pad(x, {{1, 2}, {0, 3}}, {.value = 2})), s);
  check_transforms("reflect", OP(pad(x, {{2, 2}, {0, 3}}, {.mode = Pad::reflect})), s);
  check_transforms("edge", OP(pad(x, {{1, 0}, {2, 3}}, {.mode = Pad::edge})), s);
  check_transforms("wrap", OP(pad(x, {{4, 1}, {0, 3}}, {.mode = Pad::wrap})), s);
}

TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3});
  CHECK(ERROR_OF(pad(x, {{1, 1}})) == "[pad] (2, 3): 1 pairs of widths for rank 2");
  CHECK(ERROR_OF(pad(x, {{1, 1}, {0, -1}})) == "[pad] (2, 3): axis 1: widths must not be negative (slice takes away)");
  CHECK(ERROR_OF(pad(x, {{0, 0}, {1, 3}}, {.mode = Pad::reflect})) ==
        "[pad] (2, 3): axis 1 of extent 3 reflects at most 2 places, not 3");
  CHECK(ERROR_OF(pad(zeros<float>({0}), {{1, 0}}, {.mode = Pad::edge})) ==
        "[pad] (0,): axis 0 is empty: there is nothing to repeat");
  CHECK(ERROR_OF(pad(zeros<std::uint8_t>({1}), {{1, 0}}, {.value = 300})) == "[pad] the number 300 does not fit uint8");
}

}  // namespace ops_padding_test

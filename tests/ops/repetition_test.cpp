// tile repeat.
#include "movement_support.hpp"

#include "ergo/ops/repetition.hpp"

namespace ops_repetition_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  const Shape s{2, 3};
  check_moves(s, OP(tile(x, {2, 2})), {4, 6}, FROM(p[0] % 2 * 3 + p[1] % 3));
  check_moves(s, OP(tile(x, 3)), {2, 9}, FROM(p[0] * 3 + p[1] % 3));
  check_moves(s, OP(tile(x, {2, 1, 1, 2})), {2, 1, 2, 6}, FROM(p[2] * 3 + p[3] % 3));
  check_moves(s, OP(repeat(x, 2)), {2, 6}, FROM(p[0] * 3 + p[1] / 2));
  check_moves(s, OP(repeat(x, 3, 0)), {6, 3}, FROM(p[0] / 3 * 3 + p[1]));
  check_moves({2, 1, 1, 2, 1, 1, 1, 3}, OP(tile(repeat(x, 2, 3), {2, 1, 1, 1, 1, 1, 1, 1})), {4, 1, 1, 4, 1, 1, 1, 3},
              FROM((p[0] % 2 * 2 + p[3] / 2) * 3 + p[7]));
}

TEST_CASE("rank 0, none and once") {
  const auto x = draw<float>({2, 3});
  CHECK(tile(x, {1, 1}).array().data == x.array().data);
  CHECK(tile(x, {0, 2}).shape() == Shape{0, 6});
  CHECK(repeat(x, 0).shape() == Shape{2, 0});
  CHECK(repeat(zeros<float>({2, 0}), 4, 0).shape() == Shape{8, 0});
  CHECK(tile(Tensor<float>(2.0f), {2, 2}).to_vector() == std::vector<float>(4, 2.0f));
  CHECK(tile(x, {}).shape() == Shape{2, 3});
}

TEST_CASE("transforms") {
  const Shape s{2, 3, 2};
  check_transforms("tile", OP(tile(x, {3, 2, 1})), s);
  check_transforms("tile", OP(tile(x, {2, 1, 1, 3})), s);
  check_transforms("repeat", OP(repeat(x, 3, 1)), s);
  check_transforms("repeat", OP(repeat(x, 2)), s);
  check_transforms("repeat", OP(repeat(x, 40, 0)), {1, 9});
}

TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3});
  CHECK(ERROR_OF(tile(x, {2, -1})) == "[tile] (2, 3): cannot be repeated -1 times along axis 1");
  CHECK(ERROR_OF(repeat(x, -1)) == "[repeat] (2, 3): cannot be repeated -1 times along axis 1");
  CHECK(ERROR_OF(repeat(x, 1LL << 62, 0)) ==
        "[repeat] (2, 3): cannot be repeated 4611686018427387904 times along axis 0");
  CHECK(ERROR_OF(repeat(x, 2, 2)) == "[repeat] (2, 3): axis 2 is out of range for rank 2");
}

}  // namespace ops_repetition_test

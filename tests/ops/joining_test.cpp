// concatenate stack unstack split.
#include "movement_support.hpp"

#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"

namespace ops_joining_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  const Shape s{4, 3};
  check_moves(s, OP(concatenate({x, slice(x, 0, 0, 1), x})), {9, 3},
              FROM((p[0] < 4    ? p[0]
                    : p[0] == 4 ? 0
                                : p[0] - 5) *
                       3 +
                   p[1]));
  check_moves(s, OP(concatenate(std::vector{slice(x, 1, 2), x}, -1)), {4, 4}, FROM(p[0] * 3 + (p[1] + 2) % 3));
  check_moves(s, OP(stack({x, flip(x)})), {2, 4, 3}, FROM(p[1] * 3 + (p[0] ? 2 - p[2] : p[2])));
  check_moves(s, OP(stack({x, flip(x)}, -1)), {4, 3, 2}, FROM(p[0] * 3 + (p[2] ? 2 - p[1] : p[1])));
  check_moves(s, OP(stack(std::vector{x}, 1)), {4, 1, 3}, FROM(p[0] * 3 + p[2]));
  check_moves(s, OP(unstack(x, 1)[2]), {4}, FROM(p[0] * 3 + 2));
  check_moves(s, OP(split(x, 2)[1]), {2, 3}, FROM((p[0] + 2) * 3 + p[1]));
  check_moves(s, OP(split(x, {1, 2}, 1)[1]), {4, 2}, FROM(p[0] * 3 + p[1] + 1));
}

TEST_CASE("numbers of pieces, sizes, empty parts") {
  const auto x = draw<float>({6, 2});
  CHECK(split(x, 3).size() == 3);
  CHECK(split(x, std::size_t(6)).back().shape() == Shape{1, 2});
  CHECK(split(x, {6}).size() == 1);
  CHECK(split(x, {std::size_t(4), std::size_t(2)}).size() == 2);
  CHECK(split(x, std::vector<int>{1, 0, 5})[1].shape() == Shape{0, 2});
  CHECK(split(zeros<float>({0, 2}), 4).size() == 4);
  CHECK(split(x, 3)[1].array().buffer.get() == x.array().buffer.get());
  CHECK(unstack(zeros<float>({0, 2})).empty());
  CHECK(array_equal(stack(unstack(x, 1), 1), x));
  CHECK(array_equal(concatenate(split(x, {1, 0, 5})), x));
  CHECK(concatenate({zeros<float>({0, 2}), x}).shape() == Shape{6, 2});
  CHECK(concatenate({zeros<float>({3, 0}), zeros<float>({2, 0})}).shape() == Shape{5, 0});
  CHECK(stack({Tensor<float>(1.0f), Tensor<float>(2.0f)}).shape() == Shape{2});
  const std::vector<Tensor<float>> many(1000, x);
  CHECK(concatenate(many).shape() == Shape{6000, 2});
}

TEST_CASE("transforms") {
  const Shape s{3, 4};
  check_transforms("concatenate", OP(concatenate({x, 2.0 * slice(x, 0, 1), x})), s);
  check_transforms("concatenate", OP(concatenate({x, ones<double>({3, 2})}, 1)), s);
  check_transforms("stack", OP(stack({x, x, ones<double>({3, 4})}, 1)), s);
  check_transforms("unstack", OP(unstack(x, 1)[1] - unstack(x, 1)[3]), s);
  check_transforms("split", OP(split(x, {1, 2, 1}, -1)[1] * 2.0), s);
  check_transforms("split", OP(split(x, 3)[0] + split(x, 3)[2]), s);
}

TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3}), wide = zeros<float>({4, 2}), row = zeros<float>({3});
  CHECK(ERROR_OF(concatenate(std::vector<Tensor<float>>{})) == "[concatenate] no tensors are given");
  CHECK(ERROR_OF(concatenate({x, x, wide})) ==
        "[concatenate] (2, 3) x (4, 2): tensors 0 and 2 differ on axis 1 (only axis 0 may)");
  CHECK(ERROR_OF(concatenate({x, row})) == "[concatenate] (2, 3) x (3,): tensors 0 and 1 differ in rank");
  CHECK(ERROR_OF(concatenate({x, x}, 2)) == "[concatenate] (2, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(concatenate({Tensor<float>(1.0f), Tensor<float>(2.0f)})) ==
        "[concatenate] (): axis 0 is out of range for rank 0");
  CHECK(ERROR_OF(stack({x, wide})) == "[stack] (2, 3) x (4, 2): tensors 0 and 1 differ in shape");
  CHECK(ERROR_OF(stack({x, x}, 3)) == "[stack] (2, 3): axis 3 is out of range for a result of rank 3");
  CHECK(ERROR_OF(stack(std::vector<Tensor<float>>{})) == "[stack] no tensors are given");
  CHECK(ERROR_OF(unstack(x, 2)) == "[unstack] (2, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(split(x, 2, 1)) == "[split] (2, 3): axis 1 does not divide into 2 equal pieces (sizes go in braces)");
  CHECK(ERROR_OF(split(x, 0)) == "[split] (2, 3): axis 0 does not divide into 0 equal pieces (sizes go in braces)");
  CHECK(ERROR_OF(split(x, {1, 1}, 1)) == "[split] (2, 3): sizes add up to 2, axis 1 has extent 3");
  CHECK(ERROR_OF(split(x, {4, -1}, 1)) == "[split] (2, 3): a piece of size -1");
}

}  // namespace ops_joining_test

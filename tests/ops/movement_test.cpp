// reshape flatten permute transpose swap_axes move_axis squeeze expand_dims broadcast_to meshgrid.
#include "movement_support.hpp"

#include "ergo/ops/movement.hpp"

namespace ops_movement_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  const Shape s{2, 3, 4};
  const auto at = [](std::int64_t i, std::int64_t j, std::int64_t k) { return (i * 3 + j) * 4 + k; };
  check_moves(s, OP(reshape(x, {6, -1})), {6, 4}, FROM(p[0] * 4 + p[1]));
  check_moves(s, OP(flatten(x, 1)), {2, 12}, FROM(p[0] * 12 + p[1]));
  check_moves(s, OP(flatten(x)), {24}, FROM(p[0]));
  check_moves(s, OP(permute(x, {1, -1, 0})), {3, 4, 2}, FROM(at(p[2], p[0], p[1])));
  check_moves(s, OP(transpose(x)), {4, 3, 2}, FROM(at(p[2], p[1], p[0])));
  check_moves(s, OP(transpose(x, {0, 2, 1})), {2, 4, 3}, FROM(at(p[0], p[2], p[1])));
  check_moves(s, OP(swap_axes(x, 0, -1)), {4, 3, 2}, FROM(at(p[2], p[1], p[0])));
  check_moves(s, OP(move_axis(x, 0, -1)), {3, 4, 2}, FROM(at(p[2], p[0], p[1])));
  check_moves(s, OP(move_axis(x, {0, 1}, {2, 0})), {3, 4, 2}, FROM(at(p[2], p[0], p[1])));
  check_moves(s, OP(expand_dims(x, {0, -1})), {1, 2, 3, 4, 1}, FROM(at(p[1], p[2], p[3])));
  check_moves({2, 1, 3, 1}, OP(squeeze(x, 1)), {2, 3, 1}, FROM(p[0] * 3 + p[1]));
  check_moves({2, 1, 3, 1}, OP(squeeze(x)), {2, 3}, FROM(p[0] * 3 + p[1]));
  check_moves({2, 1, 4}, OP(broadcast_to(x, {5, 2, 3, 4})), {5, 2, 3, 4}, FROM(p[1] * 4 + p[3]));
  check_moves({3}, OP(meshgrid({slice(x, 0, 0, 2), x})[0]), {2, 3}, FROM(p[0]));
  check_moves({3}, OP(meshgrid({slice(x, 0, 0, 2), x})[1]), {2, 3}, FROM(p[1]));
}

TEST_CASE("copies beyond one tile, one line and one thread") {
  check_moves({310, 130}, OP(transpose(x).contiguous()), {130, 310}, FROM(p[1] * 130 + p[0]));
  check_moves({3, 70, 200}, OP(permute(x, {2, 0, 1}).contiguous()), {200, 3, 70},
              FROM((p[1] * 70 + p[2]) * 200 + p[0]));
  check_moves({5, 4000, 3}, OP(slice(x, 2, 1).contiguous()), {5, 4000, 2}, FROM((p[0] * 4000 + p[1]) * 3 + p[2] + 1));
}

TEST_CASE("views where strides allow") {
  const auto x = draw<float>({2, 3, 4});
  const auto shares = [&](const Tensor<float>& y) { return y.array().buffer.get() == x.array().buffer.get(); };
  CHECK(shares(reshape(x, {4, 6})));
  CHECK(shares(transpose(x)));
  CHECK(shares(squeeze(expand_dims(x, 2), 2)));
  CHECK(shares(broadcast_to(x, {5, 2, 3, 4})));
  CHECK(shares(reshape(transpose(x), {4, 3, 1, 2})));        // only cuts and ones
  CHECK(shares(reshape(permute(x, {2, 0, 1}), {2, 2, 6})));  // two axes that lie behind each other join
  CHECK(shares(reshape(slice(x, 1, none, none, 2), {2, 2, 2, 2})));
  CHECK_FALSE(shares(reshape(transpose(x), {24})));
  CHECK(transpose(transpose(x)).array().contiguous);
  CHECK(permute(x, {0, 1, 2}).array().data == x.array().data);
}

TEST_CASE("rank 0, empty and single extents") {
  const Tensor<float> s(3.5f);
  CHECK(reshape(s, {1, 1}).shape() == Shape{1, 1});
  CHECK(reshape(s, {-1}).shape() == Shape{1});
  CHECK(reshape(ones<float>({1, 1}), {}).rank() == 0);
  CHECK(flatten(s).shape() == Shape{1});
  CHECK(transpose(s).item() == 3.5f);
  CHECK(squeeze(s).rank() == 0);
  CHECK(expand_dims(s, 0).shape() == Shape{1});
  CHECK(broadcast_to(s, {2, 0}).shape() == Shape{2, 0});
  const auto none_at_all = zeros<float>({3, 0, 2});
  CHECK(reshape(none_at_all, {0, 7}).shape() == Shape{0, 7});
  CHECK(reshape(none_at_all, {-1, 2}).shape() == Shape{0, 2});
  CHECK(flatten(none_at_all).shape() == Shape{0});
  CHECK(permute(none_at_all, {1, 0, 2}).shape() == Shape{0, 3, 2});
  CHECK(reshape(transpose(none_at_all), {0}).to_vector().empty());
  CHECK(broadcast_to(ones<float>({1, 3}), {0, 3}).shape() == Shape{0, 3});
  CHECK(meshgrid(std::vector<Tensor<float>>{}).empty());
}

TEST_CASE("transforms") {
  const Shape s{2, 3, 4};
  check_transforms("reshape", OP(reshape(x, {4, -1})), s);
  check_transforms("reshape of a transpose", OP(reshape(transpose(x), {6, 4})), s);
  check_transforms("flatten", OP(flatten(x, 1)), s);
  check_transforms("permute", OP(permute(x, {2, 0, 1})), s);
  check_transforms("transpose", OP(transpose(x)), s);
  check_transforms("swap_axes", OP(swap_axes(x, 0, 1)), s);
  check_transforms("move_axis", OP(move_axis(x, {0, 1}, {2, 0})), s);
  check_transforms("squeeze", OP(squeeze(x)), {2, 1, 3});
  check_transforms("expand_dims", OP(expand_dims(x, {0, -1})), {2, 3});
  check_transforms("broadcast_to", OP(broadcast_to(x, {3, 2, 4})), {2, 1});
  check_transforms("broadcast_to", OP(broadcast_to(x, {3, 2})), {});
  check_transforms("meshgrid", OP(meshgrid({x, 2.0 * x})[1]), {3});
}

TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3});
  CHECK(ERROR_OF(reshape(x, {-2, -3})) ==
        "[reshape] (2, 3): (-2, -3) is no shape (one extent may be -1, the others count)");
  CHECK(ERROR_OF(reshape(x, {-1, -1})) ==
        "[reshape] (2, 3): (-1, -1) is no shape (one extent may be -1, the others count)");
  CHECK(ERROR_OF(reshape(x, {4, 2})) == "[reshape] (2, 3): 6 elements do not fill (4, 2) of 8");
  CHECK(ERROR_OF(reshape(x, {4, -1})) == "[reshape] (2, 3): 6 elements do not divide into (4, -1)");
  CHECK(ERROR_OF(reshape(zeros<float>({0, 3}), {0, -1})) ==
        "[reshape] (0, 3): the -1 of (0, -1) cannot be inferred beside an extent of 0");
  CHECK(ERROR_OF(flatten(x, 2)) == "[flatten] (2, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(permute(x, {0})) == "[permute] (2, 3): 1 axes given for rank 2 (all are needed)");
  CHECK(ERROR_OF(permute(x, {0, -2})) == "[permute] (2, 3): axis 0 is given twice");
  CHECK(ERROR_OF(transpose(x, {0, 2})) == "[transpose] (2, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(swap_axes(x, 0, -3)) == "[swap_axes] (2, 3): axis -3 is out of range for rank 2");
  CHECK(ERROR_OF(move_axis(x, {0, 1}, 0)) == "[move_axis] (2, 3): 2 axes move to 1 places");
  CHECK(ERROR_OF(squeeze(x, 0)) == "[squeeze] (2, 3): axis 0 has extent 2, not 1");
  CHECK(ERROR_OF(expand_dims(x, 3)) == "[expand_dims] (2, 3): axis 3 is out of range for a result of rank 3");
  CHECK(ERROR_OF(expand_dims(x, {0, -4})) == "[expand_dims] (2, 3): axis 0 is given twice");
  CHECK(ERROR_OF(broadcast_to(x, {2, 4})) == "[broadcast_to] (2, 3): does not broadcast to (2, 4)");
  CHECK(ERROR_OF(broadcast_to(x, {3})) == "[broadcast_to] (2, 3): does not broadcast to (3,)");
  CHECK(ERROR_OF(meshgrid({x})) == "[meshgrid] (2, 3): each axis is a vector");
  CHECK(ERROR_OF(transpose(Tensor<float>())) ==
        "[tensor] this tensor is empty: default-constructed, moved from, or a value that `uses` did not keep");
}

}  // namespace ops_movement_test

// tril triu diagonal diag.
#include "movement_support.hpp"

#include "ergo/ops/diagonal.hpp"

namespace ops_diagonal_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  const Shape s{2, 3, 4};
  const auto at = [](std::int64_t i, std::int64_t j, std::int64_t k) { return (i * 3 + j) * 4 + k; };
  check_moves(s, OP(tril(x)), s, FROM(p[2] <= p[1] ? at(p[0], p[1], p[2]) : kZero));
  check_moves(s, OP(triu(x, 1)), s, FROM(p[2] > p[1] ? at(p[0], p[1], p[2]) : kZero));
  check_moves(s, OP(diagonal(x, 2)), {2, 2}, FROM(at(p[0], p[1], p[1] + 2)));
  check_moves(s, OP(diagonal(x, -1)), {2, 2}, FROM(at(p[0], p[1] + 1, p[1])));
  check_moves({2, 3}, OP(diag(x, 1)), {2, 4, 4}, FROM(p[2] == p[1] + 1 ? p[0] * 3 + p[1] : kZero));
  check_moves({3}, OP(diag(x, -2)), {5, 5}, FROM(p[0] == p[1] + 2 ? p[1] : kZero));
}

TEST_CASE("every diagonal of every small shape") {
  for (std::int64_t rows : {0, 1, 3, 4}) {
    for (std::int64_t columns : {0, 1, 3, 5}) {
      const auto x = draw<std::int32_t>({rows, columns});
      for (std::int64_t k : {-100, -5, -4, -3, -1, 0, 1, 2, 5, 6, 100}) {
        const auto l = tril(x, k), u = triu(x, k), d = diagonal(x, k);
        std::int64_t n = 0;
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < columns; ++j) {
            REQUIRE(l.at({i, j}) == (j - i <= k ? x.at({i, j}) : 0));
            REQUIRE(u.at({i, j}) == (j - i >= k ? x.at({i, j}) : 0));
            if (j - i == k) REQUIRE(d.at({n++}) == x.at({i, j}));
          }
        }
        REQUIRE(d.shape() == Shape{n});
      }
    }
  }
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min(),
                     highest = std::numeric_limits<std::int64_t>::max();
  const auto x = draw<float>({2, 2});
  CHECK(array_equal(tril(x, highest), x));
  CHECK(array_equal(triu(x, lowest), x));
  CHECK(diagonal(x, lowest).shape() == Shape{0});
  CHECK(diagonal(x).array().buffer.get() == x.array().buffer.get());
  CHECK(diag(zeros<float>({0}), 2).shape() == Shape{2, 2});
  CHECK(std::isnan(tril(full<float>({2, 2}, NAN)).at({0, 0})));
  CHECK(tril(full<float>({2, 2}, NAN)).at({0, 1}) == 0);
}

TEST_CASE("transforms") {
  check_transforms("tril", OP(tril(x, 1)), {2, 3, 4});
  check_transforms("triu", OP(triu(x, -1)), {4, 3});
  check_transforms("diagonal", OP(diagonal(x, -1)), {2, 4, 3});
  check_transforms("diag", OP(diag(x, 2)), {2, 3});
}

TEST_CASE("errors") {
  const auto v = zeros<float>({3});
  CHECK(ERROR_OF(tril(v)) == "[tril] (3,): a matrix has two axes");
  CHECK(ERROR_OF(triu(v)) == "[triu] (3,): a matrix has two axes");
  CHECK(ERROR_OF(diagonal(v)) == "[diagonal] (3,): a matrix has two axes");
  CHECK(ERROR_OF(diag(Tensor<float>(1.0f))) == "[diag] (): a diagonal has at least one axis");
  CHECK(ERROR_OF(diag(v, std::numeric_limits<std::int64_t>::min())) == "[diag] (3,): the matrix would be too large");
}

}  // namespace ops_diagonal_test

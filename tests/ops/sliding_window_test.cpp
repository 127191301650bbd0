// sliding_window.
#include "movement_support.hpp"

#include "ergo/ops/movement.hpp"
#include "ergo/ops/sliding_window.hpp"
#include "support/message.hpp"

namespace ops_sliding_window_test {

using namespace ergo;
using namespace movement;

TEST_CASE("values, every dtype and layout") {
  check_moves({2, 7, 3}, OP(sliding_window(x, 1, 3, 2)), {2, 3, 3, 3}, FROM((p[0] * 7 + p[1] * 2 + p[3]) * 3 + p[2]));
  check_moves({5}, OP(sliding_window(x, -1, 5)), {1, 5}, FROM(p[1]));
  check_moves({6}, OP(sliding_window(x, 0, 2, 4)), {2, 2}, FROM(p[0] * 4 + p[1]));
}

TEST_CASE("a view; empty; the transpose's sums") {
  const auto x = draw<float>({8, 2});
  CHECK(sliding_window(x, 0, 4).array().buffer.get() == x.array().buffer.get());
  CHECK(sliding_window(x, 0, 8, std::numeric_limits<std::int64_t>::max()).shape() == Shape{1, 2, 8});
  CHECK(sliding_window(zeros<float>({4, 0}), 0, 2).shape() == Shape{3, 0, 2});

  // Each element's cotangent counts the windows over it, 16-bit types with one rounding.
  const auto pulled = vjp([](const auto& t) { return sliding_window(t, 0, 5, 2); }, zeros<bfloat16>({300, 1}));
  const auto g = pulled.second(full<bfloat16>({148, 1, 5}, bfloat16(1.0f)));
  for (std::int64_t i = 0; i < 300; ++i) {
    int over = 0;
    for (std::int64_t w = 0; w < 148; ++w) over += i >= 2 * w && i < 2 * w + 5;
    REQUIRE(float(g.at({i, 0})) == float(over));
  }
}

TEST_CASE("transforms") {
  check_transforms("sliding_window", OP(sliding_window(x, 0, 3)), {6});
  check_transforms("sliding_window", OP(sliding_window(x, 1, 4, 3)), {2, 9, 2});
  check_transforms("sliding_window", OP(sliding_window(x, 0, 2, 3)), {9, 1, 2});
}

TEST_CASE("errors") {
  const auto x = zeros<float>({4, 3});
  CHECK(ERROR_OF(sliding_window(x, 2, 1)) == "[sliding_window] (4, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(sliding_window(x, 0, 0)) == "[sliding_window] (4, 3): size 0, step 1: both are at least 1");
  CHECK(ERROR_OF(sliding_window(x, 0, 2, -1)) == "[sliding_window] (4, 3): size 2, step -1: both are at least 1");
  CHECK(ERROR_OF(sliding_window(x, 0, 5)) == "[sliding_window] (4, 3): a window of 5 exceeds axis 0 of extent 4");
}

TEST_CASE("more elements than 2^63 - 1 are an Error, in views too") {
  const auto long_axis = broadcast_to(Tensor<float>(1.0f), {(std::int64_t(1) << 33) - 1});
  CHECK(message_of([&] { return sliding_window(long_axis, 0, std::int64_t(1) << 32); }) ==
        "[shape] (4294967296, 4294967296): the number of elements exceeds 2^63 - 1");
}

}  // namespace ops_sliding_window_test

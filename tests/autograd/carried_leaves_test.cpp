// Leaves that are carried and not learned, empty or not, through vjp, checkpoint and vmap; and rules whose result does
// not fit what they are the cotangent of.
#include <doctest/doctest.h>

#include <utility>

#include "ergo/autograd/checkpoint.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/key.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/message.hpp"

namespace autograd_carried_leaves_test {

using namespace ergo;
using Vec = Tensor<double>;
using Ids = Tensor<std::int32_t>;

struct Keyed {
  Vec w;
  Key k;
  ERGO_FIELDS(Keyed, w, k)
};
struct Counted {
  Vec w;
  State<Vec> mean;
  ERGO_FIELDS(Counted, w, mean)
};

const Vec x = tensor<double>({1, 2, 3});

TEST_CASE("a State in the result of vjp takes no cotangent") {
  const auto f = [](const Vec& v) { return std::pair{v * v, State<Vec>{v * 3.0}}; };
  const auto [y, pull] = vjp(f, x);
  CHECK(y.second.value.to_vector() == std::vector<double>{3, 6, 9});
  CHECK(pull(std::pair{ones_like(x), State<Vec>{x}}).to_vector() == std::vector<double>{2, 4, 6});
  CHECK(pull(std::pair{ones_like(x), State<Vec>{}}).to_vector() == std::vector<double>{2, 4, 6});
}

TEST_CASE("empty carried leaves pass through vjp and checkpoint") {
  const Keyed model{x, {}};
  const auto [y, pull] = vjp([](const Keyed& m) { return std::pair{m.w * m.w, m}; }, model);
  CHECK(pull(std::pair{x, Keyed{x, {}}}).w.to_vector() == std::vector<double>{3, 10, 21});
  const auto [z, back] = vjp([](const Vec& v) { return std::pair{v * v, Ids()}; }, x);
  CHECK(back({x, {}}).to_vector() == std::vector<double>{2, 8, 18});
  const auto squares = checkpoint([](const Keyed& m) { return m.w * m.w; });
  CHECK(grad([&](const Keyed& m) { return sum(squares(m)); })(model).w.to_vector() == std::vector<double>{2, 4, 6});
  CHECK(checkpoint([](const Vec& c, const Ids&) { return c; })(x, Ids()).to_vector() == x.to_vector());
  const auto both = checkpoint([](const Vec& c) { return std::pair{Ids(), c * c}; });
  CHECK(grad([&](const Vec& v) { return sum(both(v).second); })(x).to_vector() == std::vector<double>{2, 4, 6});
}

TEST_CASE("an empty State is carried; an empty learned leaf is an Error that names it") {
  const Counted model{x, {}};
  const auto loss = [](const Counted& m) { return sum(m.w * m.w); };
  CHECK(grad(loss)(model).w.to_vector() == std::vector<double>{2, 4, 6});
  const auto kept = checkpoint([](const Counted& m) { return m.w * m.w; });
  CHECK(grad([&](const Counted& m) { return sum(kept(m)); })(model).w.to_vector() == std::vector<double>{2, 4, 6});
  CHECK(message_of([&] { grad(loss)(Counted{{}, {x}}); }) == "[tree] w: a learned leaf is an empty tensor");
}

struct Misfit {
  static constexpr auto name = "misfit";
  static constexpr bool has_vjp = true;
  static constexpr Uses uses = Uses::inputs;
  static constexpr int core[] = {1};
  template <class T>
  Tensor<T> cpu(const Tensor<T>& v) const {
    return v * 2;
  }
  template <class T>
  Tensor<T> definition(const Tensor<T>& v) const {
    return v * 2;
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&) const {
    return ones<T>({2});
  }
};

TEST_CASE("a rule's cotangent of the wrong shape is an Error") {
  CHECK(message_of([&] { grad([](const Vec& v) { return sum(fused_op(Misfit{}, v)); })(x); }) ==
        "[misfit] (2,): this rule's cotangent does not fit the input (3,)");
}

TEST_CASE("an index beyond 63 bits is refused") {
  CHECK(message_of([&] { (void)x[std::uint64_t(-1)]; }) == "[shape] an integer beyond 2^63 - 1");
}

}  // namespace autograd_carried_leaves_test

// attention where numbers are extreme or keys are hidden: scores so large that a rounding of them is a weight, biases
// that swallow the logarithm of a sum, windows beyond all keys, NaN where nobody looks, no heads.
// again: cuda
#include <doctest/doctest.h>

#include <limits>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/attention.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/number_class.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/slicing.hpp"
#include "support/message.hpp"

namespace ops_attention_corners_test {

using namespace ergo;
using X = Tensor<float>;
using Three = std::tuple<X, X, X>;
using Four = std::tuple<X, X, X, X>;

namespace {
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

Three drawn(std::int64_t b, std::int64_t t, std::int64_t s, std::int64_t h, std::int64_t d) {
  return {normal<float>(Key{1}, {b, t, h, d}), normal<float>(Key{2}, {b, s, h, d}),
          normal<float>(Key{3}, {b, s, h, d})};
}
X attended(const Three& x, const AttentionOptions<float>& o = {}) {
  return attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), o);
}
// y and the gradients of q, k, v.
Four with_gradients(const Three& x, const AttentionOptions<float>& o, const X& g) {
  const auto [y, back] = vjp([&](const Three& z) { return attended(z, o); }, x);
  const auto [dq, dk, dv] = back(g);
  return {y, dq, dk, dv};
}
// x (B, T, H, D) with this in all of the times [from, to).
X spoilt(const X& x, std::int64_t from, std::int64_t to, float with) {
  const std::int64_t time = x.shape()[1], row = x.shape()[2] * x.shape()[3];
  std::vector<float> all = x.to_vector();
  for (std::int64_t i = 0; i < std::int64_t(all.size()); ++i)
    if (i / row % time >= from && i / row % time < to) all[std::size_t(i)] = with;
  return from_span<float>(all, x.shape());
}
void same(const Four& a, const Four& b) {
  CHECK(array_equal(std::get<0>(a), std::get<0>(b)));
  CHECK(array_equal(std::get<1>(a), std::get<1>(b)));
  CHECK(array_equal(std::get<2>(a), std::get<2>(b)));
  CHECK(array_equal(std::get<3>(a), std::get<3>(b)));
}
}  // namespace

// A weight made again from a score that was rounded otherwise would be wrong by e to the power of the difference.
TEST_CASE("going backward, scores are those of going forward to the last bit") {
  for (float size : {30.f, 1e3f, 1e6f}) {
    CAPTURE(size);
    const Three three = drawn(64, 1, 1, 1, 3);
    const X &q = std::get<0>(three), &k = std::get<1>(three), &v = std::get<2>(three);
    const Four one = with_gradients({size * q, k, v}, {}, ones_like(v));
    CHECK(array_equal(std::get<3>(one), ones_like(v)));
    CHECK(allclose(std::get<1>(one), zeros_like(q), {.rtol = 0, .atol = 1e-5}));
    // As many equal keys, which share one weight; in one pass and in two.
    for (std::int64_t heads : {20, 1}) {
      const Three single = drawn(1, 1, 1, heads, 3);
      const X &a = std::get<0>(single), &b = std::get<1>(single);
      const Shape wide{1, 128, heads, 3};
      const X keys = broadcast_to(b, wide), values = normal<float>(Key{4}, wide);
      const Four many = with_gradients({broadcast_to(size * a, wide), keys, values}, {}, ones<float>(wide));
      CHECK(array_equal(std::get<3>(many), ones<float>(wide)));
      const auto db = grad([&](const X& bias) {
        return sum(square(
            attended({size * a, slice(keys, 1, 0, 2), broadcast_to(tensor<float>({{{0}}, {{1}}}), {1, 2, heads, 1})},
                     {.bias = bias})));
      })(zeros<float>({1, heads, 1, 2}));
      // y = 1/2, dy = 1: each weight times what its value is above y.
      CHECK(array_equal(db, broadcast_to(tensor<float>({-0.25f, 0.25f}), {1, heads, 1, 2})));
    }
  }
}

TEST_CASE_TEMPLATE("a bias that swallows the logarithm of the sum leaves the weights as they are", T, float, double) {
  for (double level : {-1e9, 1e9, -1e30, -3.4e38, 3.4e38}) {
    CAPTURE(level);
    const Tensor<T> q = ones<T>({1, 1, 1, 1}), k = ones<T>({1, 4, 1, 1}),
                    v = tensor<T>({{{{T(1)}}, {{T(2)}}, {{T(3)}}, {{T(6)}}}});
    const Tensor<T> bias = full<T>({4}, T(level));
    const auto f = [&](const std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>>& x) {
      return attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), {.bias = std::get<3>(x)});
    };
    const auto [y, back] = vjp(f, std::tuple{q, k, v, bias});
    CHECK(y.item() == 3);
    const auto [dq, dk, dv, db] = back(ones_like(y));
    CHECK(array_equal(dq, zeros_like(q)));
    CHECK(array_equal(dv, full<T>({1, 4, 1, 1}, T(0.25))));
    CHECK(array_equal(db, tensor<T>({T(-0.5), T(-0.25), T(0), T(0.75)})));
    CHECK(array_equal(dk, reshape(db, {1, 4, 1, 1})));
  }
}

TEST_CASE("a window beyond all keys hides none") {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  for (const auto& [t, s] : {std::pair{3, 5}, std::pair{70, 5}}) {
    const Three x = drawn(1, t, s, 1, 4);
    for (bool causal : {false, true}) {
      const X y = attended(x, {.causal = causal});
      const auto agrees = [&](auto window) {
        CHECK(array_equal(attended(x, {.causal = causal, .window = window}), y));
        CHECK(array_equal(attention_pattern(std::get<0>(x), std::get<1>(x), {.causal = causal, .window = window}),
                          attention_pattern(std::get<0>(x), std::get<1>(x), {.causal = causal})));
      };
      agrees(t + s);
      agrees(kMost - 70);
      agrees(kMost - 1);
      agrees(kMost);
      agrees(std::numeric_limits<std::uint64_t>::max());
    }
  }
}

TEST_CASE("NaN and infinity where no query looks reach neither y nor a gradient") {
  const auto mask = [](std::int64_t keys, std::int64_t from, std::int64_t to) {
    const auto key = arange<std::int64_t>(0, keys);
    return logical_or(key < from, key >= to);
  };
  struct Hidden {
    const char* by;
    std::int64_t heads, queries, keys, from, to;
    AttentionOptions<float> options;
  };
  for (std::int64_t heads : {1, 20}) {  // going backward in two passes and in one
    const Hidden all[] = {
        {"lengths", heads, 4, 4, 2, 4, {.lengths = tensor<std::int32_t>({2})}},
        {"lengths, of many tiles", heads, 70, 200, 100, 200, {.lengths = tensor<std::int32_t>({100})}},
        {"a mask", heads, 5, 140, 3, 30, {.mask = mask(140, 3, 30)}},
        {"a bias", heads, 5, 140, 70, 72, {.bias = where(mask(140, 70, 72), full<float>({140}, 0.5f), -kInfinity)}},
        {"windows that end before", heads, 2, 100, 0, 97, {.causal = true, .window = 2}},
        {"being causal", heads, 140, 20, 20, 20, {.causal = true}},
    };
    for (const Hidden& h : all)
      for (float with : {kNan, kInfinity, -kInfinity}) {
        CAPTURE(h.by);
        CAPTURE(with);
        const Three three = drawn(1, h.queries, h.keys, h.heads, 5);
        const X &q = std::get<0>(three), &k = std::get<1>(three), &v = std::get<2>(three);
        const X g = normal<float>(Key{4}, q.shape());
        const Four clean = with_gradients({q, k, v}, h.options, g);
        const auto hide = [&](const X& x) { return spoilt(x, h.from, h.to, with); };
        same(with_gradients({q, k, hide(v)}, h.options, g), clean);
        same(with_gradients({q, hide(k), hide(v)}, h.options, g), clean);
        CHECK(array_equal(slice(std::get<2>(clean), 1, h.from, h.to), zeros_like(slice(k, 1, h.from, h.to))));
        CHECK(array_equal(slice(std::get<3>(clean), 1, h.from, h.to), zeros_like(slice(v, 1, h.from, h.to))));
        if (h.options.bias.defined()) continue;
        const auto db = [&](const X& keys, const X& values) {
          AttentionOptions<float> o = h.options;
          return grad([&](const X& b) {
            o.bias = b;
            return sum(attended({q, keys, values}, o) * g);
          })(zeros<float>({h.queries, h.keys}));
        };
        CHECK(array_equal(db(hide(k), hide(v)), db(k, v)));
      }
  }
}

TEST_CASE("a NaN in a query, a key, a value or a cotangent spoils what looks at it alone") {
  for (std::int64_t heads : {1, 20}) {
    const Three three = drawn(1, 70, 70, heads, 5);
    const X &q = std::get<0>(three), &k = std::get<1>(three), &v = std::get<2>(three);
    const X g = normal<float>(Key{4}, q.shape());
    const AttentionOptions<float> o{.causal = true};
    const auto before = [](const X& x) { return slice(x, 1, 0, 66); };
    const auto after = [](const X& x) { return slice(x, 1, 67, 70); };
    const Four clean = with_gradients({q, k, v}, o, g);
    // Queries from 66 on see key 66: of those before, y and dq are as they were.
    for (const Four& spoilt_keys : {with_gradients({q, spoilt(k, 66, 67, kNan), v}, o, g),
                                    with_gradients({q, k, spoilt(v, 66, 67, kNan)}, o, g)}) {
      CHECK(array_equal(before(std::get<0>(spoilt_keys)), before(std::get<0>(clean))));
      CHECK(array_equal(before(std::get<1>(spoilt_keys)), before(std::get<1>(clean))));
      CHECK(all(isnan(slice(std::get<0>(spoilt_keys), 1, 66, 70))).item());
    }
    // Query 66 sees keys up to 66: of those behind, dk and dv are as they were, and so is every other query's own.
    for (const Four& spoilt_query : {with_gradients({spoilt(q, 66, 67, kNan), k, v}, o, g),
                                     with_gradients({q, k, v}, o, spoilt(g, 66, 67, kNan))}) {
      CHECK(array_equal(after(std::get<2>(spoilt_query)), after(std::get<2>(clean))));
      CHECK(array_equal(after(std::get<3>(spoilt_query)), after(std::get<3>(clean))));
      CHECK(array_equal(before(std::get<1>(spoilt_query)), before(std::get<1>(clean))));
      CHECK(array_equal(after(std::get<1>(spoilt_query)), after(std::get<1>(clean))));
      CHECK(all(isnan(slice(std::get<2>(spoilt_query), 1, 0, 67))).item());
    }
  }
}

TEST_CASE("padding is absent from forward mode, second derivatives and the pattern as well") {
  const Three three = drawn(2, 3, 4, 1, 5);
  const X &q = std::get<0>(three), &k = std::get<1>(three), &v = std::get<2>(three);
  const AttentionOptions<float> o{.lengths = tensor<std::int32_t>({2, 3})};
  const X bad_k = spoilt(k, 3, 4, kNan), bad_v = spoilt(v, 3, 4, kInfinity);
  const auto forward = [&](const X& a, const X& b) {
    return jvp([&](const Three& x) { return attended(x, o); })(Three{q, a, b},
                                                               Three{ones_like(q), ones_like(k), ones_like(v)})
        .second;
  };
  CHECK(array_equal(forward(bad_k, bad_v), forward(k, v)));
  const auto second = [&](const X& a, const X& b) {
    const auto slope = [&](const X& x) {
      return sum(square(grad([&](const X& z) { return sum(square(attended({z, a, b}, o))); })(x)));
    };
    return grad(slope)(q);
  };
  CHECK(array_equal(second(bad_k, bad_v), second(k, v)));
  const auto pattern = [&](const X& a) {
    return grad([&](const X& x) { return sum(square(attention_pattern(x, a, o))); })(q);
  };
  CHECK(array_equal(pattern(bad_k), pattern(k)));
}

TEST_CASE("many cotangents of one attention are one call") {
  const Three three = drawn(2, 5, 70, 2, 4);
  const X &q = std::get<0>(three), &k = std::get<1>(three), &v = std::get<2>(three);
  const auto [y, back] = vjp([](const Three& x) { return attended(x, {.causal = true}); }, Three{q, k, v});
  const X g = normal<float>(Key{4}, Shape{3} + y.shape());
  const auto pull = [back = back](const X& one) { return back(one); };
  const auto [dq, dk, dv] = vmap(pull)(g);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto [eq, ek, ev] = back(g[i]);
    CHECK(array_equal(dq[i], eq));
    CHECK(array_equal(dk[i], ek));
    CHECK(array_equal(dv[i], ev));
  }
}

TEST_CASE("no heads") {
  for (std::int64_t key_heads : {0, 2}) {
    const Three x{ones<float>({2, 3, 0, 4}), ones<float>({2, 5, key_heads, 4}), ones<float>({2, 5, key_heads, 6})};
    const X g = zeros<float>({2, 3, 0, 6});
    const Four all = with_gradients(x, {.causal = true}, g);
    CHECK(std::get<0>(all).shape() == Shape{2, 3, 0, 6});
    CHECK(std::get<1>(all).shape() == Shape{2, 3, 0, 4});
    CHECK(array_equal(std::get<2>(all), zeros<float>({2, 5, key_heads, 4})));
    CHECK(array_equal(std::get<3>(all), zeros<float>({2, 5, key_heads, 6})));
    const auto db = grad([&](const X& b) { return sum(attended(x, {.bias = b})); })(ones<float>({2, 1, 3, 5}));
    CHECK(array_equal(db, zeros<float>({2, 1, 3, 5})));
    const auto slope = [&](const X& k) {
      return sum(square(grad([&](const X& z) {
        return sum(square(attended({std::get<0>(x), z, std::get<2>(x)})));
      })(k)));
    };
    CHECK(array_equal(grad(slope)(std::get<1>(x)), zeros<float>({2, 5, key_heads, 4})));
    const X pattern = attention_pattern(std::get<0>(x), std::get<1>(x));
    CHECK(pattern.shape() == Shape{2, 0, 3, 5});
    CHECK(attention_with(pattern, std::get<2>(x)).shape() == Shape{2, 3, 0, 6});
  }
  CHECK(
      message_of([] {
        attention(ones<float>({1, 3, 2, 4}), ones<float>({1, 3, 0, 4}), ones<float>({1, 3, 0, 4}));
      }) ==
      "[attention] (1, 3, 2, 4) x (1, 3, 0, 4) x (1, 3, 0, 4): 2 heads of queries are no multiple of 0 heads of keys");
}

}  // namespace ops_attention_corners_test

// attention beside what its rows check: numbers of PyTorch, rows that see nothing, biases of -infinity, NaN, 16 bits,
// empty operands, memory that grows with T and not with its square, both ways of going backward, errors; rotary.
// again: cuda
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/attention.hpp"
#include "ergo/ops/number_class.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/rotary.hpp"
#include "ergo/ops/slicing.hpp"
#include "support/message.hpp"
#if defined(ERGO_TEST_DEVICE) && defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace ops_attention_test {

using namespace ergo;
using X = Tensor<float>;
using Three = std::tuple<X, X, X>;

namespace {
constexpr float kInfinity = std::numeric_limits<float>::infinity();
template <class T>
Tensor<T> sines(double step, const Shape& s) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(T(std::sin(step * double(i + 1))));
  return from_span<T>(v, s);
}
Three drawn(std::int64_t b, std::int64_t t, std::int64_t s, std::int64_t h, std::int64_t d) {
  return {normal<float>(Key{1}, {b, t, h, d}), normal<float>(Key{2}, {b, s, h, d}),
          normal<float>(Key{3}, {b, s, h, d})};
}
}  // namespace

// torch 2.15.0, scaled_dot_product_attention(is_causal=True) in double, and the gradients of the sum of squares.
TEST_CASE("numbers of PyTorch") {
  using D = Tensor<double>;
  const auto f = [](const std::tuple<D, D, D>& x) {
    const D y = attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), {.causal = true});
    return std::pair{sum(y * y), y};
  };
  const auto [both, gradient] = value_and_grad(f)(
      std::tuple{sines<double>(1, {1, 3, 2, 2}), sines<double>(2, {1, 3, 2, 2}), sines<double>(3, {1, 3, 2, 2})});
  const auto close = [](const D& x, const std::vector<double>& expected) {
    CHECK(allclose(x.cpu().contiguous(), from_span<double>(expected, x.shape(), Device::cpu()),
                   {.rtol = 0, .atol = 2e-12}));
  };
  close(both.second, {0.14112000806, -0.279415498199, 0.412118485242, -0.536572918, 0.507460596563, -0.618706123025,
                      0.592415359831, -0.693286005994, 0.43744055861, -0.546036039259, 0.79261142167, -0.839166396206});
  close(std::get<0>(gradient), {0.0, 0.0, 0.0, 0.0, -0.228206857151, 0.034581475695, 0.222633233035, -0.223902168685,
                                -0.316790423953, 0.206169597437, 0.088576345553, -0.427941657341});
  close(std::get<1>(gradient),
        {0.067287842692, 0.153818854294, 0.118896806504, -0.047838605819, -0.113250742842, -0.093145070189,
         0.089909461604, 0.159879491661, 0.04596290015, -0.060673784105, -0.208806268108, -0.112040885842});
}

TEST_CASE("a query that sees nothing gives 0 and takes nothing") {
  const auto [q, k, v] = drawn(1, 3, 4, 1, 5);
  const auto mask = tensor<bool>({{true, true, false, true}, {false, false, false, false}, {true, false, true, true}});
  const X bias = where(mask, zeros<float>({3, 4}), X(-kInfinity).to(q.device()));
  const auto run = [](const AttentionOptions<float>& o, const Three& x) {
    return attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), o);
  };
  const auto with_mask = [&](const Three& x) { return run({.mask = mask}, x); };
  const auto with_bias = [&](const Three& x) { return run({.bias = bias}, x); };
  const auto [y, back] = vjp(with_mask, Three{q, k, v});
  const auto [z, again] = vjp(with_bias, Three{q, k, v});
  CHECK(array_equal(y, z));
  CHECK(array_equal(y[0][1], zeros<float>({1, 5})));
  const auto [dq, dk, dv] = back(ones_like(y));
  const auto [eq, ek, ev] = again(ones_like(y));
  CHECK(array_equal(dq[0][1], zeros<float>({1, 5})));
  CHECK(array_equal(dq, eq));
  CHECK(array_equal(dk, ek));
  CHECK(array_equal(dv, ev));
  CHECK_FALSE(any(isnan(dk)).item());
  // The bias's own gradient is 0 where it hides.
  const auto db = grad([&, q = q, k = k, v = v](const X& b) {
    return sum(square(run({.bias = b}, Three{q, k, v})));
  })(bias);
  CHECK(all(logical_or(db == 0, mask)).item());
  CHECK(any(db != 0).item());
}

TEST_CASE("lengths beyond the keys mean all, negative ones none") {
  const auto [q, k, v] = drawn(3, 2, 4, 2, 3);
  const X y = attention(q, k, v, {.lengths = tensor<std::int32_t>({9, -2, 2})});
  CHECK(array_equal(y[0], attention(q, k, v)[0]));
  CHECK(array_equal(y[1], zeros<float>({2, 2, 3})));
  CHECK(allclose(y[2], attention(q, slice(k, 1, 0, 2), slice(v, 1, 0, 2))[2], {.rtol = 1e-6, .atol = 1e-6}));
}

TEST_CASE("large scores, and a NaN in its row alone") {
  const auto [q, k, v] = drawn(1, 4, 70, 1, 4);
  const X far = attention(1e4f * q, k, v);
  CHECK(all(isfinite(far)).item());
  CHECK(allclose(far, attention_with(attention_pattern(1e4f * q, k), v), {.rtol = 1e-3, .atol = 1e-3}));
  std::vector<float> spoilt = q.to_vector();
  spoilt[5] = std::nanf("");
  const X y = attention(from_span<float>(spoilt, {1, 4, 1, 4}), k, v), z = attention(q, k, v);
  CHECK(all(isnan(y[0][1])).item());
  for (int t : {0, 2, 3}) CHECK(array_equal(y[0][t], z[0][t]));
}

TEST_CASE("16 bits are computed in float and rounded once") {
  const auto [q, k, v] = drawn(1, 5, 6, 2, 8);
  const auto a = cast<bfloat16>(q), b = cast<bfloat16>(k), c = cast<bfloat16>(v);
  const AttentionOptions<bfloat16> o{.causal = true, .bias = cast<bfloat16>(sines<float>(1, {6}))};
  const AttentionOptions<float> p{.causal = true, .bias = cast<float>(o.bias)};
  CHECK(
      array_equal(attention(a, b, c, o), cast<bfloat16>(attention(cast<float>(a), cast<float>(b), cast<float>(c), p))));
  CHECK(array_equal(attention_pattern(a, b, o), cast<bfloat16>(attention_pattern(cast<float>(a), cast<float>(b), p))));
}

TEST_CASE("no keys, no queries, no batch, no width") {
  const auto value = [](std::int64_t b, std::int64_t t, std::int64_t s, std::int64_t d) {
    const Three x{ones<float>({b, t, 2, d}), ones<float>({b, s, 1, d}), ones<float>({b, s, 1, 3})};
    const auto [y, back] =
        vjp([](const Three& z) { return attention(std::get<0>(z), std::get<1>(z), std::get<2>(z)); }, x);
    CHECK(y.shape() == Shape{b, t, 2, 3});
    const auto [dq, dk, dv] = back(ones_like(y));
    CHECK(all(dq == 0).item());
    CHECK(all(dk == 0).item());
    CHECK(dv.shape() == Shape{b, s, 1, 3});
    return y;
  };
  CHECK(array_equal(value(2, 3, 0, 4), zeros<float>({2, 3, 2, 3})));
  value(2, 0, 3, 4);
  value(0, 2, 3, 4);
  CHECK(allclose(value(1, 2, 3, 0), ones<float>({1, 2, 2, 3})));
}

#if !defined(ERGO_TEST_DEVICE)
TEST_CASE("memory grows with T, not with its square") {
  constexpr std::int64_t kTime = 8192, kWidth = 64;
  const auto [q, k, v] = drawn(1, kTime, kTime, 1, kWidth);
  const X g = normal<float>(Key{4}, {1, kTime, 1, kWidth});
  const std::int64_t before = memory_info().live;
  reset_peak_memory();
  {
    const auto [y, back] =
        vjp([](const Three& x) { return attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), {.causal = true}); },
            Three{q, k, v});
    const auto gradients = back(g);
    CHECK(std::get<0>(gradients).shape() == q.shape());
  }
  const std::int64_t outputs = 4 * kTime * kWidth * std::int64_t(sizeof(float));
  CHECK(memory_info().peak - before <= outputs + num_threads() * (std::int64_t(4) << 20));
}
#elif defined(ERGO_EMULATED)
TEST_CASE("memory grows with T, not with its square") {
  constexpr std::int64_t kTime = 600, kHeads = 8, kWidth = 16, kRow = kHeads * kWidth * std::int64_t(sizeof(float));
  const auto [q, k, v] = drawn(1, kTime, kTime, kHeads, kWidth);
  const X g = normal<float>(Key{4}, q.shape());
  synchronize();
  release_cached_memory();
  simt::reset_counters();
  const auto before = std::int64_t(simt::counters().live_bytes);
  const auto [y, back] =
      vjp([](const Three& x) { return attention(std::get<0>(x), std::get<1>(x), std::get<2>(x), {.causal = true}); },
          Three{q, k, v});
  const auto gradients = back(g);
  synchronize();
  const std::int64_t peak = std::int64_t(simt::counters().peak_bytes) - before, outputs = 4 * kTime * kRow;
  CHECK(peak >= outputs);
  CHECK(peak <= outputs + 16 * kTime * kRow);
  CHECK(outputs + 16 * kTime * kRow < kHeads * kTime * kTime * std::int64_t(sizeof(float)));  // so this says something
}
#endif

TEST_CASE("many heads go backward in one pass, few in two: the same gradients") {
  const auto [q, k, v] = drawn(9, 70, 130, 2, 5);
  const X g = normal<float>(Key{4}, q.shape());
  const auto gradients = [](const Three& x, const X& cotangent) {
    return vjp(
               [](const Three& z) {
                 return attention(std::get<0>(z), std::get<1>(z), std::get<2>(z), {.causal = true, .window = 90});
               },
               x)
        .second(cotangent);
  };
  const auto many = gradients(Three{q, k, v}, g);
  const auto part = [](const X& x) { return slice(x, 0, 3, 5); };
  const auto few = gradients(Three{part(q), part(k), part(v)}, part(g));
  const auto same = [&](const X& a, const X& b) { CHECK(allclose(part(a), b, {.rtol = 1e-5, .atol = 2e-6})); };
  same(std::get<0>(many), std::get<0>(few));
  same(std::get<1>(many), std::get<1>(few));
  same(std::get<2>(many), std::get<2>(few));
}

TEST_CASE("attention: errors") {
  const X q = ones<float>({2, 3, 4, 8}), k = ones<float>({2, 5, 2, 8});
  CHECK(message_of([&] {
          attention(q, k, ones<float>({2, 6, 2, 8}));
        }) == "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 6, 2, 8): keys and values have lengths 5 and 6");
  CHECK(
      message_of([&] {
        attention(q, ones<float>({2, 5, 3, 8}), ones<float>({2, 5, 3, 8}));
      }) ==
      "[attention] (2, 3, 4, 8) x (2, 5, 3, 8) x (2, 5, 3, 8): 4 heads of queries are no multiple of 3 heads of keys");
  CHECK(message_of([&] {
          attention(q, ones<float>({2, 5, 2, 7}), k);
        }) == "[attention] (2, 3, 4, 8) x (2, 5, 2, 7) x (2, 5, 2, 8): queries and keys have widths 8 and 7");
  CHECK(message_of([&] {
          attention(q, k, ones<float>({2, 5, 1, 8}));
        }) == "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 5, 1, 8): keys and values have 2 and 1 heads");
  CHECK(message_of([&] {
          attention(q, ones<float>({1, 5, 2, 8}), k);
        }) == "[attention] (2, 3, 4, 8) x (1, 5, 2, 8) x (2, 5, 2, 8): q, k and v must have one batch");
  CHECK(message_of([&] {
          attention(ones<float>({3, 4, 8}), k, k);
        }) ==
        "[attention] (3, 4, 8) x (2, 5, 2, 8) x (2, 5, 2, 8): q, k and v are (B, T, H, D): batch, time, heads, width");
  CHECK(message_of([&] {
          attention(q, k, k, {.mask = ones<bool>({5, 3})});
        }) ==
        "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 5, 2, 8) x (5, 3): the mask does not broadcast to (B, H, T, S)");
  CHECK(message_of([&] {
          attention(q, k, k, {.bias = ones<float>({3, 4, 3, 5})});
        }) ==
        "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 5, 2, 8) x (3, 4, 3, 5): the bias does not broadcast to (B, H, "
        "T, S)");
  CHECK(message_of([&] { attention(q, k, k, {.window = -1}); }) ==
        "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 5, 2, 8): the window -1 is negative");
  CHECK(message_of([&] {
          attention(q, k, k, {.lengths = tensor<std::int32_t>({1, 2, 3})});
        }) ==
        "[attention] (2, 3, 4, 8) x (2, 5, 2, 8) x (2, 5, 2, 8) x (3,): lengths are one for each of the batch, (B)");
  CHECK(message_of([&] {
          attention_with(ones<float>({2, 4, 3, 6}), k);
        }) == "[attention_with] (2, 4, 3, 6) x (2, 5, 2, 8): pattern and v have 6 and 5 keys");
  CHECK(message_of([&] {
          attention_pattern(q, ones<float>({2, 5, 2, 4}));
        }) == "[attention_pattern] (2, 3, 4, 8) x (2, 5, 2, 4): queries and keys have widths 8 and 4");
#if defined(ERGO_TEST_DEVICE)
  const X wide = ones<float>({1, 2, 1, 257});
  CHECK(message_of([&] { attention(wide, wide, wide); }) ==
        "[attention] (1, 2, 1, 257) x (1, 2, 1, 257) x (1, 2, 1, 257): on a CUDA device heads are at most 256 wide");
#endif
}

TEST_CASE("rotary: products depend on how far apart places are, and on nothing else") {
  using D = Tensor<double>;
  const D q = normal<double>(Key{1}, {1, 1, 6}), k = normal<double>(Key{2}, {1, 1, 6});
  const auto product = [&](std::int64_t a, std::int64_t b, bool interleaved) {
    const RotaryOptions o{.interleaved = interleaved};
    return sum(rotary(q, tensor<std::int64_t>({a}), o) * rotary(k, tensor<std::int64_t>({b}), o)).item();
  };
  for (bool interleaved : {false, true}) {
    CHECK(product(3, 1, interleaved) == doctest::Approx(product(102, 100, interleaved)).epsilon(1e-12));
    CHECK(product(0, 0, interleaved) == doctest::Approx(sum(q * k).item()).epsilon(1e-14));
    CHECK(product(3, 1, interleaved) != doctest::Approx(product(4, 1, interleaved)).epsilon(1e-6));
  }
  const auto same = rotary(cast<bfloat16>(q), tensor<std::int32_t>({5}));
  CHECK(array_equal(same, cast<bfloat16>(rotary(cast<float>(cast<bfloat16>(q)), tensor<std::int32_t>({5})))));
}

TEST_CASE("rotary: errors") {
  const X x = ones<float>({2, 3, 4, 6});
  const auto places = tensor<std::int32_t>({0, 1, 2});
  CHECK(message_of([&] {
          rotary(x, tensor<std::int32_t>({0, 1}));
        }) == "[rotary] (2, 3, 4, 6) x (2,): positions are one for each of 3 places: (T)");
  CHECK(message_of([&] { rotary(x, places, {.dims = 3}); }) ==
        "[rotary] (2, 3, 4, 6) x (3,): 3 channels to turn: an even number of at most 6 is needed");
  CHECK(message_of([&] { rotary(x, places, {.dims = 8}); }) ==
        "[rotary] (2, 3, 4, 6) x (3,): 8 channels to turn: an even number of at most 6 is needed");
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  CHECK(message_of([&] { rotary(x, places, {.base = 0}); }) == "[rotary] (2, 3, 4, 6) x (3,): .base is not positive");
  CHECK(message_of([&] { rotary(x, places, {.base = -inf}); }) ==
        "[rotary] (2, 3, 4, 6) x (3,): .base is not positive");
  CHECK(message_of([&] { rotary(x, places, {.base = inf}); }) == "[rotary] (2, 3, 4, 6) x (3,): .base is infinite");
  CHECK(message_of([&] { rotary(x, places, {.base = nan}); }) == "[rotary] (2, 3, 4, 6) x (3,): .base is NaN");
  CHECK(message_of([&] {
          rotary(ones<float>({3, 6}), places);
        }) == "[rotary] (3, 6) x (3,): x is (..., T, H, D): time, heads, width");
  CHECK(message_of([&] {
          rotary(x, zeros<std::int32_t>({5, 3}));
        }) == "[rotary] (2, 3, 4, 6) x (5, 3): leading axes of the positions do not broadcast to those of x");
}

}  // namespace ops_attention_test

// label: simt
// Attention and its gradients against loops in long double: sizes on both sides of a tile for each width of tiles,
// grouped heads, masks, biases repeated along each axis, windows, lengths, strides and offsets, padding of NaN and
// infinities, more blocks than a grid has, nothing to do.
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "ergo/kernels/attention_vjp.cuh"
#include "support/device_array.hpp"

namespace kernels_attention_test {

using namespace ergo::cuda;
using test::DeviceArray;
using Real = long double;

struct Sizes {
  std::int64_t l, b, t, s, h, k, n, m;
};
struct Ask {
  bool causal = false, masked = false, lengths = false, strided = false, spoilt = false;  // spoilt: what lengths hide
  std::int64_t window = 0;
  const char* bias = "";  // which of b, h, t, s it repeats along; "-": along none; "": no bias
};

// (L, B, T, H, D) on the device; strided: heads before times, two elements a channel, an offset.
template <class T>
struct Heads {
  std::int64_t shape[5];
  bool strided;
  std::vector<T> values;  // row-major
  DeviceArray<T> memory;

  // lengths: of each (l, b), where NaN and infinities begin; none: nowhere.
  Heads(std::mt19937& random, std::int64_t l, std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t d, bool s,
        const std::vector<std::int64_t>& lengths = {})
      : shape{l, b, t, h, d}, strided(s), values(drawn(random, lengths)), memory(laid_out()) {}
  View<T, 5> view() const {
    View<T, 5> v = row_major(memory.data(), {shape[0], shape[1], shape[2], shape[3], shape[4]});
    if (!strided) return v;
    v.data += 3;
    v.stride[4] = 2;
    v.stride[2] = 2 * shape[4];
    v.stride[3] = v.stride[2] * shape[2];
    v.stride[1] = v.stride[3] * shape[3];
    v.stride[0] = v.stride[1] * shape[1];
    return v;
  }
  View<const T, 5> in() const { return view(); }
  Real at(std::int64_t l, std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t d) const {
    return values[std::size_t((((l * shape[1] + b) * shape[2] + t) * shape[3] + h) * shape[4] + d)];
  }
  // What the device holds now, row-major.
  std::vector<T> now() const {
    const auto all = memory.host();
    const View<T, 5> v = view();
    std::vector<T> x;
    each([&](auto... i) { x.push_back(all[std::size_t(&v(i...) - memory.data())]); });
    return x;
  }

 private:
  template <class F>
  void each(const F& f) const {
    for (std::int64_t l = 0; l < shape[0]; ++l)
      for (std::int64_t b = 0; b < shape[1]; ++b)
        for (std::int64_t t = 0; t < shape[2]; ++t)
          for (std::int64_t h = 0; h < shape[3]; ++h)
            for (std::int64_t d = 0; d < shape[4]; ++d) f(l, b, t, h, d);
  }
  std::vector<T> drawn(std::mt19937& random, const std::vector<std::int64_t>& lengths) const {
    std::uniform_real_distribution<double> uniform(-1.5, 1.5);
    std::vector<T> x;
    each([&](auto l, auto b, auto t, auto, auto d) {
      const bool sound = lengths.empty() || t < lengths[std::size_t(l * shape[1] + b)];
      x.push_back(sound ? T(uniform(random)) : d % 2 ? std::numeric_limits<T>::infinity() : T(NAN));
    });
    return x;
  }
  std::vector<T> laid_out() const {
    if (!strided) return values;
    std::vector<T> all(2 * values.size() + 4, T(7));
    const T* const begin = all.data();
    View<T, 5> v = row_major(all.data(), {shape[0], shape[1], shape[2], shape[3], shape[4]});
    v.data += 3;
    v.stride[4] = 2;
    v.stride[2] = 2 * shape[4];
    v.stride[3] = v.stride[2] * shape[2];
    v.stride[1] = v.stride[3] * shape[3];
    v.stride[0] = v.stride[1] * shape[1];
    std::size_t i = 0;
    each([&](auto... at) { all[std::size_t(&v(at...) - begin)] = values[i++]; });
    return all;
  }
};

template <class T>
void check_all(const char* what, const std::vector<T>& got, const std::vector<Real>& expected, Real room) {
  REQUIRE(got.size() == expected.size());
  CAPTURE(what);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(Real(got[i]) - expected[i]) <= room * (1 + std::abs(expected[i]))) && wrong++ == 0) {
      CAPTURE(i);
      CHECK(double(got[i]) == double(expected[i]));
    }
  CHECK(wrong == 0);
}

template <class T>
void check_attention(const Sizes& z, const Ask& ask) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  CAPTURE(z.t);
  CAPTURE(z.s);
  CAPTURE(z.n);
  CAPTURE(z.m);
  CAPTURE(ask.bias);
  std::mt19937 random(seed);
  Stream& stream = current_stream(ergo::Device::cuda());
  const bool st = ask.strided;
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; ask.lengths && i < z.l * z.b; ++i)
    lengths.push_back(std::int64_t(random() % unsigned(z.s + 3)) - 1);
  const std::vector<std::int64_t> sound = ask.spoilt ? lengths : std::vector<std::int64_t>();
  const Heads<T> k(random, z.l, z.b, z.s, z.k, z.n, st, sound), v(random, z.l, z.b, z.s, z.k, z.m, st, sound),
      q(random, z.l, z.b, z.t, z.h, z.n, st), g(random, z.l, z.b, z.t, z.h, z.m, st),
      y(random, z.l, z.b, z.t, z.h, z.m, st), dq(random, z.l, z.b, z.t, z.h, z.n, st),
      dk(random, z.l, z.b, z.s, z.k, z.n, st), dv(random, z.l, z.b, z.s, z.k, z.m, st);
  const std::string along = ask.bias;
  const bool biased = !along.empty();
  const std::int64_t full[] = {z.b, z.h, z.t, z.s};
  std::int64_t extent[4];
  for (int d = 0; d < 4; ++d) extent[d] = along.find("bhts"[d]) != std::string::npos ? 1 : full[d];
  const std::int64_t bias_count = biased ? z.l * extent[0] * extent[1] * extent[2] * extent[3] : 0;
  std::vector<T> bias(std::size_t(bias_count), T(0));
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (T& x : bias) x = random() % 9 == 0 ? -std::numeric_limits<T>::infinity() : T(uniform(random));
  std::vector<unsigned char> mask;
  for (std::int64_t i = 0; ask.masked && i < z.l * z.b * z.h * z.t * z.s; ++i)
    mask.push_back(random() % 3 != 0 && i / z.s % 4 != 2);
  const std::int64_t rows = z.l * z.b * z.h * z.t;
  const DeviceArray<T> on_bias(bias), dbias{std::size_t(bias_count)}, kept(std::size_t(2 * rows)),
      delta{std::size_t(rows)};
  const DeviceArray<bool> on_mask(mask);
  const DeviceArray<std::int64_t> on_lengths(lengths);

  AttentionScores<T> scores{};
  scores.scale = 0.4;
  scores.window = ask.window;
  scores.causal = ask.causal;
  if (biased) {
    scores.bias = row_major<const T>(on_bias.data(), {z.l, extent[0], extent[1], extent[2], extent[3]});
    for (int d = 0; d < 4; ++d)
      if (extent[d] == 1) scores.bias.stride[d + 1] = 0;
  }
  if (ask.masked) scores.mask = row_major<const bool>(on_mask.data(), {z.l, z.b, z.h, z.t, z.s});
  if (ask.lengths) scores.lengths = row_major<const std::int64_t>(on_lengths.data(), {z.l, z.b});
  launch_attention<T>(stream, q.in(), k.in(), v.in(), scores, y.view(), kept.data());
  AttentionVjpCall<T> call{
      g.in(), q.in(),    k.in(),    v.in(),    y.in(),  row_major<const T>(kept.data(), {z.l, z.b, z.h, z.t, 2}),
      scores, dq.view(), dk.view(), dv.view(), nullptr, {}};
  if (biased) call.dbias = dbias.data();
  for (int d = 0; d < 4; ++d) call.bias_extent[d] = extent[d];
  launch_attention_vjp<T>(stream, call, delta.data());

  std::vector<Real> ey(y.values.size()), eq(q.values.size()), ek(k.values.size()), ev(v.values.size()), eb(bias.size());
  const auto index = [](std::int64_t l, std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t d,
                        const std::int64_t(&s)[5]) {
    return std::size_t((((l * s[1] + b) * s[2] + t) * s[3] + h) * s[4] + d);
  };
  for (std::int64_t l = 0; l < z.l; ++l)
    for (std::int64_t b = 0; b < z.b; ++b)
      for (std::int64_t h = 0; h < z.h; ++h)
        for (std::int64_t t = 0; t < z.t; ++t) {
          const std::int64_t kh = h / (z.h / z.k), place = t + z.s - z.t;
          const auto bias_at = [&](std::int64_t s) {
            const std::int64_t at[] = {b, h, t, s};
            std::int64_t i = l;
            for (int d = 0; d < 4; ++d) i = i * extent[d] + (extent[d] == 1 ? 0 : at[d]);
            return std::size_t(i);
          };
          std::vector<Real> w, dw(std::size_t(z.s), 0);
          Real top = -HUGE_VALL, total = 0, level = 0;
          for (std::int64_t s = 0; s < z.s; ++s) {
            Real dot = 0;
            for (std::int64_t c = 0; c < z.n; ++c) dot += q.at(l, b, t, h, c) * k.at(l, b, s, kh, c);
            dot *= 0.4L;
            if (biased) dot += bias[bias_at(s)];
            const bool seen = (!ask.causal || s <= place) && (!ask.window || std::abs(s - place) < ask.window) &&
                              (!ask.masked || mask[std::size_t((((l * z.b + b) * z.h + h) * z.t + t) * z.s + s)]) &&
                              (!ask.lengths || s < lengths[std::size_t(l * z.b + b)]);
            w.push_back(seen ? dot : -HUGE_VALL);
            top = std::fmax(top, w.back());
          }
          for (Real& x : w) total += x = x == -HUGE_VALL ? 0 : std::exp(x - top);
          for (std::int64_t s = 0; s < z.s; ++s) {
            Real& p = w[std::size_t(s)];
            p = total == 0 ? 0 : p / total;
            if (p == 0) continue;
            for (std::int64_t c = 0; c < z.m; ++c) {
              ey[index(l, b, t, h, c, y.shape)] += p * v.at(l, b, s, kh, c);
              ev[index(l, b, s, kh, c, v.shape)] += p * g.at(l, b, t, h, c);
              dw[std::size_t(s)] += g.at(l, b, t, h, c) * v.at(l, b, s, kh, c);
            }
            level += p * dw[std::size_t(s)];
          }
          for (std::int64_t s = 0; s < z.s; ++s) {
            if (w[std::size_t(s)] == 0) continue;
            const Real ds = w[std::size_t(s)] * (dw[std::size_t(s)] - level);
            if (biased) eb[bias_at(s)] += ds;
            for (std::int64_t c = 0; c < z.n; ++c) {
              eq[index(l, b, t, h, c, q.shape)] += 0.4L * ds * k.at(l, b, s, kh, c);
              ek[index(l, b, s, kh, c, k.shape)] += 0.4L * ds * q.at(l, b, t, h, c);
            }
          }
        }
  const Real room = std::is_same_v<T, double> ? 1e-13L : 3e-5L;
  check_all("y", y.now(), ey, std::is_same_v<T, double> ? 1e-14L : 4e-6L);
  check_all("dq", dq.now(), eq, room);
  check_all("dk", dk.now(), ek, room);
  check_all("dv", dv.now(), ev, room);
  if (biased) check_all("dbias", dbias.host(), eb, room);
}

TEST_CASE_TEMPLATE("lengths around a tile, each width of tiles", T, float, double) {
  for (const Sizes z : {Sizes{1, 2, 1, 1, 1, 1, 1, 1},
                        {1, 1, 31, 33, 2, 2, 5, 3},
                        {1, 1, 64, 64, 1, 1, 64, 64},
                        {2, 1, 65, 63, 1, 1, 63, 8},
                        {1, 1, 33, 130, 1, 1, 65, 20},
                        {1, 1, 17, 66, 2, 1, 128, 128},
                        {1, 1, 16, 15, 1, 1, 129, 200},
                        {1, 1, 33, 34, 1, 1, 256, 1}}) {
    check_attention<T>(z, {});
    check_attention<T>(z, {.causal = true, .strided = true});
  }
}

TEST_CASE_TEMPLATE("what queries see", T, float, double) {
  const Sizes z{2, 2, 37, 70, 2, 2, 6, 5}, late{1, 1, 70, 20, 1, 1, 4, 4};
  check_attention<T>(z, {.masked = true});
  check_attention<T>(z, {.window = 4});
  check_attention<T>(z, {.causal = true, .window = 33});
  check_attention<T>(z, {.lengths = true, .strided = true});
  check_attention<T>(z, {.causal = true, .masked = true, .lengths = true, .window = 20});
  check_attention<T>(late, {.causal = true});
  check_attention<T>(late, {.window = 3});
}

TEST_CASE_TEMPLATE("padding may hold anything, each width of tiles", T, float, double) {
  for (const Sizes z :
       {Sizes{1, 3, 33, 40, 1, 1, 5, 3}, {2, 2, 17, 66, 2, 1, 65, 20}, {1, 3, 18, 34, 1, 1, 130, 200}}) {
    check_attention<T>(z, {.lengths = true, .spoilt = true});
    check_attention<T>(z, {.causal = true, .lengths = true, .strided = true, .spoilt = true, .bias = "b"});
  }
}

TEST_CASE_TEMPLATE("grouped heads", T, float, double) {
  check_attention<T>({1, 2, 33, 35, 6, 2, 9, 7}, {.causal = true});
  check_attention<T>({2, 1, 5, 66, 4, 1, 8, 8}, {.strided = true, .bias = "b"});
}

TEST_CASE_TEMPLATE("a bias and its gradient, repeated along each axis", T, float, double) {
  for (const char* along : {"-", "b", "bh", "bht", "bhs", "ts", "bhts", "h"})
    check_attention<T>({2, 2, 35, 37, 2, 2, 4, 4}, {.bias = along});
  check_attention<T>({1, 1, 66, 70, 2, 1, 130, 4}, {.causal = true, .bias = "t"});
  check_attention<T>({1, 2, 66, 70, 1, 1, 70, 4}, {.masked = true, .bias = "s"});
}

TEST_CASE("nothing to do, and gradients of keys that no query reads") {
  check_attention<float>({1, 0, 3, 3, 1, 1, 2, 2}, {});
  check_attention<float>({1, 1, 3, 0, 1, 1, 2, 2}, {});
  check_attention<double>({1, 2, 0, 3, 2, 1, 2, 2}, {});
  check_attention<float>({1, 1, 3, 3, 1, 1, 0, 2}, {});
}

TEST_CASE("a NaN among the queries spoils its row alone") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> q(std::vector<float>{1, NAN, 2}), k(std::vector<float>{1, 2}), v(std::vector<float>{3, 5}),
      y(std::vector<float>{7, 7, 7}), kept{std::size_t(6)};
  launch_attention<float>(stream, row_major<const float>(q.data(), {1, 1, 3, 1, 1}),
                          row_major<const float>(k.data(), {1, 1, 2, 1, 1}),
                          row_major<const float>(v.data(), {1, 1, 2, 1, 1}),
                          {.bias = {}, .mask = {}, .lengths = {}, .scale = 1, .window = 0, .causal = false},
                          row_major(y.data(), {1, 1, 3, 1, 1}), kept.data());
  const auto out = y.host();
  CHECK(out[0] == doctest::Approx(3 + 2 / (1 + std::exp(-1.0))));
  CHECK(std::isnan(out[1]));
  CHECK(out[2] == doctest::Approx(3 + 2 / (1 + std::exp(-2.0))));
}

TEST_CASE("more blocks than a grid has are an Error") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> one(std::size_t(8));
  // One element, repeated: (L, B, T, H, D).
  const auto repeated = [&](std::int64_t l, std::int64_t h) {
    View<float, 5> v = row_major(one.data(), {l, 1, 1, h, 1});
    for (std::int64_t& step : v.stride) step = 0;
    return v;
  };
  const auto message_of = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const ergo::Error& e) { return e.what(); }
    return "no error";
  };
  const auto in = [&](std::int64_t l, std::int64_t h) { return View<const float, 5>(repeated(l, h)); };
  constexpr std::int64_t kMany = (std::int64_t(1) << 32) + 1;  // as an unsigned, 1
  AttentionScores<float> scores{};
  const auto forward = [&](std::int64_t l) {
    launch_attention<float>(stream, in(l, 1), in(l, 1), in(l, 1), scores, repeated(l, 1), one.data());
  };
  const auto backward = [&](std::int64_t l, std::int64_t heads, std::int64_t key_heads, std::int64_t extent) {
    const auto q = in(l, heads), k = in(l, key_heads);
    launch_attention_vjp<float>(stream,
                                {q,
                                 q,
                                 k,
                                 k,
                                 q,
                                 q,
                                 scores,
                                 repeated(l, heads),
                                 repeated(l, key_heads),
                                 repeated(l, key_heads),
                                 extent ? one.data() : nullptr,
                                 {extent, 1, 1, 1}},
                                one.data());
  };
  CHECK(message_of([&] { forward(kMany); }) ==
        "[attention] 4294967297 tiles of queries or keys are more than a grid's 2^31 - 1 blocks");
  CHECK(message_of([&] { forward(std::int64_t(1) << 31); }) ==
        "[attention] 2147483648 tiles of queries or keys are more than a grid's 2^31 - 1 blocks");
  CHECK(message_of([&] { backward(kMany << 3, 1, 1, 0); }).starts_with("[attention_vjp] 4294967297 tiles"));
  CHECK(message_of([&] { backward(1, 0, kMany, 0); }).starts_with("[attention_vjp] 4294967297 tiles"));
  CHECK(message_of([&] { backward(1, 0, 0, kMany); }).starts_with("[attention_vjp] 4294967297 tiles"));
}

}  // namespace kernels_attention_test

// Rows of attention. References are naive loops in long double over all queries and keys.
#include <cmath>

#include "ergo/ops/attention.hpp"
#include "ergo/ops/rotary.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;

// What a row asks for; the bias is an operand.
struct Ask {
  bool causal = false, masked = false, lengths = false;
  std::int64_t window = 0;
  double scale = 0;  // 0: the default
};

// Query 1 of head 0 sees nothing.
bool shows(std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t s) {
  return (b * 5 + h * 3 + t * 2 + s) % 3 != 0 && !(h == 0 && t == 1);
}
Tensor<bool> mask_of(const Shape& q, const Shape& k) {
  std::vector<unsigned char> all;
  for (std::int64_t b = 0; b < q[0]; ++b)
    for (std::int64_t h = 0; h < q[2]; ++h)
      for (std::int64_t t = 0; t < q[1]; ++t)
        for (std::int64_t s = 0; s < k[1]; ++s) all.push_back(shows(b, h, t, s));
  return from_span<std::uint8_t>(all, Shape{q[0], q[2], q[1], k[1]}) != std::uint8_t(0);
}
std::int64_t length_of(std::int64_t b, std::int64_t keys) { return b % 3 == 1 ? 0 : (keys + 1 - b % 2) / 2 + 1; }
Tensor<std::int32_t> lengths_of(const Shape& k) {
  std::vector<std::int32_t> all;
  for (std::int64_t b = 0; b < k[0]; ++b) all.push_back(std::int32_t(length_of(b, k[1])));
  return from_span<std::int32_t>(all, Shape{k[0]});
}
template <class T>
AttentionOptions<T> options_of(const Ask& ask, const Tensor<T>& q, const Tensor<T>& k) {
  AttentionOptions<T> o;
  o.causal = ask.causal;
  if (ask.masked) o.mask = mask_of(q.shape(), k.shape()).to(q.device());
  if (ask.lengths) o.lengths = lengths_of(k.shape()).to(q.device());
  o.window = ask.window;
  if (ask.scale != 0) o.scale = ask.scale;
  return o;
}

std::vector<Real> weights_of(const Doubles& x, const Ask& ask) {
  const Shape q = x[0].shape(), k = x[1].shape();
  const auto qs = x[0].to_vector(), ks = x[1].to_vector();
  const Tensor<double>* bias = x.size() > 3 ? &x[3] : nullptr;
  std::vector<Real> all;
  for (std::int64_t b = 0; b < q[0]; ++b)
    for (std::int64_t h = 0; h < q[2]; ++h)
      for (std::int64_t t = 0; t < q[1]; ++t) {
        std::vector<Real> row;
        Real total = 0, top = -HUGE_VALL;
        for (std::int64_t s = 0; s < k[1]; ++s) {
          const std::int64_t kh = h / (q[2] / k[2]), place = t + k[1] - q[1];
          Real dot = 0;
          for (std::int64_t c = 0; c < q[3]; ++c)
            dot += Real(qs[std::size_t(((b * q[1] + t) * q[2] + h) * q[3] + c)]) *
                   Real(ks[std::size_t(((b * k[1] + s) * k[2] + kh) * k[3] + c)]);
          dot *= ask.scale != 0 ? Real(ask.scale) : 1 / std::sqrt(Real(q[3]));
          if (bias) {
            const Shape bs = bias->shape();
            const std::int64_t at[] = {b, h, t, s};
            std::int64_t i = 0;
            for (int d = 0; d < bs.rank(); ++d) i = i * bs[d] + (bs[d] == 1 ? 0 : at[4 - bs.rank() + d]);
            dot += bias->to_vector()[std::size_t(i)];
          }
          const bool seen = (!ask.causal || s <= place) && (!ask.window || std::abs(s - place) < ask.window) &&
                            (!ask.masked || shows(b, h, t, s)) && (!ask.lengths || s < length_of(b, k[1]));
          row.push_back(seen ? dot : -HUGE_VALL);
          top = std::fmax(top, row.back());
        }
        for (Real& w : row) total += w = w == -HUGE_VALL ? 0 : std::exp(w - top);
        for (Real w : row) all.push_back(total == 0 ? 0 : w / total);
      }
  return all;
}
Reference weighted(const std::vector<Real>& w, const Tensor<double>& v, const Shape& p) {
  const Shape s = v.shape();
  const auto vs = v.to_vector();
  Reference r{Shape{p[0], p[2], p[1], s[3]}, {}};
  for (std::int64_t b = 0; b < p[0]; ++b)
    for (std::int64_t t = 0; t < p[2]; ++t)
      for (std::int64_t h = 0; h < p[1]; ++h)
        for (std::int64_t c = 0; c < s[3]; ++c) {
          Real sum = 0;
          for (std::int64_t k = 0; k < s[1]; ++k)
            sum += w[std::size_t(((b * p[1] + h) * p[2] + t) * s[1] + k)] *
                   Real(vs[std::size_t(((b * s[1] + k) * s[2] + h / (p[1] / s[2])) * s[3] + c)]);
          r.values.push_back(double(sum));
        }
  return r;
}
Reference attended(const Doubles& x, const Ask& ask) {
  return weighted(weights_of(x, ask), x[2], Shape{x[0].shape()[0], x[0].shape()[2], x[0].shape()[1], x[1].shape()[1]});
}
Reference pattern(const Doubles& x, const Ask& ask) {
  Reference r{Shape{x[0].shape()[0], x[0].shape()[2], x[0].shape()[1], x[1].shape()[1]}, {}};
  for (Real w : weights_of(x, ask)) r.values.push_back(double(w));
  return r;
}

template <class T>
Tensor<T> attend(const std::vector<Tensor<T>>& x, const Ask& ask) {
  AttentionOptions<T> o = options_of(ask, x[0], x[1]);
  if (x.size() > 3) o.bias = x[3];
  return attention(x[0], x[1], x[2], o);
}
template <class T>
Tensor<T> weights(const std::vector<Tensor<T>>& x, const Ask& ask) {
  return attention_pattern(x[0], x[1], options_of(ask, x[0], x[1]));
}

using Shapes = std::vector<std::vector<Shape>>;
Shape of(std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t d) { return Shape{b, t, h, d}; }
// Queries, keys, values: sizes on both sides of a tile, of widths that no register divides.
const Shapes kPlain = {{of(2, 3, 2, 3), of(2, 4, 2, 3), of(2, 4, 2, 2)},
                       {of(1, 65, 1, 5), of(1, 65, 1, 5), of(1, 65, 1, 5)},
                       {of(1, 20, 2, 17), of(1, 130, 2, 17), of(1, 130, 2, 9)},
                       {of(2, 1, 1, 8), of(2, 1, 1, 8), of(2, 1, 1, 8)},
                       {of(1, 64, 1, 16), of(1, 64, 1, 16), of(1, 64, 1, 16)}};
const Shapes kSquare = {{of(1, 4, 2, 3), of(1, 4, 2, 3), of(1, 4, 2, 2)},
                        {of(1, 70, 1, 5), of(1, 70, 1, 5), of(1, 70, 1, 5)},
                        {of(3, 2, 1, 4), of(3, 5, 1, 4), of(3, 5, 1, 4)}};
const std::vector<Shape> kLarge = {of(2, 130, 4, 32), of(2, 140, 4, 32), of(2, 140, 4, 32)};

#define ROW(title, table, f, expected, big, ...)                                  \
  [] {                                                                            \
    Case c;                                                                       \
    c.name = title;                                                               \
    c.shapes = table;                                                             \
    c.ranges = {{-1.5, 1.5}};                                                     \
    c.f64 = [](const Doubles& x) { return f(x, Ask{__VA_ARGS__}); };              \
    c.f32 = [](const Floats& x) { return f(x, Ask{__VA_ARGS__}); };               \
    c.reference = [](const Doubles& x) { return expected(x, Ask{__VA_ARGS__}); }; \
    c.order = 2;                                                                  \
    c.tolerance = 5e-6;                                                           \
    c.large = big;                                                                \
    return c;                                                                     \
  }()

template <class T>
Tensor<T> with(const std::vector<Tensor<T>>& x, const Ask&) {
  return attention_with(x[0], x[1]);
}
Reference with_reference(const Doubles& x, const Ask&) {
  std::vector<Real> w;
  for (double p : x[0].to_vector()) w.push_back(p);
  return weighted(w, x[1], x[0].shape());
}

// Rotary: positions 3 t - 4, and 5 b more where each of the batch has its own.
struct Turn {
  bool interleaved = false, own = false;
  std::int64_t dims = -1;
  double base = 10000;
};
std::int64_t place_of(std::int64_t b, std::int64_t t) { return 3 * t - 4 + 5 * b; }
template <class T>
Tensor<T> turned(const std::vector<Tensor<T>>& x, const Turn& turn) {
  const Shape s = x[0].shape();
  const RotaryOptions o{.base = turn.base, .interleaved = turn.interleaved, .dims = turn.dims};
  std::vector<std::int64_t> own;
  std::vector<std::int32_t> shared;
  for (std::int64_t t = 0; t < s[-3]; ++t) shared.push_back(std::int32_t(place_of(0, t)));
  if (!turn.own) return rotary(x[0], from_span<std::int32_t>(shared, Shape{s[-3]}).to(x[0].device()), o);
  for (std::int64_t b = 0; b < s[0]; ++b)
    for (std::int64_t t = 0; t < s[1]; ++t) own.push_back(place_of(b, t));
  return rotary(x[0], from_span<std::int64_t>(own, Shape{s[0], s[1]}).to(x[0].device()), o);
}
Reference turned_reference(const Doubles& x, const Turn& turn) {
  const Shape s = x[0].shape();
  const auto v = x[0].to_vector();
  const std::int64_t d = s[-1], dims = turn.dims < 0 ? d : turn.dims;
  Reference r{s, {v.begin(), v.end()}};
  for (std::int64_t row = 0; row < std::int64_t(v.size()) / d; ++row) {
    const std::int64_t t = row / s[-2] % s[-3], b = row / s[-2] / s[-3];
    for (std::int64_t i = 0; i < dims / 2; ++i) {
      const Real angle = Real(place_of(turn.own ? b : 0, t)) * std::pow(Real(turn.base), -2 * Real(i) / Real(dims));
      const auto first = std::size_t(row * d + (turn.interleaved ? 2 * i : i)),
                 second = std::size_t(row * d + (turn.interleaved ? 2 * i + 1 : i + dims / 2));
      r.values[first] = double(v[first] * std::cos(angle) - v[second] * std::sin(angle));
      r.values[second] = double(v[second] * std::cos(angle) + v[first] * std::sin(angle));
    }
  }
  return r;
}
#define TURN(title, table, ...)                                                            \
  [] {                                                                                     \
    Case c;                                                                                \
    c.name = title;                                                                        \
    c.shapes = table;                                                                      \
    c.f64 = [](const Doubles& x) { return turned(x, Turn{__VA_ARGS__}); };                 \
    c.f32 = [](const Floats& x) { return turned(x, Turn{__VA_ARGS__}); };                  \
    c.reference = [](const Doubles& x) { return turned_reference(x, Turn{__VA_ARGS__}); }; \
    c.large = {of(4, 130, 4, 64)};                                                         \
    return c;                                                                              \
  }()

}  // namespace

std::vector<Case> attention_cases() {
  const auto biased = [](std::initializer_list<Shape> biases) {
    Shapes all;
    int i = 0;
    for (const Shape& b : biases) {
      all.push_back(i == 0 ? std::vector<Shape>{of(2, 3, 2, 3), of(2, 4, 2, 3), of(2, 4, 2, 2), b}
                           : std::vector<Shape>{of(2, 66, 2, 5), of(2, 67, 2, 5), of(2, 67, 2, 4), b});
      ++i;
    }
    return all;
  };
  static const Shapes full = biased({Shape{2, 2, 3, 4}, Shape{2, 2, 66, 67}}),
                      planes = biased({Shape{2, 3, 4}, Shape{66, 67}}), rows = biased({Shape{2, 1, 1, 4}, Shape{67}}),
                      columns = biased({Shape{3, 1}, Shape{2, 66, 1}}), one = biased({Shape{}, Shape{2, 1, 1, 1}});
  const auto with_bias = [](const Shape& bias) {
    std::vector<Shape> x = kLarge;
    x.push_back(bias);
    return x;
  };
  static const std::vector<Shape> large_bias = with_bias(Shape{4, 130, 140}), large_plane = with_bias(Shape{130, 140}),
                                  large_row = with_bias(Shape{140}), large_column = with_bias(Shape{130, 1}),
                                  large_one = with_bias(Shape{2, 4, 1, 1}),
                                  large_group = {of(2, 130, 4, 32), of(2, 140, 2, 32), of(2, 140, 2, 32)},
                                  large_short = {of(2, 300, 4, 32), of(2, 140, 4, 32), of(2, 140, 4, 32)},
                                  large_query = {of(8, 1, 8, 64), of(8, 600, 8, 64), of(8, 600, 8, 64)},
                                  large_pattern = {of(2, 130, 4, 32), of(2, 140, 4, 32)},
                                  large_with = {Shape{2, 4, 130, 140}, of(2, 140, 4, 32)};
  static const Shapes grouped = {{of(1, 3, 4, 3), of(1, 4, 2, 3), of(1, 4, 2, 2)},
                                 {of(2, 33, 6, 5), of(2, 65, 2, 5), of(2, 65, 2, 5)},
                                 {of(1, 5, 4, 8), of(1, 5, 1, 8), of(1, 5, 1, 8)}};
  static const Shapes short_keys = {{of(1, 5, 1, 3), of(1, 3, 1, 3), of(1, 3, 1, 2)},
                                    {of(1, 140, 2, 4), of(1, 70, 2, 4), of(1, 70, 2, 4)}};
  static const Shapes query = {{of(2, 1, 2, 3), of(2, 4, 2, 3), of(2, 4, 2, 3)},
                               {of(1, 1, 2, 70), of(1, 129, 2, 70), of(1, 129, 2, 140)}};
  static const Shapes turns = {{of(2, 3, 2, 4)},
                               {Shape{5, 1, 6}},
                               {of(1, 1, 1, 70)},
                               {of(2, 9, 3, 34)},
                               {Shape{2, 2, 3, 1, 16}}},
                      batches = {{of(2, 3, 2, 4)}, {of(3, 5, 1, 18)}};
  static const Shapes patterns = {{of(2, 3, 2, 3), of(2, 4, 1, 3)}, {of(1, 9, 2, 5), of(1, 9, 2, 5)}};
  static const Shapes withs = {{Shape{2, 2, 3, 4}, of(2, 4, 1, 3)}, {Shape{1, 2, 9, 9}, of(1, 9, 2, 5)}};
  std::vector<Case> all = {
      ROW("attention", kPlain, attend, attended, kLarge),
      ROW("attention: causal", kSquare, attend, attended, kLarge, .causal = true),
      ROW("attention: masked", kSquare, attend, attended, kLarge, .masked = true),
      ROW("attention: biased", full, attend, attended, large_bias),
      ROW("attention: a bias of planes", planes, attend, attended, large_plane),
      ROW("attention: a bias of keys", rows, attend, attended, large_row),
      ROW("attention: a bias of queries", columns, attend, attended, large_column),
      ROW("attention: a bias of one", one, attend, attended, large_one),
      ROW("attention: window", kSquare, attend, attended, kLarge, .window = 3),
      ROW("attention: causal window, scaled", kSquare, attend, attended, kLarge, .causal = true, .window = 2,
          .scale = 0.7),
      ROW("attention: lengths", kSquare, attend, attended, kLarge, .lengths = true),
      ROW("attention: grouped", grouped, attend, attended, large_group),
      ROW("attention: queries before all keys", short_keys, attend, attended, large_short, .causal = true),
      ROW("attention: one query", query, attend, attended, large_query, .causal = true),
      ROW("attention_pattern", patterns, weights, pattern, large_pattern),
      ROW("attention_pattern: causal, masked", patterns, weights, pattern, large_pattern, .causal = true,
          .masked = true),
      ROW("attention_with", withs, with, with_reference, large_with),
      TURN("rotary", turns),
      TURN("rotary: interleaved", turns, .interleaved = true),
      TURN("rotary: some of the channels", turns, .dims = 2),
      TURN("rotary: some, interleaved, of another base", turns, .interleaved = true, .dims = 4, .base = 100),
      TURN("rotary: positions of each of the batch", batches, .own = true),
  };
  return all;
}
#undef ROW
#undef TURN

}  // namespace cases

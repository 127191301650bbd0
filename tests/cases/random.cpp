// Rows of the random draws. Their inputs are parameters (bounds, means, probabilities, logits), or what a draw without
// floating parameters is multiplied with, so that it must come out of every derivative as the constant it is.
// References read the words of the generator one by one; draws of double and of float use different ones.
#include <algorithm>
#include <cmath>

#include "cases/moved_elements.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/truncated_normal.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;

constexpr std::uint64_t kSeed = 11;
Key key() { return Key(kSeed); }

// Words of the key's stream: 32 bits, 64 bits.
std::uint32_t word32(std::int64_t i) { return random_block(kSeed, std::uint64_t(i / 4)).word[i % 4]; }
std::uint64_t word64(std::int64_t i) {
  const auto block = random_block(kSeed, std::uint64_t(i / 2));
  return i % 2 ? block.high() : block.low();
}

// The shape of a draw with parameters: two of each.
Shape drawn_shape(const Shape& a, const Shape& b) {
  Shape s = a;
  ergo::detail::broadcast(s, b);
  return Shape{2} + s;
}
// The elements f(i, a, b) of a draw with parameters a, b, i counting row-major.
Reference drawn(const Doubles& in, const std::function<Real(std::int64_t, Real, Real)>& f) {
  const auto a = in[0].to_vector(), b = in.back().to_vector();
  Reference r{drawn_shape(in[0].shape(), in.back().shape()), {}};
  for (std::int64_t i = 0; i < r.shape.numel(); ++i) {
    Place p(std::size_t(r.shape.rank()));
    for (std::int64_t d = r.shape.rank() - 1, rest = i; d >= 0; --d) {
      p[std::size_t(d)] = rest % r.shape[int(d)];
      rest /= r.shape[int(d)];
    }
    r.values.push_back(
        double(f(i, a[std::size_t(position(in[0].shape(), p))], b[std::size_t(position(in.back().shape(), p))])));
  }
  return r;
}
// x times the draw d(i).
Reference scaled_by(const Doubles& in, const std::function<Real(std::int64_t)>& d) {
  const auto x = in[0].to_vector();
  Reference r{in[0].shape(), {}};
  for (std::size_t i = 0; i < x.size(); ++i) r.values.push_back(double(x[i] * d(std::int64_t(i))));
  return r;
}

Real below(Real z) { return std::erfc(-z / std::sqrt(2.0L)) / 2; }
Real quantile_between(Real u, Real lo, Real hi) {  // z in [lo, hi] with the share u of their probability below it
  const Real target = below(lo) + u * (below(hi) - below(lo));
  for (int step = 0; step < 200; ++step) {
    const Real middle = (lo + hi) / 2;
    (below(middle) < target ? lo : hi) = middle;
  }
  return lo;
}

template <class T>
struct ScalarOf;
template <class T>
struct ScalarOf<std::vector<Tensor<T>>> {
  using type = T;
};

// f(in, T()) for both types.
template <class F>
Case row(const char* name, const Shapes& shapes, const std::vector<Range>& ranges, const std::vector<Shape>& large,
         int order, F, Reference (*reference)(const Doubles&)) {
  Case c;
  c.name = name;
  c.shapes = shapes;
  c.ranges = ranges;
  c.large = large;
  c.order = order;
  c.f64 = [](const Doubles& in) -> Tensor<double> { return F{}(in, double()); };
  c.f32 = [](const Floats& in) -> Tensor<float> { return F{}(in, float()); };
  c.reference = reference;
  return c;
}
Case other_in_float(Case c) {
  c.same_in_float = false;
  return c;
}
// For counting threads: the draw alone, of which no derivative asks more than its numbers.
template <class Draw>
Case alone(Case c, Draw) {
  c.bare = [](const Floats& in) {
    Draw{}(in[0].shape());
    return in[0];
  };
  c.serial_gradient = "the draw is a constant";
  return c;
}
Case serial(Case c, const char* why) {
  c.serial = why;
  return c;
}

const Shapes kPairs = {{{3}, {3}}, {{}, {}}, {{1}, {5}}, {{4, 1}, {3}}, {{0}, {1}}, {{37}, {}}};
const Shapes kOne = {{{3, 5}}, {{}}, {{1}}, {{0}}, {{37}}, {{2, 3000}}};
const std::vector<Range> kBounds = {{-2, -1}, {1, 2}}, kAny = {{-2, 2}};
const std::vector<Shape> kLarge = {{300, 301}}, kLargePair = {{300, 301}, {301}};

}  // namespace

std::vector<Case> random_cases() {
  return {
      other_in_float(row(
          "uniform", kPairs, kBounds, kLargePair, 3,
          []<class T>(const auto& in, T) {
            return uniform<T>(key(), drawn_shape(in[0].shape(), in[1].shape()), in[0], in[1]);
          },
          [](const Doubles& in) {
            return drawn(in, [](std::int64_t i, Real lo, Real hi) {
              return lo + (hi - lo) * (Real(word64(i) >> 11) * 0x1p-53L);
            });
          })),
      other_in_float(row(
          "normal", kPairs, {{-2, 2}, {0.5, 2}}, kLargePair, 3,
          []<class T>(const auto& in, T) {
            return normal<T>(key(), drawn_shape(in[0].shape(), in[1].shape()), in[0], in[1]);
          },
          [](const Doubles& in) {  // Box and Muller: a pair of numbers from a block, its halves a radius and an angle
            return drawn(in, [](std::int64_t i, Real mean, Real deviation) {
              const std::uint64_t turn = word64(i / 2 * 2 + 1);
              const Real u = Real(word64(i / 2 * 2) >> 11) * 0x1p-53L + 0x1p-54L;
              const Real angle = (Real((turn << 2) >> 11) - 0x1p52L) * 0x1p-52L * std::atan(1.0L);
              const Real radius = std::sqrt(-2 * std::log(u)) * (turn >> 63 ? -1 : 1);
              const bool sine = ((turn >> 62 & 1) != 0) == (i % 2 == 0);
              return mean + deviation * radius * (sine ? std::sin(angle) : std::cos(angle));
            });
          })),
      row(
          "truncated_normal", kPairs, kBounds, kLargePair, 3,
          []<class T>(const auto& in, T) {
            return truncated_normal<T>(key(), drawn_shape(in[0].shape(), in[1].shape()), in[0], in[1]);
          },
          [](const Doubles& in) {
            return drawn(in, [](std::int64_t i, Real lo, Real hi) {
              return quantile_between(Real(word64(i) >> 12) * 0x1p-52L + 0x1p-53L, lo, hi);
            });
          }),
      alone(other_in_float(row(
                "rademacher", kOne, kAny, kLarge, 2,
                []<class T>(const auto& in, T) { return in[0] * rademacher<T>(key(), in[0].shape()); },
                [](const Doubles& in) {
                  return scaled_by(in, [](std::int64_t i) { return word64(i) >> 63 ? -1 : 1; });
                })),
            [](const Shape& s) { rademacher(key(), s); }),
      alone(row(
                "bernoulli", kOne, {{0, 1}}, kLarge, 0,
                []<class T>(const auto& in, T) { return cast<T>(bernoulli(key(), Shape{2} + in[0].shape(), in[0])); },
                [](const Doubles& in) {
                  return drawn(in, [](std::int64_t i, Real p, Real) {
                    return Real(Real(std::int32_t(word32(i))) + 0x1p31L < p * 0x1p32L);
                  });
                }),
            [](const Shape& s) { bernoulli(key(), s, 0.5); }),
      alone(row(
                "randint", kOne, kAny, kLarge, 2,
                []<class T>(const auto& in, T) { return in[0] * cast<T>(randint(key(), in[0].shape(), -5, 17)); },
                [](const Doubles& in) {
                  return scaled_by(in, [](std::int64_t i) { return std::floor(Real(word64(i)) / 0x1p64L * 22) - 5; });
                }),
            [](const Shape& s) { randint(key(), s, -5, 17); }),
      serial(
          alone(row(
                    "permutation", {{{7}}, {{1}}, {{0}}, {{2, 513}}}, kAny, kLarge, 2,
                    []<class T>(const auto& in, T) { return in[0] * cast<T>(permutation(key(), in[0].shape()[-1])); },
                    [](const Doubles& in) {  // Fisher and Yates: from the back, element i exchanged with one of those
                                             // up to it
                      const std::int64_t n = in[0].shape()[-1];
                      std::vector<std::int64_t> order;
                      for (std::int64_t i = 0; i < n; ++i) order.push_back(i);
                      for (std::int64_t i = n; i-- > 0;)
                        std::swap(order[std::size_t(i)], order[std::size_t(Real(word64(i)) / 0x1p64L * Real(i + 1))]);
                      return scaled_by(in, [&](std::int64_t i) { return order[std::size_t(i % n)]; });
                    }),
                [](const Shape& s) { permutation(key(), s.numel()); }),
          "the exchanges of one key follow each other"),
      other_in_float(row(
          "categorical", {{{3, 5}}, {{4}}, {{1, 1}}, {{0, 3}}, {{70, 33}}}, kAny, kLarge, 0,
          []<class T>(const auto& in, T) { return cast<T>(categorical(key(), in[0])); },
          [](const Doubles& in) {  // the first to finish: E / p with E = -log(1 - u)
            const auto v = in[0].to_vector();
            const std::int64_t n = in[0].shape()[-1];
            Reference r{in[0].shape().first(in[0].rank() - 1), {}};
            for (std::int64_t i = 0; i < r.shape.numel(); ++i) {
              std::int64_t best = 0;
              Real least = HUGE_VALL;
              for (std::int64_t k = 0; k < n; ++k) {
                const Real u = Real(word64(i * n + k) >> 11) * 0x1p-53L + 0x1p-54L;
                const Real time = -std::log1p(-u) / std::exp(Real(v[std::size_t(i * n + k)]));
                if (time < least) least = time, best = k;
              }
              r.values.push_back(double(best));
            }
            return r;
          })),
  };
}

}  // namespace cases

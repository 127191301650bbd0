// Rows of the network's operations: matrix products, einsum, convolution, pooling, dropout. References are naive loops
// in long double over single elements; what a sum of K products may be off by is relative to sqrt(K) times the sum of
// the products' sizes.
#include <algorithm>
#include <cmath>

#include "cases/moved_elements.hpp"
#include "cases/sums.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/einsum.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/pooling.hpp"

namespace cases {
namespace {

using namespace ergo;

// ---- matrix products ----

Reference product_of(const Doubles& in) {
  const Shape s = in[0].shape(), t = in[1].shape();
  const bool row_vector = s.rank() == 1, column_vector = t.rank() == 1;
  const Shape left = row_vector ? Shape{1} + s : s, right = column_vector ? t + Shape{1} : t;
  const Elements a(in[0], left), b(in[1], right);
  const int gained = std::max(left.rank(), right.rank()) - 2;
  Shape lead, result;  // leading axes broadcast, from the back
  for (int d = gained; d > 0; --d) {
    const std::int64_t m = left.rank() - 2 >= d ? left[-2 - d] : 1, n = right.rank() - 2 >= d ? right[-2 - d] : 1;
    lead.push(m == 1 ? n : m);
  }
  const std::int64_t inner = left[-1];
  Reference r = sums(lead + Shape{left[-2], right[-1]}, [&](const Place& p, Sum& sum) {
    for (std::int64_t k = 0; k < inner; ++k) {
      Place at_a = p, at_b = p;
      at_a.back() = k;
      at_b[at_b.size() - 2] = k;
      sum.add(a(at_a) * b(at_b));
    }
  });
  result = lead;
  if (!row_vector) result.push(left[-2]);
  if (!column_vector) result.push(right[-1]);
  r.shape = result;
  return r;
}

Real activated(Activation f, Real x) {
  switch (f) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::gelu:
      return x * std::erfc(-x / std::sqrt(2.0L)) / 2;
    case Activation::gelu_tanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0L)) * (x + 0.044715L * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::softplus:
      return std::log1p(std::exp(x));
  }
  return x;
}
Reference dense_of(const Doubles& in, Activation activation) {
  const Elements x(in[0]), w(in[1]);
  const std::vector<double> b = in.size() > 2 ? in[2].to_vector() : std::vector<double>();
  const std::int64_t inner = w.shape[0];
  Reference r = sums(x.shape.first(x.shape.rank() - 1) + Shape{w.shape[1]}, [&](const Place& p, Sum& sum) {
    for (std::int64_t k = 0; k < inner; ++k) {
      Place at = p;
      at.back() = k;
      sum.add(x(at) * w({k, p.back()}));
    }
    if (!b.empty()) sum.add(b[std::size_t(p.back())]);
  });
  for (double& v : r.values) v = double(activated(activation, v));
  for (double& s : r.sizes) s += 1;  // of the activation's own rounding
  return r;
}
// One row for each activation, with the data of relu away from its kink.
template <Activation F>
Case dense_row(const char* name, int order) {
  Case c = row(
      name, {{{3, 4}, {4, 2}, {2}}, {{5}, {5, 3}, {3}}, {{2, 0, 4}, {4, 3}, {3}}, {{2, 3, 17}, {17, 33}, {33}}},
      {{256, 128}, {128, 192}, {192}}, [](const auto& in) { return linear(in[0], in[1], in[2], {.activation = F}); },
      [](const Doubles& in) { return dense_of(in, F); });
  c.order = order;
  if (F == Activation::relu) c.ranges = {{0.2, 1}, {0.2, 1}, {0.2, 1}};
  return c;
}

// ---- einsum ----

// The sum over every assignment of the letters; terms name all axes, a repeated letter means one index.
Reference contracted(const Doubles& in, const std::vector<std::string>& terms, const std::string& result) {
  std::string letters = result;
  for (const auto& t : terms)
    for (char c : t)
      if (letters.find(c) == std::string::npos) letters += c;
  Shape extents, kept;
  for (char c : letters) {
    std::int64_t n = 1;
    for (std::size_t i = 0; i < terms.size(); ++i)
      for (std::size_t d = 0; d < terms[i].size(); ++d)
        if (terms[i][d] == c && in[i].shape()[int(d)] != 1) n = in[i].shape()[int(d)];
    extents.push(n);
  }
  for (std::size_t d = 0; d < result.size(); ++d) kept.push(extents[int(d)]);
  std::vector<Elements> x;
  for (const auto& t : in) x.emplace_back(t);
  const Shape summed = extents.last(extents.rank() - kept.rank());
  return sums(kept, [&](const Place& p, Sum& sum) {
    for_each_place(summed, [&](const Place& q) {
      Real product = 1;
      for (std::size_t i = 0; i < terms.size(); ++i) {
        Place at;
        for (char c : terms[i]) {
          const std::size_t k = letters.find(c);
          at.push_back(k < p.size() ? p[k] : q[k - p.size()]);
        }
        product *= x[i](at);
      }
      sum.add(product);
    });
  });
}
#define CONTRACTION(...) [](const Doubles& in) { return contracted(in, __VA_ARGS__); }

// ---- convolution, pooling, dropout ----

struct Window {  // every number of a convolution or a pool written out
  std::int64_t stride[2] = {1, 1}, before[2] = {0, 0}, after[2] = {0, 0}, dilation[2] = {1, 1}, groups = 1;
  std::int64_t results(std::int64_t n, std::int64_t kernel, int axis) const {
    return (n + before[axis] + after[axis] - dilation[axis] * (kernel - 1) - 1) / stride[axis] + 1;
  }
};
// x (N, H, W, C) or (H, W, C).
Reference convolved(const Doubles& in, const Window& o) {
  const Elements x(in[0]), w(in[1]);
  const Shape s = x.shape.last(3), k = w.shape;
  const std::int64_t in_group = k[2], out_group = k[3] / o.groups;
  const Shape lead = x.shape.first(x.shape.rank() - 3);
  return sums(lead + Shape{o.results(s[0], k[0], 0), o.results(s[1], k[1], 1), k[3]}, [&](const Place& p, Sum& sum) {
    const std::size_t n = p.size();
    for_each_place({k[0], k[1], in_group}, [&](const Place& q) {
      const std::int64_t i = p[n - 3] * o.stride[0] - o.before[0] + q[0] * o.dilation[0],
                         j = p[n - 2] * o.stride[1] - o.before[1] + q[1] * o.dilation[1];
      if (i < 0 || i >= s[0] || j < 0 || j >= s[1]) return;
      Place at = p;
      at[n - 3] = i;
      at[n - 2] = j;
      at[n - 1] = p[n - 1] / out_group * in_group + q[2];
      sum.add(x(at) * w({q[0], q[1], q[2], p[n - 1]}));
    });
  });
}
#define CONVOLVE(...) [](const auto& in) { return conv2d(in[0], in[1], {__VA_ARGS__}); }
#define CONVOLVED(...) [](const Doubles& in) { return convolved(in, {__VA_ARGS__}); }

// x with elements at least 0.01 apart from their neighbours in any window, so that differences cross no tie.
template <class T>
Tensor<T> apart(const Tensor<T>& x) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T(0.05 * double((i * 37 + 11) % 101)));
  return x * T(0.01) + from_span<T>(v, x.shape());
}
// The cubes of the largest in each window.
Reference pooled(const Doubles& in, std::int64_t kh, std::int64_t kw, const Window& o) {
  const Elements x(apart(in[0]));
  const Shape s = x.shape.last(3), lead = x.shape.first(x.shape.rank() - 3);
  return cubes(lead + Shape{o.results(s[0], kh, 0), o.results(s[1], kw, 1), s[2]}, [&](const Place& p) {
    const std::size_t n = p.size();
    Real most = -HUGE_VALL;
    for_each_place({kh, kw}, [&](const Place& q) {
      const std::int64_t i = p[n - 3] * o.stride[0] - o.before[0] + q[0],
                         j = p[n - 2] * o.stride[1] - o.before[1] + q[1];
      if (i < 0 || i >= s[0] || j < 0 || j >= s[1]) return;
      Place at = p;
      at[n - 3] = i;
      at[n - 2] = j;
      most = std::max(most, x(at));
    });
    return double(most);
  });
}
template <class Op>
Case pool_row(const char* name, const Shapes& shapes, Op, Reference (*reference)(const Doubles&)) {
  Case c = moving_row(
      name, shapes, {{16, 32, 48, 8}}, [](const auto& in) { return Op{}(apart(in[0])); }, reference);
  c.bare = [](const Floats& in) -> Tensor<float> { return Op{}(in[0]); };
  return c;
}

constexpr double kDropped = 0.3;
// The cubes of what a key's words keep: word i, as a fraction of 2^32 counted from the most negative, below p drops.
Reference kept_by(std::uint64_t key, const Tensor<double>& x) {
  const auto v = x.to_vector();
  std::size_t i = 0;
  return cubes(x.shape(), [&](const Place&) {
    const auto word = random_block(key, i / 4).word[i % 4];
    const bool drops = double(std::int32_t(word)) + 0x1p31 < std::floor(kDropped * 0x1p32);
    return drops ? v[i++] * 0 : v[i++] / (1 - kDropped);
  });
}

}  // namespace

std::vector<Case> network_cases() {
  const auto product = [](const auto& in) { return matmul(in[0], in[1]); };
  std::vector<Case> all = {
      row("matmul",
          {{{3, 4}, {4, 2}}, {{1, 1}, {1, 1}}, {{17, 33}, {33, 9}}, {{0, 3}, {3, 2}}, {{3, 0}, {0, 2}},
           {{70, 65}, {65, 130}}},
          {{256, 300}, {300, 200}}, product, product_of),
      row("matmul: batched",
          {{{3, 2, 4}, {3, 4, 5}}, {{1, 1, 1}, {1, 1, 1}}, {{2, 3, 17, 9}, {2, 3, 9, 4}}, {{0, 2, 3}, {0, 3, 2}}},
          {{8, 64, 96}, {8, 96, 64}}, product, product_of),
      row("matmul: leading axes broadcast",
          {{{2, 3, 4}, {4, 5}}, {{3, 4}, {2, 4, 5}}, {{2, 1, 3, 4}, {5, 4, 2}}, {{1, 7, 9}, {3, 9, 1}},
           {{2, 0, 4}, {4, 5}}},
          {{6, 1, 64, 64}, {5, 64, 64}}, product, product_of),
      row("matmul: vectors", {{{4}, {4}}, {{1}, {1}}, {{0}, {0}}, {{37}, {37}}, {{3000}, {3000}}},
          {{200000}, {200000}}, product, product_of),
      row("matmul: vector and matrix", {{{4}, {4, 3}}, {{5}, {2, 5, 3}}, {{0}, {0, 3}}, {{65}, {65, 33}}},
          {{600}, {600, 700}}, product, product_of),
      row("matmul: matrix and vector", {{{3, 4}, {4}}, {{2, 3, 5}, {5}}, {{3, 0}, {0}}, {{33, 65}, {65}}},
          {{700, 600}, {600}}, product, product_of),
      row("matmul: skinny",
          {{{2, 40}, {40, 3}}, {{100, 2}, {2, 100}}, {{1, 64}, {64, 1}}, {{3, 1}, {1, 70}}, {{1, 5}, {5, 90}}},
          {{60000, 4}, {4, 6}}, product, product_of),
      dense_row<Activation::none>("linear", 3),
      dense_row<Activation::relu>("linear: relu", 2),
      dense_row<Activation::tanh>("linear: tanh", 3),
      dense_row<Activation::sigmoid>("linear: sigmoid", 3),
      dense_row<Activation::gelu>("linear: gelu", 3),
      dense_row<Activation::gelu_tanh>("linear: gelu_tanh", 3),
      dense_row<Activation::silu>("linear: silu", 3),
      dense_row<Activation::softplus>("linear: softplus", 3),
      row("linear: without bias", {{{3, 4}, {4, 2}}, {{5}, {5, 3}}, {{2, 3, 17}, {17, 33}}, {{3, 0}, {0, 2}}},
          {{256, 128}, {128, 192}},
          [](const auto& in) { return linear(in[0], in[1], {.activation = Activation::tanh}); },
          [](const Doubles& in) { return dense_of(in, Activation::tanh); }),

      row("einsum", {{{3, 2, 4}, {3, 4, 5}}, {{1, 1, 1}, {1, 1, 1}}, {{2, 0, 3}, {2, 3, 4}}, {{2, 17, 9}, {2, 9, 33}}},
          {{8, 64, 96}, {8, 96, 64}}, OP(einsum("bij,bjk->bik", x, y)), CONTRACTION({"bij", "bjk"}, "bik")),
      row("einsum: implicit result", {{{3, 4}, {5, 3}}, {{1, 1}, {1, 1}}, {{17, 9}, {33, 17}}},
          {{200, 300}, {260, 200}},
          OP(einsum("ki, jk", x, y)), CONTRACTION({"ki", "jk"}, "ij")),
      row("einsum: trace", {{{4, 4}}, {{1, 1}}, {{0, 0}}, {{33, 33}}}, {{700, 700}}, OP(einsum("ii", x)),
          CONTRACTION({"ii"}, "")),
      row("einsum: diagonals", {{{3, 4, 4}}, {{1, 1, 1}}, {{2, 17, 17}}}, {{700, 20, 20}}, OP(einsum("bii->ib", x)),
          CONTRACTION({"bii"}, "ib")),
      row("einsum: a diagonal in a product", {{{3, 3, 4}, {4, 2}}, {{1, 1, 1}, {1, 1}}, {{9, 9, 17}, {17, 5}}},
          {{300, 300, 2}, {2, 400}},
          OP(einsum("iij,jk->ik", x, y)), CONTRACTION({"iij", "jk"}, "ik")),
      row("einsum: outer", {{{3}, {4}}, {{1}, {1}}, {{0}, {3}}, {{17}, {33}}}, {{400}, {500}},
          OP(einsum("i,j->ji", x, y)), CONTRACTION({"i", "j"}, "ji")),
      row("einsum: elementwise", {{{3, 4}, {3, 4}}, {{1, 1}, {1, 1}}, {{17, 33}, {17, 33}}}, {{700, 500}, {700, 500}},
          OP(einsum("ij,ij->ij", x, y)), CONTRACTION({"ij", "ij"}, "ij")),
      row("einsum: sums", {{{3, 4, 2}}, {{1, 1, 1}}, {{5, 0, 2}}, {{9, 17, 33}}}, {{60, 50, 40}},
          OP(einsum("abc->b", x)), CONTRACTION({"abc"}, "b")),
      row("einsum: ellipses broadcast", {{{2, 1, 3, 4}, {5, 4, 2}}, {{3, 4}, {2, 4, 5}}, {{2, 7, 9}, {9, 4}}},
          {{6, 1, 64, 64}, {5, 64, 64}},
          OP(einsum("...ij,...jk->...ik", x, y)), [](const Doubles& in) {
            const auto wide = [](int rank) { return std::string("abcd").substr(std::size_t(6 - rank)); };
            const int rank = std::max(in[0].rank(), in[1].rank());
            return contracted(in, {wide(in[0].rank()) + "ij", wide(in[1].rank()) + "jk"}, wide(rank) + "ik");
          }),
      row("einsum: an extent of 1 broadcasts", {{{1, 4}, {3, 4}}, {{1, 1}, {2, 5}}, {{17, 1}, {17, 33}}},
          {{1, 1000}, {1200, 1000}},
          OP(einsum("ij,ij->i", x, y)), CONTRACTION({"ij", "ij"}, "i")),
      row("einsum: three operands", {{{3, 4}, {4, 2}, {2, 5}}, {{1, 1}, {1, 1}, {1, 1}}, {{9, 17}, {17, 5}, {5, 3}}},
          {{200, 150}, {150, 160}, {160, 170}},
          [](const auto& in) { return einsum("ij,jk,kl->li", in[0], in[1], in[2]); },
          CONTRACTION({"ij", "jk", "kl"}, "li")),

      row("conv2d",
          {{{2, 4, 5, 3}, {3, 2, 3, 2}}, {{5, 5, 1}, {1, 3, 1, 2}}, {{0, 4, 4, 2}, {3, 3, 2, 3}},
          {{1, 9, 17, 5}, {3, 3, 5, 17}}, {{2, 3, 3, 4}, {3, 3, 4, 33}}},
          {{4, 24, 32, 16}, {3, 3, 16, 32}}, CONVOLVE(), CONVOLVED()),
      row("conv2d: stride", {{{2, 5, 7, 2}, {3, 2, 2, 3}}, {{1, 4, 4, 1}, {2, 2, 1, 1}}, {{2, 17, 9, 5}, {3, 3, 5, 9}}},
          {{4, 48, 48, 8}, {3, 3, 8, 16}}, CONVOLVE(.stride = {2, 3}), CONVOLVED(.stride = {2, 3})),
      row("conv2d: padding",
          {{{2, 3, 4, 2}, {3, 2, 2, 3}}, {{1, 1, 1, 1}, {3, 3, 1, 2}}, {{2, 9, 9, 5}, {3, 3, 5, 17}}},
          {{4, 24, 32, 16}, {3, 3, 16, 32}}, CONVOLVE(.padding = {{2, 1}, {1, 3}}),
          CONVOLVED(.before = {2, 1}, .after = {1, 3})),
      row("conv2d: same", {{{2, 6, 4, 2}, {3, 3, 2, 3}}, {{1, 10, 8, 5}, {3, 3, 5, 9}}},
          {{4, 48, 48, 8}, {3, 3, 8, 16}},
          CONVOLVE(.stride = 2, .padding = Padding::same), CONVOLVED(.stride = {2, 2}, .after = {1, 1})),
      row("conv2d: dilation",
          {{{2, 6, 5, 2}, {3, 2, 2, 3}}, {{1, 5, 4, 1}, {3, 1, 1, 1}}, {{2, 17, 12, 5}, {3, 3, 5, 9}}},
          {{4, 32, 32, 16}, {3, 3, 16, 32}}, CONVOLVE(.padding = {1, 2}, .dilation = {2, 3}),
          CONVOLVED(.before = {1, 2}, .after = {1, 2}, .dilation = {2, 3})),
      row("conv2d: groups",
          {{{2, 4, 4, 4}, {3, 2, 2, 6}}, {{1, 2, 2, 2}, {1, 1, 1, 2}}, {{2, 9, 7, 10}, {3, 3, 5, 34}}},
          {{4, 32, 32, 16}, {3, 3, 8, 32}}, CONVOLVE(.padding = 1, .groups = 2),
          CONVOLVED(.before = {1, 1}, .after = {1, 1}, .groups = 2)),
      row("conv2d: depthwise",
          {{{2, 4, 5, 3}, {3, 3, 1, 3}}, {{1, 3, 3, 3}, {1, 2, 1, 6}}, {{2, 9, 9, 3}, {3, 3, 1, 3}}},
          {{16, 64, 64, 3}, {3, 3, 1, 3}}, CONVOLVE(.stride = {1, 2}, .padding = 1, .groups = 3),
          CONVOLVED(.stride = {1, 2}, .before = {1, 1}, .after = {1, 1}, .groups = 3)),
      row("conv2d: depthwise, wide", {{{2, 4, 3, 16}, {3, 3, 1, 16}}, {{1, 7, 5, 16}, {3, 3, 1, 16}}},
          {{8, 48, 48, 16}, {3, 3, 1, 16}},
          CONVOLVE(.padding = 1, .groups = 16), CONVOLVED(.before = {1, 1}, .after = {1, 1}, .groups = 16)),
      row("conv2d: 1 by 1",
          {{{2, 3, 4, 3}, {1, 1, 3, 2}}, {{1, 1, 1, 1}, {1, 1, 1, 1}}, {{2, 9, 5, 17}, {1, 1, 17, 33}}},
          {{4, 32, 32, 32}, {1, 1, 32, 48}}, CONVOLVE(), CONVOLVED()),

      row("activate", {{{3, 5}}, {{}}, {{0}}, {{37}}}, {{300, 301}},
          [](const auto& in) { return activate(in[0], Activation::silu); },
          [](const Doubles& in) {
            Reference r{in[0].shape(), {}};
            for (double x : in[0].to_vector()) r.values.push_back(double(activated(Activation::silu, x)));
            return r;
          }),
      pool_row("max_pool2d", {{{2, 4, 6, 2}}, {{5, 5, 1}}, {{0, 4, 4, 2}}, {{2, 9, 8, 17}}},
               [](const auto& x) { return max_pool2d(x, 2); },
               [](const Doubles& in) { return pooled(in, 2, 2, {.stride = {2, 2}}); }),
      pool_row("max_pool2d: stride, padding", {{{2, 4, 5, 2}}, {{1, 3, 2, 1}}, {{2, 11, 8, 5}}},
               [](const auto& x) { return max_pool2d(x, {3, 2}, {.stride = {1, 2}, .padding = {1, 1}}); },
               [](const Doubles& in) {
                 return pooled(in, 3, 2, {.stride = {1, 2}, .before = {1, 1}, .after = {1, 1}});
               }),
      pool_row("max_pool2d: ceil_mode", {{{2, 5, 5, 2}}, {{1, 3, 3, 1}}, {{1, 9, 7, 3}}},
               [](const auto& x) { return max_pool2d(x, 2, {.ceil_mode = true}); },
               [](const Doubles& in) { return pooled(in, 2, 2, {.stride = {2, 2}, .after = {1, 1}}); }),

      moving_row("dropout", {{{3, 5}}, {{}}, {{1}}, {{0}}, {{37}}, {{5, 1000}}}, {{300, 301}},
                 OP(dropout(Key{7}, x, kDropped)),
                 [](const Doubles& in) { return kept_by(7, in[0]); }),
  };
  for (Case& c : all) {
    if (c.name == "einsum: trace") c.serial = "reads a diagonal only";
    if (c.name == "einsum: diagonals") c.serial = "a view";
    if (c.name == "einsum: sums") c.serial_gradient = "a view of the cotangent, repeated";
    if (c.name == "activate") c.tolerance64 = 4e-15;
  }
  return all;
}
#undef CONTRACTION
#undef CONVOLVE
#undef CONVOLVED

}  // namespace cases

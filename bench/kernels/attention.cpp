// Rows of attention, whose work is its products, and of rotary. The vjp is of all operands: five products where the
// value has two, as the weights are made again.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/attention.hpp"
#include "ergo/ops/rotary.hpp"

namespace bench {
namespace {

// q (B, T, H, D), k and v (B, T, K, D).
template <class T, class F>
void add_attention(Rows& rows, const std::string& op, const Shape& q, std::int64_t heads, bool causal, F f,
                   const Shape& bias = {}) {
  const Shape k{q[0], q[1], heads, q[3]};
  const double own = (2 * elements(q) + 2 * elements(k)) * sizeof(T), extra = bias.rank() ? elements(bias) : 0;
  Of of{.op = op,
        .operands = {q, k, k},
        .bytes = own + extra * sizeof(T),
        .vjp_bytes = 2 * own + 2 * extra * sizeof(T),
        .flops = 4 * elements(q) * double(q[1]) / (causal ? 2 : 1)};
  of.vjp_flops = 2.5 * of.flops;
  if (bias.rank()) of.operands.push_back(bias);
  add_function<T>(rows, of, f);
}

template <class T>
void add_all(Rows& rows, bool tiny) {
  using P = Operands<T>;
  const auto plain = [](const P& p) { return attention(p[0], p[1], p[2]); };
  const auto causal = [](const P& p) { return attention(p[0], p[1], p[2], {.causal = true}); };
  const Shape s = tiny ? Shape{1, 20, 2, 8} : Shape{8, 1024, 16, 64};
  add_attention<T>(rows, "attention", s, s[2], false, plain);
  add_attention<T>(rows, "attention causal", s, s[2], true, causal);
  const Shape wide = tiny ? Shape{1, 20, 2, 72} : Shape{4, 1024, 16, 128};
  add_attention<T>(rows, "attention causal", wide, wide[2], true, causal);
  add_attention<T>(rows, "attention of grouped heads", s, s[2] / (tiny ? 2 : 4), false, plain);
  add_attention<T>(
      rows, "attention with bias", s, s[2], false,
      [](const P& p) { return attention(p[0], p[1], p[2], {.bias = p[3]}); }, Shape{1, s[2], s[1], s[1]});

  // At random places, which cost what places in order do.
  const Shape turned = tiny ? Shape{1, 6, 2, 8} : Shape{8, 2048, 16, 64};
  const double bytes = elements(turned) * sizeof(T);
  for (const bool interleaved : {false, true})
    add_function<T>(rows,
                    {.op = interleaved ? "rotary interleaved" : "rotary",
                     .operands = {turned},
                     .bytes = 2 * bytes,
                     .vjp_bytes = 2 * bytes,
                     .ids = {turned[1]},
                     .below = turned[1]},
                    [=](const P& p, const Ids& places) { return rotary(p[0], places, {.interleaved = interleaved}); });
}

}  // namespace

void add_attention(Rows& rows, bool tiny) {
  add_all<float>(rows, tiny);
  add_all<bfloat16>(rows, tiny);
}

}  // namespace bench

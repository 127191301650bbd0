// attention: y = softmax(scale q k' + bias) v for every head, without the weights (T, S) in memory: forward and the
// first-order gradients go through tiles of them on both devices and keep two numbers a row. Higher orders and forward
// mode go through attention_pattern and attention_with, the same in two steps.
#pragma once

#include <cmath>
#include <optional>
#include <utility>

#include "ergo/ops/attention_form.hpp"

namespace ergo::inline ERGO_BUILD {

// Lengths (B) of any integer type.
struct SequenceLengths {
  Tensor<std::int64_t> value;
  SequenceLengths() = default;
  template <Index I>
  SequenceLengths(const Tensor<I>& x) : value(cast<std::int64_t>(x)) {}
};

// A number of keys of any integer type; one beyond 2^63 - 1 is that, and so more than there are.
struct AttentionWindow {
  std::int64_t value;
  template <Integer I>
  constexpr AttentionWindow(I n) : value(std::in_range<std::int64_t>(n) ? std::int64_t(n) : kMost) {}

 private:
  static constexpr std::int64_t kMost = 0x7fffffffffffffff;
};

template <class T>
struct AttentionOptions {
  bool causal = false;               // a query sees keys up to its own place; the last query stands beside the last key
  Tensor<bool> mask = {};            // true takes part; broadcasts to (B, H, T, S)
  Tensor<T> bias = {};               // added to the scaled products; the same
  std::optional<double> scale = {};  // 1 / sqrt(D) if not given
  AttentionWindow window = 0;        // keys less than so many places away, the own place counted; 0: all
  SequenceLengths lengths = {};      // (B): keys from there on are padding
};

namespace detail {

// The options as attention's operations take them: operands of rank 4, empty ones where there are none.
template <class T>
struct AttentionCall {
  AttentionForm form;
  Tensor<T> bias;
  Tensor<bool> mask;
  Tensor<std::int64_t> lengths;

  // v, if there is one, beside q and k.
  AttentionCall(const char* op, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>* v,
                const AttentionOptions<T>& options)
      : form{}, bias(options.bias), mask(options.mask), lengths(options.lengths.value) {
    form.bias = bias.defined();
    form.mask = mask.defined();
    form.lengths = lengths.defined();
    Array* in[6] = {&q.array(), &k.array()};
    int count = 2;
    if (v) in[count++] = &v->array();
    if (form.bias) in[count++] = &bias.array();
    if (form.mask) in[count++] = &mask.array();
    if (form.lengths) in[count++] = &lengths.array();
    same_device(op, in, count);
    const auto refuse = [&](const Message& why) { fail(op, in, count, why); };
    if (q.rank() != 4 || k.rank() != 4 || (v && v->rank() != 4))
      refuse("q, k and v are (B, T, H, D): batch, time, heads, width");
    const Shape a = q.shape(), b = k.shape(), c = v ? v->shape() : b;
    if (a[0] != b[0] || a[0] != c[0]) refuse("q, k and v must have one batch");
    if (b[1] != c[1]) refuse({"keys and values have lengths ", b[1], " and ", c[1]});
    if (a[3] != b[3]) refuse({"queries and keys have widths ", a[3], " and ", b[3]});
    if (b[2] != c[2]) refuse({"keys and values have ", b[2], " and ", c[2], " heads"});
    if (b[2] == 0 ? a[2] != 0 : a[2] % b[2] != 0)
      refuse({a[2], " heads of queries are no multiple of ", b[2], " heads of keys"});
    const Shape scores{a[0], a[2], a[1], b[1]};
    if (form.bias) bias = beside(bias, scores, refuse, "the bias does not broadcast to (B, H, T, S)");
    if (form.mask) mask = beside(mask, scores, refuse, "the mask does not broadcast to (B, H, T, S)");
    if (form.lengths && lengths.shape() != Shape{a[0]}) refuse("lengths are one for each of the batch, (B)");
    std::int64_t window = options.window.value;
    if (window < 0) refuse({"the window ", window, " is negative"});
    if (window >= a[1] + b[1]) window = 0;  // as much as all; so sums with it stay small
    const double scale = options.scale ? *options.scale : a[3] ? 1 / std::sqrt(double(a[3])) : 1.0;
    form.rule = {scale, window, options.causal};
    const auto none = [&](DType d, const Shape& s) { return Array::make(d, s, q.device()); };
    if (!form.bias) bias = Tensor<T>(none(dtype_of<T>, Shape{0, 0, 0, 0}));
    if (!form.mask) mask = Tensor<bool>(none(DType::boolean, Shape{0, 0, 0, 0}));
    if (!form.lengths) lengths = Tensor<std::int64_t>(none(DType::int64, Shape{0}));
  }

 private:
  template <class U, class Refuse>
  static Tensor<U> beside(const Tensor<U>& x, const Shape& scores, const Refuse& refuse, const char* why) {
    Shape s = scores;
    if (x.rank() > 4 || !broadcast(s, x.shape()) || s != scores) refuse(why);
    Shape wide;
    for (int d = x.rank(); d < 4; ++d) wide.push(1);
    return x.rank() == 4 ? x : in_shape(x, wide + x.shape());
  }
};

template <class T, class C>
AttentionOptions<C> options_of(const AttentionOptions<T>& o) {
  return {o.causal, o.mask, o.bias.defined() ? cast<C>(o.bias) : Tensor<C>(), o.scale, o.window, o.lengths};
}

}  // namespace detail

// softmax(scale q k' + bias) v of q (B, T, H, D), k (B, S, K, D), v (B, S, K, M), with H a multiple of K: (B, T, H, M).
// A query that sees no key gives 0, with zero gradients; a bias of -infinity hides a key. A hidden key is absent: its
// gradients are 0, and NaN or infinity in it, or in a query that does not see it, reach nothing across (in forward mode
// and higher orders this holds of padding, by .lengths). A key whose weight rounds to 0 may count as hidden. Products
// and sums of the 16-bit types are in float. There is no .dropout. On a CUDA device D and M are at most 256; over 64,
// blocks take up to 149 KiB of shared memory, which sm_80 and sm_90 have, but sm_86 and sm_89 have not: an Error there.
template <class T>
Tensor<T> attention(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                    const AttentionOptions<std::type_identity_t<T>>& options = {}) {
  static_assert(Floating<T>, "attention: floating elements are needed: cast<float>(x) first");
  if constexpr (!Floating<T>) {
    return q;
  } else if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    return cast<T>(attention(cast<C>(q), cast<C>(k), cast<C>(v), detail::options_of<T, C>(options)));
  } else {
    const detail::AttentionCall<T> call("attention", q, k, &v, options);
    constexpr std::int64_t kMost = 256;  // of the kernels
    if (!q.device().is_cpu() && (q.shape()[3] > kMost || v.shape()[3] > kMost)) {
      detail::Array* in[] = {&q.array(), &k.array(), &v.array()};
      detail::fail("attention", in, 3, "on a CUDA device heads are at most 256 wide");
    }
    return fused_op(detail::Attention{call.form}, q, k, v, call.bias, call.mask, call.lengths);
  }
}

// The weights softmax(scale q k' + bias) themselves, (B, H, T, S): for analysis, as they fill memory.
template <class T>
Tensor<T> attention_pattern(const Tensor<T>& q, const Tensor<T>& k,
                            const AttentionOptions<std::type_identity_t<T>>& options = {}) {
  static_assert(Floating<T>, "attention_pattern: floating elements are needed: cast<float>(x) first");
  if constexpr (!Floating<T>) {
    return q;
  } else if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    return cast<T>(attention_pattern(cast<C>(q), cast<C>(k), detail::options_of<T, C>(options)));
  } else {
    const detail::AttentionCall<T> call("attention_pattern", q, k, nullptr, options);
    return call.form.weights(q, k, call.bias, call.mask, call.lengths);
  }
}

// What weights (B, H, T, S) make of values (B, S, K, M): (B, T, H, M).
template <class T>
Tensor<T> attention_with(const Tensor<T>& pattern, const Tensor<T>& v) {
  static_assert(Floating<T>, "attention_with: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&pattern.array(), &v.array()};
    detail::same_device("attention_with", in, 2);
    const auto refuse = [&](const Message& why) { detail::fail("attention_with", in, 2, why); };
    if (pattern.rank() != 4 || v.rank() != 4) refuse("the pattern is (B, H, T, S) and v (B, S, H, D)");
    const Shape &a = pattern.shape(), &b = v.shape();
    if (a[0] != b[0]) refuse("pattern and v must have one batch");
    if (a[3] != b[1]) refuse({"pattern and v have ", a[3], " and ", b[1], " keys"});
    if (b[2] == 0 ? a[1] != 0 : a[1] % b[2] != 0)
      refuse({a[1], " heads of queries are no multiple of ", b[2], " heads of values"});
    return detail::AttentionForm::values(pattern, v);
  } else {
    return v;
  }
}

}  // namespace ergo::inline ERGO_BUILD

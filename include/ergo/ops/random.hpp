// Random draws: uniform normal rademacher bernoulli, and by random_integer.hpp randint permutation. Each is a function
// of its key (ops/key.hpp); element i depends on the key and i alone, so a longer draw begins with the shorter one, and
// the bits do not depend on threads. A parameter may be a number or a tensor that broadcasts to the shape; location and
// scale are applied outside the draw, so derivatives flow to them. Draws themselves are constants to every transform.
#pragma once

#include "ergo/ops/random_draw.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD {

// Uniform on [lo, hi), lo < hi; never hi after rounding.
template <Floating T = float, detail::ParameterOf<T> A = int, detail::ParameterOf<T> B = int>
Tensor<T> uniform(const Key& key, const Shape& shape, const A& lo = 0, const B& hi = 1) {
  using C = Compute<T>;
  if constexpr (!is_tensor<A> && !is_tensor<B>) {
    const C low = C(convert<T>(lo)), high = C(convert<T>(hi));
    if (!(low < high) || !(high - low < C(__builtin_inf())))
      throw_error({"[uniform] bounds ", low, " and ", high, ": the first must be below the second, both finite"});
    if (sizeof(T) >= 4 || (low == 0 && high == 1))
      return detail::draw<T>("uniform", cpu::UniformDraw<C, detail::uniform_bits<T>>{low, high}, key, shape);
  }
  const Tensor<T> u = detail::draw<T>("uniform", cpu::UniformDraw<C, detail::uniform_bits<T>>{}, key, shape);
  const Tensor<T> low = detail::parameter<T>("uniform", lo, shape), high = detail::parameter<T>("uniform", hi, shape);
  const Tensor<T> x = low + detail::require("uniform", high - low, detail::Requirement::positive_finite, "hi - lo") * u;
  return where(x < high, x, low);
}

// Normal of mean `mean` and standard deviation `deviation` >= 0.
template <Floating T = float, detail::ParameterOf<T> A = int, detail::ParameterOf<T> B = int>
Tensor<T> normal(const Key& key, const Shape& shape, const A& mean = 0, const B& deviation = 1) {
  using C = Compute<T>;
  if constexpr (!is_tensor<A> && !is_tensor<B>) {
    const C m = C(convert<T>(mean)), d = C(convert<T>(deviation));
    if (!(d >= 0)) throw_error({"[normal] the standard deviation ", d, " is negative or NaN"});
    return detail::draw<T>("normal", cpu::NormalDraw<C>{m, d}, key, shape);
  } else {
    const Tensor<T> z = detail::draw<T>("normal", cpu::NormalDraw<C>{}, key, shape);
    const Tensor<T> m = detail::parameter<T>("normal", mean, shape);
    const Tensor<T> d = detail::parameter<T>("normal", deviation, shape);
    return m + detail::require("normal", d, detail::Requirement::not_negative, "the standard deviation") * z;
  }
}

// -1 or 1 with probability 1/2 each.
template <Floating T = float>
Tensor<T> rademacher(const Key& key, const Shape& shape) {
  return detail::draw<T>("rademacher", cpu::SignDraw<Compute<T>>{}, key, shape);
}

namespace detail {
struct Below {  // a word, as a fraction of 2^32, is below p
  static constexpr auto name = "bernoulli";
  template <class W, class A>
  static ERGO_INLINE constexpr auto value(const W& word, const A& p) {
    return word.template to<double>() + A(0x1p31) < p * A(0x1p32);
  }
};
}  // namespace detail

// True with probability p, a number or a tensor of floating elements in [0, 1].
template <Floating T>
Tensor<bool> bernoulli(const Key& key, const Shape& shape, const Tensor<T>& p) {
  const Tensor<T> fits = detail::parameter<T>("bernoulli", p, shape);
  const Tensor<T> q = detail::require("bernoulli", fits, detail::Requirement::probability, "the probability");
  return pointwise_op(detail::Below{}, detail::draw<std::int32_t>("bernoulli", cpu::WordDraw{}, key, shape),
                      cast<double>(q));
}
template <Number P>
Tensor<bool> bernoulli(const Key& key, const Shape& shape, P p) {
  return bernoulli(key, shape, Tensor<double>(double(p)));
}

namespace tree {

// Trees like a: each learned leaf standard normal, or -1 and 1, from a key of its own.
template <class A>
A normal_like(const Key& key, const A& a) {
  std::int64_t leaf = 0;
  return tree::map([&]<class T>(const Tensor<T>& x) { return ergo::normal<T>(fold_in(key, leaf++), x.shape()); }, a);
}
template <class A>
A rademacher_like(const Key& key, const A& a) {
  std::int64_t leaf = 0;
  return tree::map([&]<class T>(const Tensor<T>& x) { return ergo::rademacher<T>(fold_in(key, leaf++), x.shape()); },
                   a);
}

}  // namespace tree
}  // namespace ergo::inline ERGO_BUILD

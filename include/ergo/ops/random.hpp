// Random draws: uniform normal rademacher bernoulli randint permutation. Each is a function of its key (ops/key.hpp); element
// i depends on the key and i alone, so a longer draw begins with the shorter one, and the bits do not depend on threads. A
// parameter may be a number or a tensor that broadcasts to the shape; location and scale are applied outside the draw, so
// derivatives flow to them. Draws themselves are constants to every transform.
#pragma once

#include "ergo/cpu/random.hpp"
#include "ergo/ops/key.hpp"
#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {

template <class T, class P>
concept ParameterOf = Number<P> || std::is_same_v<P, T> || std::is_same_v<P, Tensor<T>>;

// The elements of a cpu draw, of shape `shape` for each key; Out is stored as Kind's type is, or rounded from it.
template <class Out, class Kind>
struct DrawOp {
  static constexpr auto name = "random";
  static constexpr bool constant = true;
  Kind kind;
  Shape shape;
  Tensor<Out> value(const Tensor<std::int64_t>& keys) const {
    using T = typename Kind::value_type;
    constexpr bool rounds = sizeof(Out) != sizeof(T);
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(rounds ? DType::float32 : dtype_of<Out>, keys.shape() + shape);
    cpu::draw(kind, data_of<std::int64_t>(*k), k->numel(), shape.numel(), data_of<T>(*r));
    if constexpr (rounds) r = cpu::narrowed(*r, dtype_of<Out>);
    return Tensor<Out>(on_device(std::move(r), default_device()));
  }
};
template <class Out, class Kind>
Tensor<Out> draw(const char* op, const Kind& kind, const Key& key, const Shape& shape) {
  check_one_key(op, key);
  shape.numel();  // an Error if it overflows or an extent is negative
  return linear_op(DrawOp<Out, Kind>{kind, shape}, key.material);
}

// The random bits that fill T's fraction, so that [0, 1) never rounds to 1.
template <class T>
inline constexpr int uniform_bits = std::is_same_v<T, half> ? 11 : std::is_same_v<T, bfloat16> ? 8 : sizeof(T) == 4 ? 24 : 53;

// The identity that refuses elements out of range, whatever transforms are open: derivatives pass.
enum class Requirement { positive, positive_finite, not_negative, probability };
struct RequireOp final : CopiedOp<RequireOp> {
  Requirement what;
  const char* quantity;
  RequireOp(const char* op, Requirement r, const char* q) : CopiedOp(op, 1), what(r), quantity(q) { uses = Uses::nothing; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const override {
    const Ref<Array> a = readable(name, *x[0]);
    with_floating(a->dtype, [&]<class T>(T) {
      const T* p = data_of<T>(*a);
      for (std::int64_t i = 0, n = a->numel(); i < n; ++i)
        if (const double v = double(p[i]); !holds(v)) fail_at(*a, i, v);
    });
    y[0] = Ref<Array>::share(x[0]);
  }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const override {
    if (wanted[0]) dx[0] = Ref<Array>::share(g[0]);
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const override {
    if (t[0]) ty[0] = Ref<Array>::share(t[0]);
  }

 private:
  bool holds(double v) const {
    switch (what) {
      case Requirement::positive: return v > 0;
      case Requirement::positive_finite: return v > 0 && v < __builtin_inf();
      case Requirement::not_negative: return v >= 0 && v < __builtin_inf();
      case Requirement::probability: return v >= 0 && v <= 1;
    }
    return false;
  }
  [[noreturn, gnu::cold]] void fail_at(const Array& a, std::int64_t i, double v) const {
    Shape at = a.shape;
    for (int d = at.rank(); d-- > 0; i /= a.shape[d]) at[d] = i % a.shape[d];
    fail(name, a, std::string(quantity) + " is " + digits_of("%.*g", 6, v) + (at.rank() ? " at " + to_string(at) : "") + ", not " +
                      (what == Requirement::positive          ? "positive"
                       : what == Requirement::positive_finite ? "positive and finite"
                       : what == Requirement::not_negative    ? "finite and at least 0"
                                                              : "in [0, 1]"));
  }
};
template <class T>
Tensor<T> require(const char* op, const Tensor<T>& x, Requirement what, const char* quantity) {
  Array* in[] = {&x.array()};
  return Tensor<T>(dispatch1(RequireOp(op, what, quantity), in));
}

// A parameter as a tensor that broadcasts to `shape`.
template <class T, class P>
Tensor<T> parameter(const char* op, const P& p, const Shape& shape) {
  if constexpr (is_tensor<P>) {
    Shape s = shape;
    if (!broadcast(s, p.shape()) || s != shape)
      fail(op, p.array(), "this parameter does not broadcast to the shape " + to_string(shape));
    return p;
  } else {
    return Tensor<T>(convert<T>(p));
  }
}
template <class T, class P>
inline constexpr bool is_plain = !is_tensor<P> && (std::is_same_v<T, float> || std::is_same_v<T, double>);

}  // namespace detail

// Uniform on [lo, hi), lo < hi; never hi after rounding.
template <Floating T = float, class A = int, class B = int>
  requires detail::ParameterOf<T, A> && detail::ParameterOf<T, B>
Tensor<T> uniform(const Key& key, const Shape& shape, const A& lo = 0, const B& hi = 1) {
  using C = Compute<T>;
  if constexpr (!is_tensor<A> && !is_tensor<B>) {
    const C low = C(convert<T>(lo)), high = C(convert<T>(hi));
    if (!(low < high) || !(high - low < C(__builtin_inf())))
      throw Error("[uniform] bounds " + detail::digits_of("%.*g", 6, low) + " and " + detail::digits_of("%.*g", 6, high) +
                  ": the first must be below the second, both finite");
    if (detail::is_plain<T, A> || (low == 0 && high == 1))
      return detail::draw<T>("uniform", cpu::UniformDraw<C, detail::uniform_bits<T>>{low, high}, key, shape);
  }
  const Tensor<T> u = detail::draw<T>("uniform", cpu::UniformDraw<C, detail::uniform_bits<T>>{}, key, shape);
  const Tensor<T> low = detail::parameter<T>("uniform", lo, shape), high = detail::parameter<T>("uniform", hi, shape);
  const Tensor<T> x = low + detail::require("uniform", high - low, detail::Requirement::positive_finite, "hi - lo") * u;
  return where(x < high, x, low);
}

// Normal of mean `mean` and standard deviation `deviation` >= 0.
template <Floating T = float, class A = int, class B = int>
  requires detail::ParameterOf<T, A> && detail::ParameterOf<T, B>
Tensor<T> normal(const Key& key, const Shape& shape, const A& mean = 0, const B& deviation = 1) {
  using C = Compute<T>;
  if constexpr (!is_tensor<A> && !is_tensor<B>) {
    const C m = C(convert<T>(mean)), d = C(convert<T>(deviation));
    if (!(d >= 0)) throw Error("[normal] the standard deviation " + detail::digits_of("%.*g", 6, d) + " is negative or NaN");
    return detail::draw<T>("normal", cpu::NormalDraw<C>{m, d}, key, shape);
  } else {
    const Tensor<T> z = detail::draw<T>("normal", cpu::NormalDraw<C>{}, key, shape);
    const Tensor<T> m = detail::parameter<T>("normal", mean, shape), d = detail::parameter<T>("normal", deviation, shape);
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
  static ERGO_INLINE auto value(const W& word, const A& p) {
    return word.template to<double>() + A(0x1p31) < p * A(0x1p32);
  }
};
}  // namespace detail

// True with probability p, a number or a tensor of floating elements in [0, 1].
template <Floating T>
Tensor<bool> bernoulli(const Key& key, const Shape& shape, const Tensor<T>& p) {
  const Tensor<T> fits = detail::parameter<T>("bernoulli", p, shape);
  const Tensor<T> q = detail::require("bernoulli", fits, detail::Requirement::probability, "the probability");
  return pointwise_op(detail::Below{}, detail::draw<std::int32_t>("bernoulli", cpu::WordDraw{}, key, shape), cast<double>(q));
}
template <class P>
  requires Number<P>
Tensor<bool> bernoulli(const Key& key, const Shape& shape, P p) {
  return bernoulli(key, shape, Tensor<double>(double(p)));
}

namespace detail {

// floor(range w / 2^64) for a uniform 64-bit w = first; w has 64 bits more behind them, `second`, where range exceeds 2^32.
// Every value of [0, range) has its share to within 2^-32 of it.
__extension__ typedef unsigned __int128 Wide;
inline std::uint64_t scaled(std::uint64_t range, std::uint64_t first) { return std::uint64_t(Wide(range) * first >> 64); }
inline std::uint64_t scaled(std::uint64_t range, std::uint64_t first, std::uint64_t second) {
  return std::uint64_t((Wide(range) * first + (Wide(range) * second >> 64)) >> 64);
}

// n random 64-bit words of a key's stream, beginning with block `first`.
inline void draw_wide_words(std::uint64_t key, std::uint64_t first, std::uint64_t* words, std::int64_t n) {
  std::uint32_t half[1024];
  for (std::int64_t at = 0; at < n; at += 512, first += 256) {
    const std::int64_t count = n - at < 512 ? n - at : 512;
    cpu::draw_run(cpu::WordDraw{}, key, first, half, 2 * count);
    for (std::int64_t i = 0; i < count; ++i) words[at + i] = half[2 * i] | std::uint64_t(half[2 * i + 1]) << 32;
  }
}

template <class T>
struct RandomIntegers {
  static constexpr auto name = "randint";
  static constexpr bool constant = true;
  std::int64_t low;
  std::uint64_t range;
  Shape shape;
  Tensor<T> value(const Tensor<std::int64_t>& keys) const {
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(dtype_of<T>, keys.shape() + shape);
    const std::int64_t each = shape.numel(), lanes = k->numel();
    constexpr std::int64_t kChunk = 1024;
    const std::int64_t chunks = (each + kChunk - 1) / kChunk;
    parallel_for(lanes * chunks, 16, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t words[2 * kChunk];
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t lane = i / chunks, from = i % chunks * kChunk, n = each - from < kChunk ? each - from : kChunk;
        const auto key = std::uint64_t(data_of<std::int64_t>(*k)[lane]), first = std::uint64_t(low);
        T* y = data_of<T>(*r) + lane * each + from;
        if (range >> 32) {
          draw_wide_words(key, std::uint64_t(from), words, 2 * n);
          for (std::int64_t j = 0; j < n; ++j) y[j] = T(first + scaled(range, words[2 * j], words[2 * j + 1]));
        } else {
          draw_wide_words(key, std::uint64_t(from / 2), words, n);
          for (std::int64_t j = 0; j < n; ++j) y[j] = T(first + scaled(range, words[j]));
        }
      }
    });
    return Tensor<T>(on_device(std::move(r), default_device()));
  }
};

// 0 ... n - 1 in random order, for each key: Fisher and Yates' exchanges from the back, number i with word i.
template <class T>
struct Permutation {
  static constexpr auto name = "permutation";
  static constexpr bool constant = true;
  std::int64_t n;
  Tensor<T> value(const Tensor<std::int64_t>& keys) const {
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(dtype_of<T>, keys.shape() + Shape{n});
    parallel_for(k->numel(), 1 + 16384 / (n + 1), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t lane = begin; lane < end; ++lane)
        shuffle(std::uint64_t(data_of<std::int64_t>(*k)[lane]), data_of<T>(*r) + lane * n);
    });
    return Tensor<T>(on_device(std::move(r), default_device()));
  }

 private:
  void shuffle(std::uint64_t key, T* y) const {
    for (std::int64_t i = 0; i < n; ++i) y[i] = T(i);
    constexpr std::int64_t kChunk = 512;
    std::uint64_t words[kChunk];
    for (std::int64_t from = (n - 1) / kChunk * kChunk; from >= 0; from -= kChunk) {
      const std::int64_t end = n - from < kChunk ? n : from + kChunk;
      draw_wide_words(key, std::uint64_t(from / 2), words, end - from);
      for (std::int64_t i = end; i-- > from;) {
        const auto j = std::int64_t(scaled(std::uint64_t(i) + 1, words[i - from]));
        const T other = y[j];
        y[j] = y[i];
        y[i] = other;
      }
    }
  }
};

}  // namespace detail

// Integers of [lo, hi), each with the same probability to within 2^-32 of it.
template <Index T = std::int32_t, Integer A, Integer B>
Tensor<T> randint(const Key& key, const Shape& shape, A lo, B hi) {
  detail::check_one_key("randint", key);
  shape.numel();
  if (!std::cmp_less(lo, hi))
    throw Error("[randint] bounds " + std::to_string(lo) + " and " + std::to_string(hi) + ": the first must be below the second");
  if (!std::in_range<T>(lo) || !std::in_range<T>(hi - 1))
    throw Error("[randint] bounds " + std::to_string(lo) + " and " + std::to_string(hi) + " do not fit " +
                to_string(dtype_of<T>) + ": randint<int64_t>(...)");
  const detail::RandomIntegers<T> op{std::int64_t(lo), std::uint64_t(hi) - std::uint64_t(lo), shape};
  return linear_op(op, key.material);
}

// The numbers 0 ... n - 1 in random order, every order with the same probability.
template <Index T = std::int32_t>
Tensor<T> permutation(const Key& key, AnyInteger n) {
  detail::check_one_key("permutation", key);
  if (n < 0) throw Error("[permutation] " + std::to_string(n) + " elements: the number must not be negative");
  if (n > 0 && !std::in_range<T>(n - 1))
    throw Error("[permutation] " + std::to_string(n) + " elements do not fit " + to_string(dtype_of<T>) +
                ": permutation<int64_t>(key, n)");
  return linear_op(detail::Permutation<T>{n}, key.material);
}

namespace tree {

// Trees like a: each learned leaf standard normal, or -1 and 1, from a key of its own.
template <class A>
A normal_like(const Key& key, const A& a) {
  std::int64_t leaf = 0;
  return map([&]<class T>(const Tensor<T>& x) { return ergo::normal<T>(fold_in(key, leaf++), x.shape()); }, a);
}
template <class A>
A rademacher_like(const Key& key, const A& a) {
  std::int64_t leaf = 0;
  return map([&]<class T>(const Tensor<T>& x) { return ergo::rademacher<T>(fold_in(key, leaf++), x.shape()); }, a);
}

}  // namespace tree
}  // namespace ergo::inline ERGO_BUILD

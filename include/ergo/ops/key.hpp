// Keys: randomness as a value. A draw is a function of its key, so nothing is hidden or advanced: the same key gives
// the same numbers, a new key comes from `split` or `fold_in`. A key is a tree with one leaf of 64-bit material; a
// batch of keys has material of shape (n,), and `vmap` maps it, drawing for each key what a loop would, bit for bit.
//
//   Key key{42};
//   auto [a, b] = split(key);               // two independent keys; `key` itself is not used again
//   const Key keys = split(key, 8);         // a batch: keys[i], or an argument of vmap
//   const Key step = fold_in(key, epoch);   // the key of a number
#pragma once

#include "ergo/autograd/tree_walk.hpp"
#include "ergo/core/philox.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

struct Key {
  Tensor<std::int64_t> material;  // of shape () or (n,), on the CPU

  // Empty; drawing from it is an Error.
  Key() = default;
  // From any integer.
  template <Integer I>
  explicit Key(I seed) : material(full<std::int64_t>({}, std::int64_t(seed), Device::cpu())) {}
  explicit Key(Tensor<std::int64_t> bits) : material(std::move(bits)) {}

  bool defined() const { return material.defined(); }
  // Key i of a batch; negative counts from the back.
  template <Integer I>
  Key operator[](I i) const {
    return Key(material[i]);
  }
  ERGO_FIELDS(Key, material)
};

// Two independent keys; of a batch, two batches.
inline std::pair<Key, Key> split(const Key& key);
// n independent keys, a batch (n,); key i does not depend on n.
inline Key split(const Key& key, AnyInteger n);
// The key of a number: independent keys for different numbers, and of those that `split` gives.
inline Key fold_in(const Key& key, AnyInteger number);
// One key for each element.
template <Index T>
Key fold_in(const Key& key, const Tensor<T>& numbers);

namespace detail {

[[noreturn, gnu::cold]] ERGO_ONCE void fail_empty_key(const char* op) {
  throw_error({"[", op, "] this key is empty: make one, Key{seed}"});
}
inline void check_key(const char* op, const Key& key) {
  if (!key.defined()) [[unlikely]]
    fail_empty_key(op);
}
// A draw takes one key.
inline void check_one_key(const char* op, const Key& key) {
  check_key(op, key);
  if (key.material.rank() > 0) [[unlikely]]
    fail(op, key.material.array(), "a batch of keys where one is needed: take keys[i], or map over the keys with vmap");
}

// The elements of x (depth 0) broadcast to s, row-major on the CPU.
inline Ref<Array> spread(const AnyTensor& x, const Shape& s) {
  const Ref<Array> here = readable("random", x.array());
  return x.shape() == s ? here : dense(BroadcastTo{x.rank(), s, x.shape()}.value(AnyTensor(here)).array());
}

// material x numbers, broadcast: the keys derived from them.
struct DeriveKeys {
  static constexpr auto name = "fold_in";
  static constexpr bool constant = true;
  RandomUse use;
  Tensor<std::int64_t> value(const Tensor<std::int64_t>& material, const Tensor<std::int64_t>& numbers) const {
    Shape s = material.shape();
    if (!broadcast(s, numbers.shape())) {
      Array* in[] = {&material.array(), &numbers.array()};
      fail(name, in, 2, "keys and numbers do not broadcast");
    }
    const Ref<Array> from = spread(material, s), index = spread(numbers, s);
    Ref<Array> r = Array::make(DType::int64, s);
    const std::int64_t *p = data_of<std::int64_t>(*from), *q = data_of<std::int64_t>(*index);
    auto* y = data_of<std::int64_t>(*r);
    const RandomUse what = use;
    parallel_for(r->numel(), 4096, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        y[i] = std::int64_t(random_block(std::uint64_t(p[i]), std::uint64_t(q[i]), what).low());
    });
    return Tensor<std::int64_t>(std::move(r));
  }
};
inline Key derive(const Key& key, RandomUse use, const Tensor<std::int64_t>& numbers) {
  return Key(linear_op(DeriveKeys{use}, key.material, numbers));
}

}  // namespace detail

inline std::pair<Key, Key> split(const Key& key) {
  detail::check_key("split", key);
  return {detail::derive(key, RandomUse::split, Key(0).material),
          detail::derive(key, RandomUse::split, Key(1).material)};
}
inline Key split(const Key& key, AnyInteger n) {
  detail::check_one_key("split", key);
  if (n < 0) throw_error({"[split] ", std::int64_t(n), " keys: the number must not be negative"});
  return detail::derive(key, RandomUse::split, arange<std::int64_t>(0, std::int64_t(n), 1, Device::cpu()));
}
inline Key fold_in(const Key& key, AnyInteger number) {
  detail::check_key("fold_in", key);
  return detail::derive(key, RandomUse::fold, Key(std::int64_t(number)).material);
}
template <Index T>
Key fold_in(const Key& key, const Tensor<T>& numbers) {
  detail::check_key("fold_in", key);
  return detail::derive(key, RandomUse::fold, cast<std::int64_t>(numbers));
}

}  // namespace ergo::inline ERGO_BUILD

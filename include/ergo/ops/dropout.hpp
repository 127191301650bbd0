// Dropout: y_i = m_i x_i / (1 - p), m_i = 0 with probability p. Linear in x; the mask is a function of the key and is
// made again wherever it is needed, forward, backward and at any order, so none is stored.
#pragma once

#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// y[i] = scale x[i] where word i, as a signed number, is at least `threshold`, else 0.
struct DropoutBody {
  template <cpu::Isa I, class T>
  static ERGO_INLINE void run(const T* x, const std::uint32_t* words, T* y, std::int64_t n, std::int32_t threshold,
                              T scale) {
    constexpr int W = cpu::kRegisterBytes<I> / int(sizeof(T));
    using P = cpu::Pack<T, W>;
    using S = cpu::Pack<std::int32_t, W>;
    const S least = cpu::detail::broadcast<S>(threshold);
    const P factor = cpu::detail::broadcast<P>(scale);
    const auto kept = [&](const P& a, const S& w) __attribute__((always_inline)) {
      return where(w < least, P(), a * factor);
    };
    const auto* w = reinterpret_cast<const std::int32_t*>(words);
    std::int64_t i = 0;
    for (; i + W <= n; i += W) kept(P::load(x + i), S::load(w + i)).store(y + i);
    if (i < n) kept(P::load_part(x + i, int(n - i)), S::load_part(w + i, int(n - i))).store_part(y + i, int(n - i));
  }
};

struct Dropout {
  static constexpr auto name = "dropout";
  double p;
  int rank;  // of x, per key
  int core_of(int input) const { return input == 0 ? rank : 0; }

  template <class T>
  Tensor<T> value(const Tensor<T>& x, const Tensor<std::int64_t>& keys) const {
    if constexpr (sizeof(T) == 2) {
      const Tensor<float> y = value(Tensor<float>(cpu::widened(x.array())), keys);
      return Tensor<T>(cpu::narrowed(y.array(), dtype_of<T>));
    } else {
      Shape lead = x.shape().first(x.rank() - rank);
      broadcast(lead, keys.shape());
      const Shape s = lead + x.shape().last(rank);
      const Ref<Array> from = spread(x, s), k = spread(keys, lead);
      Ref<Array> r = Array::make(dtype_of<T>, s);
      const std::int64_t each = x.shape().last(rank).numel(), lanes = k->numel();
      constexpr std::int64_t kChunk = 4096;
      const std::int64_t chunks = (each + kChunk - 1) / kChunk;
      parallel_for(lanes * chunks, each < kChunk ? 1 + kChunk / (each + 1) : 2,
                   [&](std::int64_t begin, std::int64_t end) {
                     std::uint32_t words[kChunk];
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t lane = i / chunks, first = i % chunks * kChunk, at = lane * each + first;
                       const std::int64_t n = each - first < kChunk ? each - first : kChunk;
                       cpu::draw_run(cpu::WordDraw{}, std::uint64_t(data_of<std::int64_t>(*k)[lane]),
                                     std::uint64_t(first / 4), words, n);
                       cpu::for_isa<DropoutBody, const T*, const std::uint32_t*, T*, std::int64_t, std::int32_t, T>(
                           data_of<T>(*from) + at, words, data_of<T>(*r) + at, n, threshold(), T(1 / (1 - p)));
                     }
                   });
      return Tensor<T>(on_device(std::move(r), x.device()));
    }
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<std::int64_t>& keys) const {
    Shape lead = x.shape().first(x.rank() - rank);
    broadcast(lead, keys.shape());
    const ergo::cuda::Work work = ergo::cuda::work_on(x);
    const Shape s = lead + x.shape().last(rank);
    const Ref<Array> from = dense(*broadcast_to(x.ref(), s));
    const ergo::cuda::KeysOf k(work, *spread(keys, lead));
    work.reads(*from);
    const std::int64_t each = x.shape().last(rank).numel();
    Ref<Array> y = work.make(dtype_of<T>, s);
    launch_dropout<T>(work.stream(), data_of<T>(*from), each, k.on_device, k.count, each, p, data_of<T>(*y));
    return Tensor<T>(std::move(y));
  }
#endif
  template <class T>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&, const Tensor<std::int64_t>& keys) const {
    return linear_op(*this, g, keys);
  }

 private:
  // Words are random bits, so the signed ones below it are a share p of all.
  std::int32_t threshold() const { return std::int32_t(std::int64_t(p * 0x1p32) - (std::int64_t(1) << 31)); }
};

}  // namespace detail

// x with each element set to 0 with probability p and the others divided by 1 - p. p = 0 gives x itself, p = 1 zeros.
template <Floating T>
Tensor<T> dropout(const Key& key, const Tensor<T>& x, double p) {
  detail::check_one_key("dropout", key);
  if (!(p >= 0 && p <= 1)) detail::fail("dropout", x.array(), {"the probability ", p, " is not in [0, 1]"});
  if (p == 0) return x;
  if (p == 1) return zeros<T>(x.shape(), x.device());
  return linear_op(detail::Dropout{p, x.rank()}, x, key.material);
}

}  // namespace ergo::inline ERGO_BUILD

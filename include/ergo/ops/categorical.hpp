// Draws from categories by a race: category k finishes at E_k / p_k, E_k exponential, and the first one wins with
// probability p_k; with logits, the greatest of logit_k - log E_k.
#pragma once

#include "ergo/ops/random.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/categorical.hpp"
#endif

namespace ergo::inline ERGO_BUILD {
namespace detail {

template <class I>
struct Categorical {
  static constexpr auto name = "categorical";
  static constexpr bool constant = true;
  int rank;  // of the logits, per key
  int core_of(int input) const { return input == 0 ? rank : 0; }

  template <class T>
  Tensor<I> value(const Tensor<T>& logits, const Tensor<std::int64_t>& keys) const {
    Shape lead = logits.shape().first(logits.rank() - rank);
    broadcast(lead, keys.shape());
    const Shape each = logits.shape().last(rank);
    const Ref<Array> x = spread(logits, lead + each), k = spread(keys, lead);
    const std::int64_t lanes = k->numel(), n = each.numel(), width = each[-1];
    const Ref<Array> race = Array::make(dtype_of<T>, x->shape);
    cpu::draw(cpu::LogExponentialDraw<T>{}, data_of<std::int64_t>(*k), lanes, n, data_of<T>(*race));
    Ref<Array> r = Array::make(dtype_of<I>, lead + each.first(rank - 1));
    parallel_for(r->numel(), 1 + 16384 / (width + 1), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        data_of<I>(*r)[i] = I(winner(*x, i, data_of<T>(*x) + i * width, data_of<T>(*race) + i * width, width));
    });
    return Tensor<I>(on_device(std::move(r), default_device()));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<I> cuda(const Tensor<T>& logits, const Tensor<std::int64_t>& keys) const {
    Shape lead = logits.shape().first(logits.rank() - rank);
    broadcast(lead, keys.shape());
    const Shape each = logits.shape().last(rank);
    const Ref<Array> x = dense(*broadcast_to(logits.ref(), lead + each));
    return Tensor<I>(ergo::cuda::categorical<T, I>(*x, *spread(keys, lead), rank, &check_logits<T>));
  }
#endif

 private:
  // What the draw refuses, in the order of rows.
  template <class T>
  static void check_logits(const Array& x) {
    const std::int64_t n = x.shape[-1];
    for (std::int64_t row = 0, rows = x.numel() / n; row < rows; ++row) {
      const T* const logit = data_of<T>(x) + row * n;
      bool valid = true, any = false;
      for (std::int64_t k = 0; k < n; ++k) {
        valid = valid && logit[k] < T(__builtin_inf());
        any = any || logit[k] > -T(__builtin_inf());
      }
      if (!valid || !any) fail_row(x, row, valid);
    }
  }
  [[noreturn, gnu::cold]] static void fail_row(const Array& x, std::int64_t row, bool valid) {
    fail(name, x,
         {"row ", row, (valid ? " has no category with a logit above -inf" : " has a logit that is NaN or +inf")});
  }
  template <class T>
  static std::int64_t winner(const Array& x, std::int64_t row, const T* logit, const T* race, std::int64_t n) {
    constexpr T kInfinity = T(__builtin_inf());
    std::int64_t best = -1;
    T most = -kInfinity;
    bool valid = true;
    for (std::int64_t k = 0; k < n; ++k) {
      valid = valid && logit[k] < kInfinity;  // false for NaN too
      const T value = logit[k] - race[k];
      if (value > most) {
        most = value;
        best = k;
      }
    }
    if (!valid || best < 0) [[unlikely]]
      fail_row(x, row, valid);
    return best;
  }
};

}  // namespace detail

// One category of the last axis for each row of logits (..., K), which need not be normalised; -inf excludes a
// category. NaN, +inf and a row of -inf are Errors. Gives (...), int32 unless another type is asked for.
template <Index I = std::int32_t, Floating T>
Tensor<I> categorical(const Key& key, const Tensor<T>& logits) {
  detail::check_one_key("categorical", key);
  const detail::Array& x = logits.array();
  if (x.shape.rank() == 0) detail::fail("categorical", x, "logits need an axis of categories");
  if (x.shape[-1] == 0 && x.shape.first(x.shape.rank() - 1).numel() > 0)
    detail::fail("categorical", x, "there are no categories to draw from");
  if (x.shape[-1] > 0 && !std::in_range<I>(x.shape[-1] - 1))
    detail::fail("categorical", x, {"categories do not fit ", dtype_of<I>, ": categorical<int64_t>(key, logits)"});
  return linear_op(detail::Categorical<I>{logits.rank()}, cast<Compute<T>>(logits), key.material);
}

}  // namespace ergo::inline ERGO_BUILD

// rms_norm: y = x / sqrt(mean of x^2 + eps) * gamma along the last axis (Zhang and Sennrich 2019). One kernel forward,
// one for both first-order gradients, those of layer_norm about 0 instead of the mean; higher orders go through the
// formula.
#pragma once

#include "ergo/ops/normalization.hpp"

namespace ergo::inline ERGO_BUILD {

struct RmsNormOptions {
  double eps = 1e-5;
};

namespace detail {

// x / sqrt(mean of x^2 + eps), and the factor as a column.
template <class T>
std::pair<Tensor<T>, Tensor<T>> rms_normalised(const Tensor<T>& x, double eps) {
  const Tensor<T> scale = rsqrt(mean(x * x, -1, true) + convert<T>(eps));
  return {x * scale, scale};
}

// dx, and what sums over the rows to the gradient of gamma.
template <class T>
std::tuple<Tensor<T>, Tensor<T>> rms_norm_rules(const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& gamma,
                                                double eps) {
  if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    const auto [dx, dgamma] = rms_norm_rules(cast<C>(g), cast<C>(x), cast<C>(gamma), eps);
    return {cast<T>(dx), cast<T>(dgamma)};
  } else {
    const auto [normal, scale] = rms_normalised(x, eps);
    const Tensor<T> h = g * gamma;
    return {(h - normal * mean(h * normal, -1, true)) * scale, g * normal};
  }
}

// Both gradients. g, x (..., C) with `rank` axes, gamma (C); stats are what RmsNorm's kernel left.
struct RmsNormVjp {
  static constexpr auto name = "rms_norm";
  int rank;
  double eps;
  int core_of(int i) const { return i == 3 ? 1 : rank; }
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>> cpu(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                       const Tensor<T>& gamma) const {
    using namespace ergo::cpu::detail;
    const Aligned<4> all({&g.array(), &x.array(), &stats.array(), &gamma.array()}, {rank, rank, rank, 1});
    const Ref<Array> a = computable(*all.array[0]), b = computable(*all.array[1]), w = computable(*all.array[3]);
    const std::int64_t n = x.shape()[-1], groups = all.lead.numel(), each = g.shape().last(rank).numel(),
                       rows = n ? each / n : 0;
    const Ref<Array> dx = Array::make(dtype_of<C>, a->shape), dgamma = Array::make(dtype_of<C>, all.lead + Shape{n});
    for (std::int64_t i = 0; n && i < groups; ++i)
      layer_norm_rows_vjp<false>(data_of<C>(*a) + i * each, data_of<C>(*b) + i * each,
                                 data_of<C>(*all.array[2]) + i * rows * kRowStats, data_of<C>(*w) + i * n, rows, n,
                                 data_of<C>(*dx) + i * each, data_of<C>(*dgamma) + i * n, static_cast<C*>(nullptr));
    return {Tensor<T>(stored_as(dx, dtype_of<T>)), Tensor<T>(stored_as(dgamma, dtype_of<T>))};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>> cuda(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                        const Tensor<T>& gamma) const {
    return ergo::cuda::rms_norm_vjp(g, x, stats, gamma, rank);
  }
#endif
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>> definition(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>&,
                                              const Tensor<T>& gamma) const {
    // Under vmap each input may have leading axes of its own; both results have them all.
    Shape lead = g.shape().first(g.rank() - rank), beside = gamma.shape().first(gamma.rank() - 1);
    broadcast(lead, x.shape().first(x.rank() - rank));
    broadcast(lead, beside);
    for (int d = 1; d < rank; ++d) beside.push(1);
    const Tensor<T> all(broadcast_to(g.ref(), lead + x.shape().last(rank)));
    const Tensor<T> weight(reshape(gamma.ref(), beside + gamma.shape().last(1)));
    const auto [dx, dgamma] = rms_norm_rules(all, x, weight, eps);
    return {dx, sum_over<false>(dgamma, Over{rank, {AxisSet::all(rank).mask >> 1}, false})};
  }
};

struct RmsNorm {
  static constexpr auto name = "rms_norm";
  static constexpr Uses uses = Uses::all;
  static constexpr int core[] = {1, 1};
  static constexpr bool has_vjp = true;
  double eps;
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cpu(const Tensor<T>& x, const Tensor<T>& gamma) const {
    using namespace ergo::cpu::detail;
    using C = Compute<T>;
    Shape lead = x.shape().first(x.rank() - 1);
    broadcast(lead, gamma.shape().first(gamma.rank() - 1));
    const std::int64_t n = x.shape()[-1], rows = lead.numel();
    const bool shared = gamma.numel() == n;  // one gamma for all rows
    const auto wide = [&](const Tensor<T>& a) { return computable(*Aligned<1>::aligned(a.array(), 1, lead)); };
    const Ref<Array> from = wide(x), w = shared ? computable(gamma.array()) : wide(gamma);
    const Ref<Array> y = Array::make(dtype_of<C>, from->shape),
                     stats = Array::make(dtype_of<C>, lead + Shape{kRowStats});
    const Padded<C> weight(data_of<C>(*w), shared ? n : 0);
    const C* const in[] = {data_of<C>(*from), shared ? nullptr : data_of<C>(*w)};
    C* const out[] = {data_of<C>(*y)};
    for_rows(in, out, rows, n, [&](const C* const* p, C* const* q, std::int64_t first, std::int64_t some) {
      ergo::cpu::for_isa<LayerNormBody<C, false>>(p[0], q[0], data_of<C>(*stats) + first * kRowStats, some, n,
                                                  shared ? weight.data() : p[1], static_cast<const C*>(nullptr),
                                                  shared ? 0 : n, C(eps));
    });
    return {Tensor<T>(stored_as(y, dtype_of<T>)), Tensor<C>(stats)};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cuda(const Tensor<T>& x, const Tensor<T>& gamma) const {
    return ergo::cuda::rms_norm(x, gamma, eps);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& gamma) const {
    if constexpr (!std::is_same_v<T, Compute<T>>)
      return cast<T>(definition(cast<Compute<T>>(x), cast<Compute<T>>(gamma)));
    else
      return rms_normalised(x, eps).first * gamma;
  }
  template <class T, class Y>
  std::tuple<Tensor<T>, Tensor<T>> vjp(const Tensor<T>& g, const Y& y, const Tensor<T>& x,
                                       const Tensor<T>& gamma) const {
    const auto& stats = std::get<1>(y);
    if (stats.defined() && gamma.rank() == 1 && g.rank() == x.rank())
      return fused_ops(RmsNormVjp{x.rank(), eps}, g, x, stats, gamma);
    return rms_norm_rules(g, x, gamma, eps);  // a mapped gamma: the walk sums to its shape
  }
};

}  // namespace detail

// x (..., C) over the root of the mean square along its last axis, times gamma (C). Rows of zeros give zeros, but
// NaN where eps is 0.
template <class T>
Tensor<T> rms_norm(const Tensor<T>& x, const Tensor<T>& gamma, const RmsNormOptions& options = {}) {
  static_assert(Floating<T>, "rms_norm: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &gamma.array()};
    detail::same_device("rms_norm", in, 2);
    if (x.rank() == 0) detail::fail("rms_norm", in, 2, "x needs an axis to normalise along");
    if (gamma.shape() != Shape{x.shape()[-1]})
      detail::fail("rms_norm", in, 2, {"gamma must have the extent ", x.shape()[-1], " of the last axis"});
    detail::check_eps("rms_norm", in, 2, options.eps);
    return fused_op(detail::RmsNorm{options.eps}, x, gamma);
  } else {
    return x;
  }
}

}  // namespace ergo::inline ERGO_BUILD

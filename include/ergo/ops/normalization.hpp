// layer_norm: y = (x - mean) / sqrt(variance + eps) * gamma + beta along the last axis. One kernel forward, one for all
// three first-order gradients; higher orders go through the formula.
#pragma once

#include "ergo/cpu/layer_norm_rows.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/reduction.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/layer_norm.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct LayerNormOptions {
  double eps = 1e-5;
};

namespace detail {

// (x - mean) / sqrt(variance + eps), and the second factor as a column.
template <class T>
std::pair<Tensor<T>, Tensor<T>> normalised(const Tensor<T>& x, double eps) {
  const Tensor<T> centred = x - mean(x, -1, true);
  const Tensor<T> scale = rsqrt(mean(centred * centred, -1, true) + convert<T>(eps));
  return {centred * scale, scale};
}

// dx, and what sums over the rows to the gradients of gamma and beta.
template <class T>
std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> layer_norm_rules(const Tensor<T>& g, const Tensor<T>& x,
                                                             const Tensor<T>& gamma, double eps) {
  if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    const auto [dx, dgamma, dbeta] = layer_norm_rules(cast<C>(g), cast<C>(x), cast<C>(gamma), eps);
    return {cast<T>(dx), cast<T>(dgamma), cast<T>(dbeta)};
  } else {
    const auto [normal, scale] = normalised(x, eps);
    const Tensor<T> h = g * gamma;
    return {(h - mean(h, -1, true) - normal * mean(h * normal, -1, true)) * scale, g * normal, g};
  }
}

// All three gradients. g, x (..., C) with `rank` axes, gamma (C); stats are what LayerNorm's kernel left.
struct LayerNormVjp {
  static constexpr auto name = "layer_norm";
  int rank;
  double eps;
  int core_of(int i) const { return i == 3 ? 1 : rank; }
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> cpu(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                                  const Tensor<T>& gamma) const {
    using namespace ergo::cpu::detail;
    const Aligned<4> all({&g.array(), &x.array(), &stats.array(), &gamma.array()}, {rank, rank, rank, 1});
    const Ref<Array> a = computable(*all.array[0]), b = computable(*all.array[1]), w = computable(*all.array[3]);
    const std::int64_t n = x.shape()[-1], groups = all.lead.numel(), each = g.shape().last(rank).numel(),
                       rows = n ? each / n : 0;
    const DType compute = dtype_of<C>;
    const Ref<Array> dx = Array::make(compute, a->shape), dgamma = Array::make(compute, all.lead + Shape{n}),
                     dbeta = Array::make(compute, all.lead + Shape{n});
    for (std::int64_t i = 0; n && i < groups; ++i)
      layer_norm_rows_vjp(data_of<C>(*a) + i * each, data_of<C>(*b) + i * each,
                          data_of<C>(*all.array[2]) + i * rows * kRowStats, data_of<C>(*w) + i * n, rows, n,
                          data_of<C>(*dx) + i * each, data_of<C>(*dgamma) + i * n, data_of<C>(*dbeta) + i * n);
    return {Tensor<T>(stored_as(dx, dtype_of<T>)), Tensor<T>(stored_as(dgamma, dtype_of<T>)),
            Tensor<T>(stored_as(dbeta, dtype_of<T>))};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> cuda(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                                   const Tensor<T>& gamma) const {
    return ergo::cuda::layer_norm_vjp(g, x, stats, gamma, rank);
  }
#endif
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> definition(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>&,
                                                         const Tensor<T>& gamma) const {
    // Under vmap each input may have leading axes of its own; all three results have them all.
    Shape lead = g.shape().first(g.rank() - rank), beside = gamma.shape().first(gamma.rank() - 1);
    broadcast(lead, x.shape().first(x.rank() - rank));
    broadcast(lead, beside);
    for (int d = 1; d < rank; ++d) beside.push(1);
    const Tensor<T> all(broadcast_to(g.ref(), lead + x.shape().last(rank)));
    const Tensor<T> weight(reshape(gamma.ref(), beside + gamma.shape().last(1)));
    const auto [dx, dgamma, dbeta] = layer_norm_rules(all, x, weight, eps);
    const Over rows{rank, {AxisSet::all(rank).mask >> 1}, false};
    return {dx, sum_over<false>(dgamma, rows), sum_over<false>(dbeta, rows)};
  }
};

struct LayerNorm {
  static constexpr auto name = "layer_norm";
  static constexpr Uses uses = Uses::all;
  static constexpr int core[] = {1, 1, 1};
  static constexpr bool has_vjp = true;
  double eps;
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cpu(const Tensor<T>& x, const Tensor<T>& gamma,
                                                const Tensor<T>& beta) const {
    using namespace ergo::cpu::detail;
    using C = Compute<T>;
    Shape lead = x.shape().first(x.rank() - 1);
    broadcast(lead, gamma.shape().first(gamma.rank() - 1));
    broadcast(lead, beta.shape().first(beta.rank() - 1));
    const bool shared =
        gamma.numel() == x.shape()[-1] && beta.numel() == x.shape()[-1];  // one gamma and beta for all rows
    const auto wide = [&](const Tensor<T>& a) { return computable(*Aligned<1>::aligned(a.array(), 1, lead)); };
    const std::int64_t n = x.shape()[-1], rows = lead.numel();
    const Ref<Array> from = wide(x), y = Array::make(dtype_of<C>, from->shape);
    const Ref<Array> stats = Array::make(dtype_of<C>, lead + Shape{kRowStats});
    const Ref<Array> w = shared ? computable(gamma.array()) : wide(gamma),
                     b = shared ? computable(beta.array()) : wide(beta);
    const Padded<C> weight(data_of<C>(*w), shared ? n : 0), bias(data_of<C>(*b), shared ? n : 0);
    const C* const in[] = {data_of<C>(*from), shared ? nullptr : data_of<C>(*w), shared ? nullptr : data_of<C>(*b)};
    C* const out[] = {data_of<C>(*y)};
    for_rows(in, out, rows, n, [&](const C* const* p, C* const* q, std::int64_t first, std::int64_t some) {
      ergo::cpu::for_isa<LayerNormBody<C>>(p[0], q[0], data_of<C>(*stats) + first * kRowStats, some, n,
                                           shared ? weight.data() : p[1], shared ? bias.data() : p[2], shared ? 0 : n,
                                           C(eps));
    });
    return {Tensor<T>(stored_as(y, dtype_of<T>)), Tensor<C>(stats)};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cuda(const Tensor<T>& x, const Tensor<T>& gamma,
                                                 const Tensor<T>& beta) const {
    return ergo::cuda::layer_norm(x, gamma, beta, eps);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta) const {
    if constexpr (!std::is_same_v<T, Compute<T>>)
      return cast<T>(definition(cast<Compute<T>>(x), cast<Compute<T>>(gamma), cast<Compute<T>>(beta)));
    else
      return normalised(x, eps).first * gamma + beta;
  }
  template <class T, class Y>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> vjp(const Tensor<T>& g, const Y& y, const Tensor<T>& x,
                                                  const Tensor<T>& gamma, const Tensor<T>& beta) const {
    const auto& stats = std::get<1>(y);
    if (stats.defined() && gamma.rank() == 1 && beta.rank() == 1 && g.rank() == x.rank())
      return fused_ops(LayerNormVjp{x.rank(), eps}, g, x, stats, gamma);
    return layer_norm_rules(g, x, gamma, eps);  // mapped parameters: the walk sums to their shapes
  }
};

// What all norms refuse of their eps.
inline void check_eps(const char* op, Array* const* in, int n, double eps) {
  if (eps != eps) fail(op, in, n, ".eps is NaN");
  if (eps < 0) fail(op, in, n, ".eps is negative");
}

}  // namespace detail

// x (..., C) normalised along its last axis, gamma and beta (C). Constant rows give beta, but NaN where eps is 0.
template <class T>
Tensor<T> layer_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                     const LayerNormOptions& options = {}) {
  static_assert(Floating<T>, "layer_norm: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &gamma.array(), &beta.array()};
    detail::same_device("layer_norm", in, 3);
    if (x.rank() == 0) detail::fail("layer_norm", in, 3, "x needs an axis to normalise along");
    const Shape s{x.shape()[-1]};
    if (gamma.shape() != s || beta.shape() != s)
      detail::fail("layer_norm", in, 3, {"gamma and beta must have the extent ", s[0], " of the last axis"});
    detail::check_eps("layer_norm", in, 3, options.eps);
    return fused_op(detail::LayerNorm{options.eps}, x, gamma, beta);
  } else {
    return x;
  }
}

}  // namespace ergo::inline ERGO_BUILD

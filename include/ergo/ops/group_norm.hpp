// group_norm of channels-last data (N, ..., C): statistics an example and group of neighbouring channels (Wu and He
// 2018),
//
//   y = (x - mean) / sqrt(variance + eps) * gamma + beta
//
// and the engine that it shares with batch_norm, on (examples, middle, groups, channels of a group). All gradients of
// first order come from it too; higher orders go through the formula.
#pragma once

#include "ergo/cpu/channel_norm.hpp"
#include "ergo/ops/normalization.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/channel_norm.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct GroupNormOptions {
  double eps = 1e-5;
};
namespace detail {

// How x (lead..., N, middle..., C), its last `rank` axes its own, falls into groups. groups 0: batch_norm.
struct ChannelNormAxes {
  int rank;
  std::int64_t groups;
  double eps;
  // (examples, middle, groups, channels of a group)
  Shape of(const Shape& x) const {
    const Shape own = x.last(rank);
    const std::int64_t c = own[-1];
    if (groups == 0) return Shape{1, own.first(rank - 1).numel(), c, 1};
    return Shape{own[0], own.first(rank - 1).last(rank - 2).numel(), groups, c / groups};
  }
  cpu::ChannelShape sizes(const Shape& lead, const Shape& x) const {
    const Shape s = of(x);
    return {lead.numel(), s[0], s[1], s[2] * s[3], s[2]};
  }
  Shape lead_of(const Shape& x) const { return x.first(x.rank() - rank); }
  template <class T>
  Tensor<T> split(const Tensor<T>& x) const {
    return Tensor<T>(reshape(x.ref(), lead_of(x.shape()) + of(x.shape())));
  }
  // gamma or beta (lead..., C) beside split x.
  template <class T>
  Tensor<T> beside(const Tensor<T>& w, const Shape& x) const {
    const Shape s = of(x);
    return Tensor<T>(reshape(w.ref(), w.shape().first(w.rank() - 1) + Shape{1, 1, s[2], s[3]}));
  }
};

// Of split x: its mean, x less that, 1 / deviation, the variance.
template <class T>
struct ChannelMoments {
  Tensor<T> mean, centred, variance, scale;
  ChannelMoments(const Tensor<T>& x, double eps)
      : mean(ergo::mean(x, Axes{-3, -1}, true)),
        centred(x - mean),
        variance(ergo::mean(centred * centred, Axes{-3, -1}, true)),
        scale(rsqrt(variance + convert<T>(eps))) {}
};

// All three gradients of y. g, x with `rank` axes of their own, gamma (C); stats are what the kernel left.
template <bool Batch>
struct ChannelNormVjp {
  static constexpr auto name = Batch ? "batch_norm" : "group_norm";
  ChannelNormAxes axes;
  int core_of(int i) const { return i == 2 ? 3 : i == 3 ? 1 : axes.rank; }
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> cpu(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                                  const Tensor<T>& gamma) const {
    using namespace ergo::cpu::detail;
    const Aligned<4> all({&g.array(), &x.array(), &stats.array(), &gamma.array()}, {axes.rank, axes.rank, 3, 1});
    const Ref<Array> a = computable(*all.array[0]), b = computable(*all.array[1]), w = computable(*all.array[3]);
    const Shape sums = all.lead + x.shape().last(1);
    const Ref<Array> dx = Array::make(dtype_of<C>, a->shape), dgamma = Array::make(dtype_of<C>, sums),
                     dbeta = Array::make(dtype_of<C>, sums);
    ergo::cpu::channel_norm_vjp(axes.sizes(all.lead, x.shape()), data_of<C>(*a), data_of<C>(*b),
                                data_of<C>(*all.array[2]), data_of<C>(*w), data_of<C>(*dx), data_of<C>(*dgamma),
                                data_of<C>(*dbeta));
    return {Tensor<T>(stored_as(dx, dtype_of<T>)), Tensor<T>(stored_as(dgamma, dtype_of<T>)),
            Tensor<T>(stored_as(dbeta, dtype_of<T>))};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> cuda(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                                   const Tensor<T>& gamma) const {
    return ergo::cuda::channel_norm_vjp(name, g, x, stats, gamma, axes.rank, Batch ? 0 : 1, axes.of(x.shape()));
  }
#endif
  template <class T, class C>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> definition(const Tensor<T>& g, const Tensor<T>& x, const Tensor<C>& stats,
                                                         const Tensor<T>& gamma) const {
    if constexpr (!std::is_same_v<T, C>) {
      const auto [dx, dgamma, dbeta] = definition(cast<C>(g), cast<C>(x), stats, cast<C>(gamma));
      return {cast<T>(dx), cast<T>(dgamma), cast<T>(dbeta)};
    } else {
      // Under vmap each input may have leading axes of its own; all three results have them all.
      Shape lead = axes.lead_of(g.shape());
      broadcast(lead, axes.lead_of(x.shape()));
      broadcast(lead, gamma.shape().first(gamma.rank() - 1));
      const Tensor<T> all(broadcast_to(axes.split(g).ref(), lead + axes.of(x.shape())));
      const ChannelMoments<T> m(axes.split(x), axes.eps);
      const Tensor<T> normal = m.centred * m.scale, h = all * axes.beside(gamma, x.shape());
      const Tensor<T> dx = (h - mean(h, Axes{-3, -1}, true) - normal * mean(h * normal, Axes{-3, -1}, true)) * m.scale;
      const auto whole = [&](const Tensor<T>& y, const Shape& s) { return Tensor<T>(reshape(y.ref(), lead + s)); };
      const Shape channels = x.shape().last(1);
      return {whole(dx, x.shape().last(axes.rank)), whole(sum(all * normal, Axes{-4, -3}), channels),
              whole(sum(all, Axes{-4, -3}), channels)};
    }
  }
};

// The kernel: y, stats, and for batch_norm mean and variance.
template <bool Batch, class T>
auto channel_norm_on_cpu(const ChannelNormAxes& axes, const Tensor<T>& x, const Tensor<T>& gamma,
                         const Tensor<T>& beta) {
  using namespace ergo::cpu::detail;
  using C = Compute<T>;
  const Aligned<3> all({&x.array(), &gamma.array(), &beta.array()}, {axes.rank, 1, 1});
  const Ref<Array> from = computable(*all.array[0]), w = computable(*all.array[1]), b = computable(*all.array[2]),
                   y = Array::make(dtype_of<C>, from->shape);
  const cpu::ChannelShape s = axes.sizes(all.lead, x.shape());
  const Ref<Array> stats = Array::make(dtype_of<C>, all.lead + Shape{s.examples, s.groups, kRowStats});
  const auto run = [&](C* mean, C* variance) {
    ergo::cpu::channel_norm(s, data_of<C>(*from), data_of<C>(*w), data_of<C>(*b), C(axes.eps), data_of<C>(*y),
                            data_of<C>(*stats), mean, variance);
  };
  if constexpr (Batch) {
    const Ref<Array> mean = Array::make(dtype_of<C>, all.lead + Shape{s.channels}),
                     variance = Array::make(dtype_of<C>, all.lead + Shape{s.channels});
    run(data_of<C>(*mean), data_of<C>(*variance));
    const DType to = dtype_of<T>;
    return std::tuple(Tensor<T>(stored_as(y, to)), Tensor<T>(stored_as(mean, to)), Tensor<T>(stored_as(variance, to)),
                      Tensor<C>(stats));
  } else {
    run(nullptr, nullptr);
    return std::tuple(Tensor<T>(stored_as(y, dtype_of<T>)), Tensor<C>(stats));
  }
}

struct GroupNorm {
  static constexpr auto name = "group_norm";
  static constexpr Uses uses = Uses::all;
  static constexpr bool has_vjp = true;
  ChannelNormAxes axes;
  int core_of(int i) const { return i == 0 ? axes.rank : 1; }
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cpu(const Tensor<T>& x, const Tensor<T>& gamma,
                                                const Tensor<T>& beta) const {
    return channel_norm_on_cpu<false>(axes, x, gamma, beta);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  std::tuple<Tensor<T>, Tensor<Compute<T>>> cuda(const Tensor<T>& x, const Tensor<T>& gamma,
                                                 const Tensor<T>& beta) const {
    return ergo::cuda::group_norm(x, gamma, beta, axes.rank, axes.of(x.shape()), axes.eps);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      return cast<T>(definition(cast<C>(x), cast<C>(gamma), cast<C>(beta)));
    } else {
      const ChannelMoments<T> m(axes.split(x), axes.eps);
      const Tensor<T> y = m.centred * m.scale * axes.beside(gamma, x.shape()) + axes.beside(beta, x.shape());
      return Tensor<T>(reshape(y.ref(), y.shape().first(y.rank() - 4) + x.shape().last(axes.rank)));
    }
  }
  template <class T, class Y>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> vjp(const Tensor<T>& g, const Y& y, const Tensor<T>& x,
                                                  const Tensor<T>& gamma, const Tensor<T>&) const {
    const ChannelNormVjp<false> rule{axes};
    const auto& stats = std::get<1>(y);
    return stats.defined() ? fused_ops(rule, g, x, stats, gamma) : rule.definition(g, x, stats, gamma);
  }
};

}  // namespace detail

// x (N, ..., C) normalised over all middle axes and each of `groups` groups of neighbouring channels, which divide C;
// gamma and beta (C). Constant groups give beta, but NaN where eps is 0.
template <class T>
Tensor<T> group_norm(const Tensor<T>& x, std::int64_t groups, const Tensor<T>& gamma, const Tensor<T>& beta,
                     const GroupNormOptions& options = {}) {
  static_assert(Floating<T>, "group_norm: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &gamma.array(), &beta.array()};
    detail::same_device("group_norm", in, 3);
    if (x.rank() < 2) detail::fail("group_norm", in, 3, "x (N, ..., C) needs axes of examples and of channels");
    const std::int64_t channels = x.shape()[-1];
    if (groups < 1 || channels % groups != 0)
      detail::fail("group_norm", in, 3, {groups, " groups do not divide ", channels, " channels"});
    if (gamma.shape() != Shape{channels} || beta.shape() != Shape{channels})
      detail::fail("group_norm", in, 3, {"gamma and beta must have the extent ", channels, " of the last axis"});
    detail::check_eps("group_norm", in, 3, options.eps);
    return fused_op(detail::GroupNorm{{x.rank(), groups, options.eps}}, x, gamma, beta);
  } else {
    return x;
  }
}

}  // namespace ergo::inline ERGO_BUILD

// batch_norm of channels-last data (..., C): statistics a channel, over all other axes, or given ones (Ioffe and
// Szegedy 2015). It is group_norm's engine with groups of one channel and all rows one example; the statistics are
// results with derivatives of their own.
#pragma once

#include "ergo/ops/group_norm.hpp"

namespace ergo::inline ERGO_BUILD {

struct BatchNormOptions {
  double eps = 1e-5;
};
// What batch_norm normalised with, each (C), beside y: `auto [y, mean, variance] = batch_norm(x, gamma, beta)`. The
// variance is over n elements, not n - 1. All three have derivatives.
template <class T>
struct BatchNormResult {
  Tensor<T> y, mean, variance;
};

namespace detail {

struct BatchNorm {
  static constexpr auto name = "batch_norm";
  static constexpr Uses uses = Uses::all;
  static constexpr bool has_vjp = true, several_results = true;
  ChannelNormAxes axes;
  template <class T>
  using Results = std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<Compute<T>>>;  // y, mean, variance; stats
  int core_of(int i) const { return i == 0 ? axes.rank : 1; }
  template <class T>
  Results<T> cpu(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta) const {
    return channel_norm_on_cpu<true>(axes, x, gamma, beta);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Results<T> cuda(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta) const {
    return ergo::cuda::batch_norm(x, gamma, beta, axes.rank, axes.of(x.shape()), axes.eps);
  }
#endif
  template <class T>
  Results<T> definition(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      const auto [y, mean, variance, none] = definition(cast<C>(x), cast<C>(gamma), cast<C>(beta));
      return {cast<T>(y), cast<T>(mean), cast<T>(variance), {}};
    } else {
      const ChannelMoments<T> m(axes.split(x), axes.eps);
      const Tensor<T> y = m.centred * m.scale * axes.beside(gamma, x.shape()) + axes.beside(beta, x.shape());
      const auto whole = [&](const Tensor<T>& t, const Shape& s) {
        return Tensor<T>(reshape(t.ref(), t.shape().first(t.rank() - 4) + s));
      };
      return {whole(y, x.shape().last(axes.rank)),
              whole(m.mean, x.shape().last(1)),
              whole(m.variance, x.shape().last(1)),
              {}};
    }
  }
  // What reaches x by way of y, from the kernel; by mean and variance, in operations: they seldom have a cotangent.
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> vjp(const Results<T>& g, const Results<T>& y, const Tensor<T>& x,
                                                  const Tensor<T>& gamma, const Tensor<T>&) const {
    const ChannelNormVjp<true> rule{axes};
    const auto& [of_y, of_mean, of_variance, none] = g;
    const auto& stats = std::get<3>(y);
    const bool moments = of_mean.defined() || of_variance.defined();
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>)
      if (of_y.defined() && moments) {  // two parts of dx: they are rounded once, together
        const auto wide = [](const Tensor<T>& t) { return t.defined() ? cast<C>(t) : Tensor<C>(); };
        const auto [dx, dgamma, dbeta] =
            vjp<C>({wide(of_y), wide(of_mean), wide(of_variance), {}}, {{}, {}, {}, stats}, wide(x), wide(gamma), {});
        return {cast<T>(dx), cast<T>(dgamma), cast<T>(dbeta)};
      }
    std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> d;
    if (of_y.defined())
      d = stats.defined() ? fused_ops(rule, of_y, x, stats, gamma) : rule.definition(of_y, x, stats, gamma);
    if (moments) {
      const Tensor<T> more = through_moments(of_mean, of_variance, x);
      Tensor<T>& dx = std::get<0>(d);
      dx = dx.defined() ? dx + more : more;
    }
    return d;
  }

 private:
  template <class T>
  Tensor<T> through_moments(const Tensor<T>& of_mean, const Tensor<T>& of_variance, const Tensor<T>& x) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      const auto wide = [](const Tensor<T>& t) { return t.defined() ? cast<C>(t) : Tensor<C>(); };
      return cast<T>(through_moments(wide(of_mean), wide(of_variance), cast<C>(x)));
    } else {
      const Tensor<T> in = axes.split(x);
      const T share = T(1) / T(in.shape()[-3]);
      Tensor<T> d;
      if (of_variance.defined()) d = (in - mean(in, -3, true)) * (axes.beside(of_variance, x.shape()) * (2 * share));
      if (of_mean.defined()) {
        const Tensor<T> level = axes.beside(of_mean, x.shape()) * share;
        Shape all = level.shape().first(level.rank() - 4);
        broadcast(all, axes.lead_of(x.shape()));
        d = d.defined() ? d + level : Tensor<T>(broadcast_to(level.ref(), all + axes.of(x.shape())));
      }
      return Tensor<T>(reshape(d.ref(), d.shape().first(d.rank() - 4) + x.shape().last(axes.rank)));
    }
  }
};

// gamma / sqrt(variance + eps), and (x - mean) scale + beta.
struct ScaleOfVariance {
  static constexpr auto name = "batch_norm";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& gamma, const A& variance, const A& eps) {
    return gamma * rsqrt(variance + eps);
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& gamma, const A& variance, const A& eps) {
    const A scale = rsqrt(variance + eps);
    if constexpr (I == 0)
      return scale;
    else
      return A(-0.5) * gamma * (scale * scale * scale);
  }
};
struct ScaleAbout {
  static constexpr auto name = "batch_norm";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& x, const A& mean, const A& scale, const A& beta) {
    return (x - mean) * scale + beta;
  }
  template <int I, class A>
  static constexpr auto partial(const A&, const A& x, const A& mean, const A& scale, const A&) {
    if constexpr (I == 0)
      return Argument<2>{};
    else if constexpr (I == 1)
      return -scale;
    else if constexpr (I == 2)
      return x - mean;
    else
      return Constant<1>{};
  }
};

}  // namespace detail

// x (..., C) normalised over all axes but the last, gamma and beta (C), and the statistics. At least two elements a
// channel. Constant channels give beta, but NaN where eps is 0.
template <class T>
BatchNormResult<T> batch_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                              const BatchNormOptions& options = {}) {
  static_assert(Floating<T>, "batch_norm: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &gamma.array(), &beta.array()};
    detail::same_device("batch_norm", in, 3);
    if (x.rank() == 0) detail::fail("batch_norm", in, 3, "x (..., C) needs an axis of channels");
    const Shape channels = x.shape().last(1);
    if (gamma.shape() != channels || beta.shape() != channels)
      detail::fail("batch_norm", in, 3, {"gamma and beta must have the extent ", channels[0], " of the last axis"});
    if (const std::int64_t n = x.shape().first(x.rank() - 1).numel(); n < 2)
      detail::fail("batch_norm", in, 3, {"statistics of ", n, " elements a channel (give mean and variance instead)"});
    detail::check_eps("batch_norm", in, 3, options.eps);
    auto [y, mean, variance, stats] = fused_ops(detail::BatchNorm{{x.rank(), 0, options.eps}}, x, gamma, beta);
    return {std::move(y), std::move(mean), std::move(variance)};
  } else {
    return {x, x, x};
  }
}

// The same with given statistics (C): (x - mean) / sqrt(variance + eps) * gamma + beta, differentiable in all five.
template <class T>
Tensor<T> batch_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta, const Tensor<T>& mean,
                     const Tensor<T>& variance, const BatchNormOptions& options = {}) {
  static_assert(Floating<T>, "batch_norm: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &gamma.array(), &beta.array(), &mean.array(), &variance.array()};
    detail::same_device("batch_norm", in, 5);
    if (x.rank() == 0) detail::fail("batch_norm", in, 5, "x (..., C) needs an axis of channels");
    const Shape channels = x.shape().last(1);
    for (const detail::Array* w : {in[1], in[2], in[3], in[4]})
      if (w->shape != channels)
        detail::fail("batch_norm", in, 5,
                     {"gamma, beta, mean and variance must have the extent ", channels[0], " of the last axis"});
    detail::check_eps("batch_norm", in, 5, options.eps);
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      return cast<T>(batch_norm(cast<C>(x), cast<C>(gamma), cast<C>(beta), cast<C>(mean), cast<C>(variance), options));
    } else {
      const Tensor<T> eps = detail::make_tensor<T>(Shape{});  // on the CPU: a number goes with any device
      *detail::data_of<T>(eps.array()) = T(options.eps);
      const Tensor<T> scale = pointwise_op(detail::ScaleOfVariance{}, gamma, variance, eps);
      return pointwise_op(detail::ScaleAbout{}, x, mean, scale, beta);
    }
  } else {
    return x;
  }
}

}  // namespace ergo::inline ERGO_BUILD

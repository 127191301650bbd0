// Running products, extrema and log-sum-exp along an axis: cumprod cummax cummin cumlogsumexp. Each runs from the first
// element to the last, `reverse` from the last to the first; `exclusive` leaves out the element itself, so that of
// nothing stands first: 1, -inf (of integers the least), inf (the greatest), -inf.
//
// Derivatives are recurrences (recurrence.hpp): of products without division, so zeros are exact at every order; of the
// log-sum-exp by weights of at most 1, in double. An extremum's goes to the element chosen, of equals the first that
// the scan meets, as NaN is, which stays from its place on.
#pragma once

#include "ergo/autograd/fused_op.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/recurrence.hpp"
#include "ergo/ops/running.hpp"
#include "ergo/ops/slicing.hpp"

namespace ergo::inline ERGO_BUILD {

using ScanOptions = cpu::ScanOptions;

namespace detail {
template <class T>
constexpr void require_running_extremum() {
  static_assert(!std::is_same_v<T, bool>, "running extrema of bools: cast<int32_t>(x) first");
}
template <class M, class T>
Tensor<T> running_extremum(const char* op, const Tensor<T>& x, std::int64_t axis, ScanOptions options);
template <class T>
auto running_product(const Tensor<T>& x, std::int64_t axis, ScanOptions options);
template <class T>
Tensor<T> running_log_sum_exp(const Tensor<T>& x, std::int64_t axis, ScanOptions options);
}  // namespace detail

// y[k] = x[0] ... x[k] multiplied along an axis, the last by default; of integers and bools a Tensor<int64_t>, which
// wraps. Floats are multiplied in double, with exponents that have no end, and rounded once an element: a product that
// is a number comes out as it, to within a rounding in double a factor, whatever products of fewer or other factors
// are. So do first derivatives; those of higher order are made of products in double, and are NaN where one of them
// overflows and what it meets is 0.
template <class T>
auto cumprod(const Tensor<T>& x, AnyInteger axis = -1, ScanOptions options = {}) {
  return detail::running_product(x, axis, options);
}
// The largest of x[0], ..., x[k] along an axis; once NaN, NaN.
template <class T>
Tensor<T> cummax(const Tensor<T>& x, AnyInteger axis = -1, ScanOptions options = {}) {
  detail::require_running_extremum<T>();
  return detail::running_extremum<cpu::MaxOf>("cummax", x, axis, options);
}
// The smallest.
template <class T>
Tensor<T> cummin(const Tensor<T>& x, AnyInteger axis = -1, ScanOptions options = {}) {
  detail::require_running_extremum<T>();
  return detail::running_extremum<cpu::MinOf>("cummin", x, axis, options);
}
// log(exp(x[0]) + ... + exp(x[k])) along an axis, by the largest element so far: nothing overflows, of -inf alone it is
// -inf with gradient 0, and infinities share the gradient.
template <class T>
Tensor<T> cumlogsumexp(const Tensor<T>& x, AnyInteger axis = -1, ScanOptions options = {}) {
  static_assert(Floating<T>, "cumlogsumexp is of floating numbers: cast<float>(x) first");
  return detail::running_log_sum_exp(x, axis, options);
}

namespace detail {

template <class T>
struct RunningProduct;
template <class T>
Tensor<T> products_before(const Tensor<T>& x, int axis, bool reverse) {
  return scan_op(RunningProduct<T>{axis, {.reverse = reverse, .exclusive = true}}, x);
}
// a in the shape that it and b have in common: one may lack the axes of a vmap.
template <class T>
Tensor<T> along_with(const Tensor<T>& a, const Tensor<T>& b) {
  Shape s = a.shape();
  broadcast(s, b.shape());
  return Tensor<T>(broadcast_to(a.ref(), s));
}
// y[k] = y[k - 1] x[k], so dy[k] = x[k] dy[k - 1] + y[k - 1] dx[k]. T is float or double; definitions are in double.
struct ProductSlope {
  static constexpr auto name = "cumprod";
  static constexpr Uses uses = Uses::inputs;
  int axis;
  ScanOptions options;
  int core_of(int) const { return axis; }
  template <class T>
  Tensor<T> cpu(const Tensor<T>& given, const Tensor<T>& of_x) const {
    const Tensor<T> x = along_with(given, of_x), t = along_with(of_x, given);
    return Tensor<T>(cpu::product_slope<T>(x.array(), t.array(), x.rank() - axis, options));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& given, const Tensor<T>& of_x) const {
    const Tensor<T> x = along_with(given, of_x), t = along_with(of_x, given);
    return ergo::cuda::scan<ergo::cuda::ProductSlopeScan<T>>(name, x, x.rank() - axis,
                                                             {options.reverse, options.exclusive}, t);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& given, const Tensor<T>& t) const {
    const Tensor<double> x = cast<double>(given);
    return cast<T>(recurrence(options.exclusive ? Recurrence::exclusive : Recurrence::inclusive, axis, options.reverse,
                              x, products_before(x, axis, options.reverse) * cast<double>(t)));
  }
};
// Its transpose: dx[k] = y[k - 1] (g[k] + x[k + 1] (g[k + 1] + ...)).
struct ProductCotangent {
  static constexpr auto name = "cumprod";
  static constexpr Uses uses = Uses::inputs;
  int axis;
  ScanOptions options;
  int core_of(int) const { return axis; }
  template <class T>
  Tensor<T> cpu(const Tensor<T>& given, const Tensor<T>& of_y) const {
    const Tensor<T> x = along_with(given, of_y), g = along_with(of_y, given);
    return Tensor<T>(cpu::product_cotangent<T>(x.array(), g.array(), x.rank() - axis, options));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& given, const Tensor<T>& of_y) const {
    const Tensor<T> x = along_with(given, of_y), g = along_with(of_y, given);
    return ergo::cuda::product_cotangent(name, x, g, x.rank() - axis, {options.reverse, options.exclusive});
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& given, const Tensor<T>& g) const {
    const Tensor<double> x = cast<double>(given);
    return cast<T>(products_before(x, axis, options.reverse) *
                   recurrence(options.exclusive ? Recurrence::exclusive : Recurrence::late, axis, !options.reverse, x,
                              cast<double>(g)));
  }
};
template <class T>
struct RunningProduct {
  using In = T;
  using Out = RunningOf<cpu::ProductOf, T>;
  using C = Compute<T>;
  static constexpr auto name = "cumprod";
  int axis;
  ScanOptions options;
  Tensor<Out> run(const Tensor<T>& x, int at) const { return run_scan<cpu::ProductOf>(name, x, at, options); }
  Tensor<T> forward(const Tensor<T>& x, const Tensor<T>&, const Tensor<T>& t) const {
    return cast<T>(fused_op(ProductSlope{axis, options}, cast<C>(x), cast<C>(t)));
  }
  Tensor<T> backward(const Tensor<T>& x, const Tensor<T>&, const Tensor<T>& g) const {
    return cast<T>(fused_op(ProductCotangent{axis, options}, cast<C>(x), cast<C>(g)));
  }
};
template <class T>
struct RunningIntegerProduct {
  using In = T;
  using Out = std::int64_t;
  static constexpr auto name = "cumprod";
  static constexpr bool constant = true;
  int axis;
  ScanOptions options;
  Tensor<Out> run(const Tensor<T>& x, int at) const { return run_scan<cpu::ProductOf>(name, x, at, options); }
};
template <class T>
auto running_product(const Tensor<T>& x, std::int64_t axis, ScanOptions options) {
  const int from_back = x.rank() - resolve_axis("cumprod", x.array(), axis);
  return scan_op(std::conditional_t<Floating<T>, RunningProduct<T>, RunningIntegerProduct<T>>{from_back, options}, x);
}

// Where the running extremum stands.
template <class M, class T>
struct RunningPlace {
  using In = T;
  using Out = std::int64_t;
  static constexpr auto name = std::is_same_v<M, cpu::MaxOf> ? "cummax" : "cummin";
  static constexpr bool constant = true;
  int axis;
  bool reverse;
  Tensor<Out> run(const Tensor<T>& x, int at) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (!x.device().is_cpu())
      return ergo::cuda::scan<ergo::cuda::ArgExtremumScan<T, std::is_same_v<M, cpu::MaxOf>>>(name, x, at,
                                                                                             {reverse, false});
#endif
    const Ref<Array> from = cpu::is_storage_only(x.dtype()) ? cpu::widened(x.array()) : x.ref();
    const Array* in[] = {from.get()};
    return Tensor<Out>(cpu::running<cpu::detail::PlaceOf<M, Compute<T>>>(in, at, {.reverse = reverse}));
  }
};
template <class M, class T, bool Constant>
struct RunningExtremum {
  using In = T;
  using Out = T;
  static constexpr auto name = RunningPlace<M, T>::name;
  int axis;
  ScanOptions options;
  Tensor<T> run(const Tensor<T>& x, int at) const { return run_scan<M>(name, x, at, options); }
  Tensor<T> forward(const Tensor<T>& x, const Tensor<T>&, const Tensor<T>& t) const {
    const Tensor<T> chosen(taken_along(t, earlier(places(x)), -axis, along_on_device<T, std::int64_t>));
    if (!options.exclusive) return chosen;
    std::vector<PadWidth> widths(std::size_t(x.rank()), {0, 0});
    PadWidth& own = widths[std::size_t(x.rank() - axis)];
    (options.reverse ? own.after : own.before) = chosen.shape()[-axis] < x.shape()[-axis] ? 1 : 0;
    return pad(chosen, widths);
  }
  Tensor<T> backward(const Tensor<T>& x, const Tensor<T>&, const Tensor<T>& g) const {
    const TakeAlong take{axis, x.shape()[-axis], &along_on_device<T, std::int64_t>};
    const Tensor<std::int64_t> at = earlier(places(x));
    const Tensor<T> behind = options.exclusive ? slice(g, -axis, options.reverse ? Bound(0) : Bound(1),
                                                       options.reverse ? Bound(-1) : Bound(none))
                                               : g;
    return Tensor<T>(update(ScatterAlong{take}, nullptr, &behind.array(), &at.array()));
  }

 private:
  Tensor<std::int64_t> places(const Tensor<T>& x) const {
    return scan_op(RunningPlace<M, T>{axis, options.reverse}, x);
  }
  // All but the last of the scan, if exclusive: nothing stands behind it.
  Tensor<std::int64_t> earlier(const Tensor<std::int64_t>& place) const {
    if (!options.exclusive) return place;
    return slice(place, -axis, options.reverse ? Bound(1) : Bound(0), options.reverse ? Bound(none) : Bound(-1));
  }
};
template <class M, class T>
struct RunningExtremum<M, T, true> {
  using In = T;
  using Out = T;
  static constexpr auto name = RunningPlace<M, T>::name;
  static constexpr bool constant = true;
  int axis;
  ScanOptions options;
  Tensor<T> run(const Tensor<T>& x, int at) const { return run_scan<M>(name, x, at, options); }
};
template <class M, class T>
Tensor<T> running_extremum(const char* op, const Tensor<T>& x, std::int64_t axis, ScanOptions options) {
  const int from_back = x.rank() - resolve_axis(op, x.array(), axis);
  if constexpr (std::is_same_v<T, bool>)
    return {};
  else
    return scan_op(RunningExtremum<M, T, !Floating<T>>{from_back, options}, x);
}

// y, and its derivatives by the element, w, and by the y before, d: dy[k] = d[k] dy[k - 1] + w[k] dx[k], of which w =
// exp(x - y) and d = exp(y[k - 1] - y) have derivatives in turn.
template <class T, cpu::LogSumExp What = cpu::LogSumExp::value>
struct RunningLogSumExp {
  using In = T;
  using Out = T;
  using C = double;  // of derivatives: weights near 1 multiply along a row
  static constexpr auto name = "cumlogsumexp";
  int axis;
  ScanOptions options;
  Tensor<T> run(const Tensor<T>& x, int at) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (!x.device().is_cpu())
      return ergo::cuda::scan<ergo::cuda::LogSumExpScan<T, ergo::cuda::LogSumExp(What)>>(
          name, x, at, {options.reverse, options.exclusive});
#endif
    const Ref<Array> from = cpu::is_storage_only(x.dtype()) ? cpu::widened(x.array()) : x.ref();
    const Array* in[] = {from.get()};
    Ref<Array> y = cpu::running<cpu::detail::LogSumExpOf<Compute<T>, What>>(in, at, options);
    return Tensor<T>(y->dtype == dtype_of<T> ? std::move(y) : cpu::narrowed(*y, dtype_of<T>));
  }
  Tensor<T> forward(const Tensor<T>& given, const Tensor<T>& y, const Tensor<T>& of_x) const {
    using enum cpu::LogSumExp;
    const Tensor<C> x = cast<C>(given), t = cast<C>(of_x), w = part<weight>(x), d = part<decay>(x), own = w * t;
    const auto sum = [&](Recurrence form) { return recurrence(form, axis, options.reverse, d, own); };
    if constexpr (What == value)
      return cast<T>(sum(options.exclusive ? Recurrence::exclusive : Recurrence::inclusive));
    else if constexpr (What == weight)
      return y * (t - sum(Recurrence::inclusive));
    else
      return y * (sum(Recurrence::exclusive) - sum(Recurrence::inclusive));
  }
  Tensor<T> backward(const Tensor<T>& given, const Tensor<T>& y, const Tensor<T>& of_y) const {
    using enum cpu::LogSumExp;
    const Tensor<C> x = cast<C>(given), g = cast<C>(of_y), w = part<weight>(x), d = part<decay>(x);
    const auto back = [&](Recurrence form, const Tensor<C>& c) {
      return recurrence(form, axis, !options.reverse, d, c);
    };
    if constexpr (What == value) {
      return cast<T>(w * back(options.exclusive ? Recurrence::exclusive : Recurrence::late, g));
    } else {
      const Tensor<C> c = y * g, through = back(Recurrence::late, c);
      if constexpr (What == weight)
        return c - w * through;
      else
        return w * (back(Recurrence::exclusive, c) - through);
    }
  }
  static constexpr Uses uses = What == cpu::LogSumExp::value ? Uses::inputs : Uses::all;

 private:
  template <cpu::LogSumExp Part>
  Tensor<C> part(const Tensor<C>& x) const {
    return scan_op(RunningLogSumExp<C, Part>{axis, {.reverse = options.reverse}}, x);
  }
};
template <class T>
Tensor<T> running_log_sum_exp(const Tensor<T>& x, std::int64_t axis, ScanOptions options) {
  return scan_op(RunningLogSumExp<T>{x.rank() - resolve_axis("cumlogsumexp", x.array(), axis), options}, x);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD

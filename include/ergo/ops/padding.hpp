// pad: more elements before and after each axis, a constant or what the mode makes of x itself.
#pragma once

#include "ergo/ops/indexing.hpp"

namespace ergo::inline ERGO_BUILD {

// What lies outside of a b c d: constant v v|a b c d|v v, reflect c b|a b c d|c b, edge a a|a b c d|d d, wrap c d|a b c
// d|a b.
enum class Pad { constant, reflect, edge, wrap };

struct PadWidth {  // of one axis
  AnyInteger before, after;
};

namespace detail {
template <class T>
class PadValue {
 public:
  template <class N>
  requires(ScalarFor<T, N> || std::is_same_v<N, T>) constexpr PadValue(N n) : value_(convert<T>(n)) {
    if constexpr (!std::is_same_v<N, T>) value_ = scalar_of<T>("pad", n);
  }
  constexpr const T& value() const { return value_; }

 private:
  T value_;
};
AnyTensor padded(const AnyTensor& x, const std::vector<PadWidth>& widths, Pad mode, const void* value,
                 const IndexKernels& device);
}  // namespace detail

template <class T>
struct PadOptions {
  Pad mode = Pad::constant;
  detail::PadValue<T> value = convert<T>(0);  // of Pad::constant
};

// x with `before` and `after` more places on each axis: `pad(x, {{1, 1}, {0, 2}})`. An Error if reflect reaches further
// than the extent less 1, or if edge, wrap find an axis empty.
template <class T>
Tensor<T> pad(const Tensor<T>& x, const std::vector<PadWidth>& widths, const PadOptions<T>& options = {}) {
  return Tensor<T>(
      detail::padded(x, widths, options.mode, &options.value.value(), detail::take_on_device<T, std::int64_t>));
}

namespace detail {

// The last n axes with `before` places in front and `extent` in all.
struct Frame {
  int n;
  std::int64_t before[kMaxRank], count[kMaxRank], extent[kMaxRank];
  // What lies within the frame a.
  Ref<Array> within(const Array& a) const {
    const int lead = a.shape.rank() - n;
    const Ref<Array> r = Array::view(a, a.shape);
    for (int d = 0; d < a.shape.rank(); ++d) {
      r->stride[d] = a.stride[d];
      if (d >= lead) r->shape[d] = count[d - lead];
    }
    if (r->numel())
      for (int d = 0; d < n; ++d) r->data += before[d] * a.stride[lead + d];
    r->settle();
    return r;
  }
  Shape around(const Shape& s) const {
    Shape r = s;
    for (int d = 0; d < n; ++d) r[s.rank() - n + d] = extent[d];
    return r;
  }
};
struct Crop {
  using any_device = void;
  static constexpr auto name = "pad";
  Frame frame;
  int core_of(int) const { return frame.n; }
  AnyTensor value(const AnyTensor& x) const { return AnyTensor(frame.within(x.array())); }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const;
};
struct PadZeros {
  using any_device = void;
  static constexpr auto name = "pad";
  Frame frame;
  int core_of(int) const { return frame.n; }
  AnyTensor value(const AnyTensor& x) const {
    const Ref<Array> r = zeroed(x.dtype(), frame.around(x.shape()), x.device());
    copy_strided(*frame.within(*r), x.array());
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(Crop{frame}, g); }
};
inline AnyTensor Crop::transpose(const AnyTensor& g, const Shape&) const { return linear_op(PadZeros{frame}, g); }

// With another constant: affine, so its derivatives are those of PadZeros.
struct PadOp final : CopiedOp<PadOp> {
  PadZeros zeros;
  std::uint64_t bits;  // of the constant
  PadOp(const Frame& f, std::uint64_t b) : CopiedOp("pad", 1), zeros{f}, bits(b) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  int core(int) const { return zeros.frame.n; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    Ref<Array> r = Array::make(x[0]->dtype, zeros.frame.around(x[0]->shape), x[0]->device);
    fill_bytes(*r, &bits);
    copy_strided(*zeros.frame.within(*r), *x[0]);
    y[0] = std::move(r);
  }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dx[0] = linear_op(Crop{zeros.frame}, AnyTensor(Ref<Array>::share(g[0]))).ref();
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) ty[0] = linear_op(zeros, AnyTensor(Ref<Array>::share(t[0]))).ref();
  }
};

// Where each place of a padded axis comes from.
inline AnyTensor pad_sources(Pad mode, std::int64_t before, std::int64_t n, std::int64_t total) {
  const Ref<Array> r = Array::make(DType::int64, Shape{total});
  auto* p = data_of<std::int64_t>(*r);
  for (std::int64_t k = 0; k < total; ++k) {
    const std::int64_t i = k - before;
    if (mode == Pad::edge)
      p[k] = i < 0 ? 0 : i >= n ? n - 1 : i;
    else if (mode == Pad::wrap)
      p[k] = (i % n + n) % n;
    else
      p[k] = i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
  }
  return AnyTensor(r);
}
ERGO_ONCE AnyTensor padded(const AnyTensor& x, const std::vector<PadWidth>& widths, Pad mode, const void* value,
                           const IndexKernels& device) {
  Array& a = x.array();
  if (int(widths.size()) != a.shape.rank())
    fail("pad", a, {widths.size(), " pairs of widths for rank ", a.shape.rank()});
  Frame f{a.shape.rank(), {}, {}, {}};
  bool any = false;
  for (int d = 0; d < f.n; ++d) {
    const std::int64_t before = widths[std::size_t(d)].before, after = widths[std::size_t(d)].after, n = a.shape[d];
    const std::string axis = "axis " + std::to_string(d);
    if (before < 0 || after < 0) fail("pad", a, {axis, ": widths must not be negative (slice takes away)"});
    f.before[d] = before;
    f.count[d] = n;
    if (__builtin_add_overflow(before, n, &f.extent[d]) || __builtin_add_overflow(f.extent[d], after, &f.extent[d]))
      fail("pad", a, {axis, ": more than 2^63 - 1 places"});
    if (before + after == 0) continue;
    any = true;
    const std::int64_t most = before > after ? before : after;
    if (mode == Pad::reflect && most > n - 1)
      fail("pad", a, {axis, " of extent ", n, " reflects at most ", n > 0 ? n - 1 : 0, " places, not ", most});
    if (mode != Pad::constant && n == 0) fail("pad", a, {axis, " is empty: there is nothing to repeat"});
  }
  if (!any) return x;
  if (mode == Pad::constant) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, value, std::size_t(size_of(a.dtype)));
    if (bits == 0) return linear_op(PadZeros{f}, x);
    Array* in[] = {&a};
    return AnyTensor(dispatch1(PadOp(f, bits), in));
  }
  AnyTensor y = x;
  for (int d = 0; d < f.n; ++d)
    if (f.extent[d] != f.count[d]) {
      const AnyTensor from = pad_sources(mode, f.before[d], f.count[d], f.extent[d]);
      y = taken(kPad, y, AnyTensor(to_device(from.array(), x.device())), d, device);
    }
  return y;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD

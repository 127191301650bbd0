// max_pool2d: the largest element of each window of channels-last images (N, H, W, C). Padding never wins, a NaN does,
// the first of equals is chosen and gets the whole derivative. Nothing but the choice is kept: the operation is a
// gather by it, linear, so that derivatives of every order are gathers and scatters.
#pragma once

#include "ergo/autograd/linear_op.hpp"
#include "ergo/cpu/max_pool.hpp"
#include "ergo/cpu/storage.hpp"
#include "ergo/ops/spatial.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/pool.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct PoolOptions {
  Spatial stride = 0;      // 0: the kernel's size
  Padding2d padding = 0;   // at most half the kernel
  bool ceil_mode = false;  // windows that begin inside may end outside
};

namespace detail {

// The largest element of each window, (..., OH, OW, C), or which one of the plane it is.
template <class Out, class T>
Ref<Array> pool_windows(const cpu::PoolShape& s, const Tensor<T>& x) {
  using C = Compute<T>;
  const Ref<Array> from = cpu::is_storage_only(x.dtype()) ? cpu::widened(x.array()) : dense(x.array());
  const Shape lead = from->shape.first(from->shape.rank() - 3);
  Ref<Array> y = Array::make(dtype_of<Out>, lead + Shape{s.out_h, s.out_w, s.c});
  if (y->numel()) cpu::max_pool<C>(s, lead.product(), data_of<C>(*from), data_of<Out>(*y));
  return y;
}
struct MaxPoolIndices {
  static constexpr auto name = "max_pool2d";
  static constexpr bool constant = true;
  cpu::PoolShape s;
  int core_of(int) const { return 3; }
  template <class T>
  Tensor<std::int32_t> value(const Tensor<T>& x) const {
    return Tensor<std::int32_t>(pool_windows<std::int32_t>(s, x));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<std::int32_t> cuda(const Tensor<T>& x) const {
    return ergo::cuda::max_pool<std::int32_t>(s, x);
  }
#endif
};
// The values at once, where no transform asks for the choice.
struct MaxPoolValues {
  static constexpr auto name = "max_pool2d";
  static constexpr bool constant = true;
  cpu::PoolShape s;
  int core_of(int) const { return 3; }
  template <class T>
  Tensor<T> value(const Tensor<T>& x) const {
    Ref<Array> y = pool_windows<Compute<T>>(s, x);
    return Tensor<T>(cpu::is_storage_only(x.dtype()) ? cpu::narrowed(*y, x.dtype()) : std::move(y));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::max_pool<T>(s, x);
  }
#endif
};

// Leading axes of two operands whose last three axes belong together, broadcast: f(i, plane of a, plane of b), in
// planes.
template <class F>
void for_each_plane(const Shape& lead, const Array& a, const Array& b, const F& f) {
  const auto plane = [&](const Array& x, std::int64_t index) {
    const int own = x.shape.rank() - 3;
    std::int64_t at = 0, block = 1;
    for (int d = lead.rank() - 1; d >= 0; --d) {
      const int k = d - (lead.rank() - own);
      if (k >= 0) {
        if (x.shape[k] != 1) at += index % lead[d] * block;
        block *= x.shape[k];
      }
      index /= lead[d];
    }
    return at;
  };
  parallel_for(lead.product(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i, plane(a, i), plane(b, i));
  });
}

// y[..., o, c] = x[..., index[..., o, c], c] over the two axes of a plane, and its transpose, which adds.
struct PoolGather {
  static constexpr auto name = "max_pool2d";
  cpu::PoolShape s;
  int core_of(int) const { return 3; }
  template <class T>
  Tensor<T> value(const Tensor<T>& x, const Tensor<std::int32_t>& index) const {
    const Ref<Array> from = dense(x.array()), at = dense(index.array());
    Shape lead = from->shape.first(from->shape.rank() - 3);
    broadcast(lead, at->shape.first(at->shape.rank() - 3));
    const std::int64_t c = from->shape[-1], outputs = at->shape[-3] * at->shape[-2], inputs = s.h * s.w * c;
    Ref<Array> y = Array::make(dtype_of<T>, lead + at->shape.last(3));
    if (y->numel() == 0) return Tensor<T>(std::move(y));
    for_each_plane(lead, *from, *at, [&](std::int64_t i, std::int64_t px, std::int64_t pi) {
      const T* p = data_of<T>(*from) + px * inputs;
      const std::int32_t* k = data_of<std::int32_t>(*at) + pi * outputs * c;
      T* q = data_of<T>(*y) + i * outputs * c;
      for (std::int64_t o = 0; o < outputs; ++o)
        for (std::int64_t j = 0; j < c; ++j, ++k) *q++ = p[*k * c + j];
    });
    return Tensor<T>(std::move(y));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<std::int32_t>& index) const {
    return ergo::cuda::pool_gather(x, index);
  }
#endif
  template <class T>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&, const Tensor<std::int32_t>& index) const;
};
struct PoolScatter {
  static constexpr auto name = "max_pool2d";
  cpu::PoolShape s;
  int core_of(int) const { return 3; }
  template <class T>
  Tensor<T> value(const Tensor<T>& g, const Tensor<std::int32_t>& index) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      return Tensor<T>(cpu::narrowed(value(Tensor<C>(cpu::widened(g.array())), index).array(), dtype_of<T>));
    } else {
      const Ref<Array> from = dense(g.array()), at = dense(index.array());
      Shape lead = from->shape.first(from->shape.rank() - 3);
      broadcast(lead, at->shape.first(at->shape.rank() - 3));
      const std::int64_t c = from->shape[-1], outputs = at->shape[-3] * at->shape[-2], inputs = s.h * s.w * c;
      Ref<Array> y = Array::make(dtype_of<T>, lead + Shape{s.h, s.w, c});
      const std::uint64_t zero = 0;
      fill_bytes(*y, &zero);
      for_each_plane(lead, *from, *at, [&](std::int64_t i, std::int64_t pg, std::int64_t pi) {
        const T* p = data_of<T>(*from) + pg * outputs * c;
        const std::int32_t* k = data_of<std::int32_t>(*at) + pi * outputs * c;
        T* q = data_of<T>(*y) + i * inputs;
        for (std::int64_t o = 0; o < outputs; ++o)
          for (std::int64_t j = 0; j < c; ++j, ++k) q[*k * c + j] += *p++;
      });
      return Tensor<T>(std::move(y));
    }
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<std::int32_t>& index) const {
    return ergo::cuda::pool_scatter(s, g, index);
  }
#endif
  template <class T>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&, const Tensor<std::int32_t>& index) const {
    return linear_op(PoolGather{s}, g, index);
  }
};
template <class T>
Tensor<T> PoolGather::transpose(const Tensor<T>& g, const Shape&, const Tensor<std::int32_t>& index) const {
  return linear_op(PoolScatter{s}, g, index);
}

// The number of windows along one axis, and checks of what the options exclude.
inline std::int64_t pooled_extent(const char* op, const Array& x, std::int64_t n, std::int64_t kernel,
                                  std::int64_t stride, Ends padding, bool ceil_mode) {
  if (padding.before < 0 || padding.after < 0 || 2 * padding.before > kernel || 2 * padding.after > kernel)
    fail(op, x, {"padding is at most half the kernel of ", kernel});
  const std::int64_t room = n + padding.before + padding.after - kernel;
  if (room < 0)
    fail(op, x, {"a kernel of ", kernel, " is larger than the padded axis of ", n + padding.before + padding.after});
  std::int64_t out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && out * stride < n + padding.before) ++out;
  return out;
}

}  // namespace detail

// The largest element of each window of `kernel` (a number, or {rows, columns}): x (N, H, W, C), or one image (H, W,
// C), to (N, OH, OW, C).
template <Floating T>
Tensor<T> max_pool2d(const Tensor<T>& x, Spatial kernel, PoolOptions options = {}) {
  const detail::Array& a = x.array();
  if (x.rank() < 3) detail::fail("max_pool2d", a, "an image (N, H, W, C) or (H, W, C) is expected");
  if (options.stride.h == 0 && options.stride.w == 0) options.stride = kernel;
  const std::int64_t h = a.shape[-3], w = a.shape[-2];
  if (h >= (std::int64_t(1) << 31) / (w + 1))
    detail::fail("max_pool2d", a, "planes of 2^31 elements and more are not supported");
  if (h == 0 || w == 0) detail::fail("max_pool2d", a, "the image's plane is empty");
  if (!detail::within_spatial(1, {kernel.h, kernel.w, options.stride.h, options.stride.w}))
    detail::fail("max_pool2d", a, "kernel and stride are at least 1 and at most 2^28");
  const Ends rows = options.padding.rows(h, kernel.h, options.stride.h, 1),
             columns = options.padding.columns(w, kernel.w, options.stride.w, 1);
  detail::MaxPoolIndices choose{
      {h, w, a.shape[-1], kernel.h, kernel.w, options.stride.h, options.stride.w, rows.before, columns.before,
       detail::pooled_extent("max_pool2d", a, h, kernel.h, options.stride.h, rows, options.ceil_mode),
       detail::pooled_extent("max_pool2d", a, w, kernel.w, options.stride.w, columns, options.ceil_mode)}};
  if (a.depth == 0) return linear_op(detail::MaxPoolValues{choose.s}, x);
  return linear_op(detail::PoolGather{choose.s}, x, linear_op(choose, x));
}

}  // namespace ergo::inline ERGO_BUILD

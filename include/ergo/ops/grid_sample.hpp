// grid_sample: channels-last images read at places between their pixels. Linear in the image, piecewise bilinear in the
// grid. Of three operations that are each other's first derivatives, two have such rules, the third and all higher
// orders go through the definition.
#pragma once

#include "ergo/autograd/fused_op.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/cpu/gather.hpp"
#include "ergo/cpu/grid_sample.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/resample.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/slicing.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/grid_sample.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct GridSampleOptions {
  GridMode mode = GridMode::bilinear;
  GridPadding padding = GridPadding::zeros;
};

namespace detail {

// What all three have: the last three axes of every operand are its own.
struct GridOperands {
  cpu::GridShape s;
  int core_of(int) const { return 3; }

  // kernel(images, where(i)(image): the operand's data, result's) on dense operands with broadcast leading axes.
  template <class T, std::size_t N, class Kernel>
  static Tensor<T> run(const Tensor<T>* const (&operands)[N], const Shape& tail, const Kernel& kernel) {
    Ref<Array> x[N];
    Shape lead;
    for (std::size_t i = 0; i < N; ++i) {
      x[i] = dense(operands[i]->array());
      broadcast(lead, x[i]->shape.first(x[i]->shape.rank() - 3));
    }
    cpu::LeadingAxes<int(N)> at(lead);
    for (std::size_t i = 0; i < N; ++i) at.operand(int(i), *x[i], x[i]->shape.rank() - 3);
    Ref<Array> y = Array::make(dtype_of<T>, lead + tail);
    const auto where = [&](int i) {
      return [&, i](std::int64_t image) {
        return reinterpret_cast<const T*>(x[std::size_t(i)]->data + at.offset(i, image));
      };
    };
    if (y->numel()) kernel(lead.product(), where, data_of<T>(*y));
    return Tensor<T>(std::move(y));
  }
};

struct GridSample;

struct GridSlope : GridOperands {  // (g, x, grid) to the gradient of the grid
  static constexpr auto name = "grid_sample";
  template <class T>
  Tensor<T> cpu(const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& grid) const {
    const Tensor<T>* const in[] = {&g, &x, &grid};
    return run(in, grid.shape().last(3), [&](std::int64_t images, const auto& at, T* y) {
      ergo::cpu::grid_slope<T>(s, images, at(0), at(1), at(2), y);
    });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& grid) const {
    return ergo::cuda::grid_slope(s, g, x, grid);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& grid) const;
};

struct GridScatter : GridOperands {  // (g, grid) to the gradient of the image
  static constexpr auto name = "grid_sample";
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& g, const Tensor<T>& grid) const {
    const Tensor<T>* const in[] = {&g, &grid};
    return run(in, Shape{s.h, s.w, s.c}, [&](std::int64_t images, const auto& at, T* y) {
      ergo::cpu::grid_scatter<T>(s, images, at(0), at(1), y);
    });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& grid) const {
    return ergo::cuda::grid_scatter(s, g, grid);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& g, const Tensor<T>& grid) const;
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>> vjp(const Tensor<T>& h, const Tensor<T>& y, const Tensor<T>& g,
                                       const Tensor<T>& grid, Wanted wanted) const;
};

struct GridSample : GridOperands {  // (x, grid) to the values at the grid
  static constexpr auto name = "grid_sample";
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x, const Tensor<T>& grid) const {
    const Tensor<T>* const in[] = {&x, &grid};
    return run(in, grid.shape().last(3).first(2) + Shape{s.c}, [&](std::int64_t images, const auto& at, T* y) {
      ergo::cpu::grid_sample<T>(s, images, at(0), at(1), y);
    });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& grid) const {
    return ergo::cuda::grid_sample(s, x, grid);
  }
#endif
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>> vjp(const Tensor<T>& g, const Tensor<T>&, const Tensor<T>& x, const Tensor<T>& grid,
                                       Wanted wanted) const {
    return {wanted[0] ? fused_op(GridScatter{{s}}, g, grid) : Tensor<T>(),
            wanted[1] ? fused_op(GridSlope{{s}}, g, x, grid) : Tensor<T>()};
  }

  // Along one axis of n pixels, cpu::grid_place on tensors (..., P, 1).
  template <class T>
  struct Place {
    Tensor<T> weight[2];
    Tensor<bool> inside[2];
    Tensor<std::int32_t> at[2];
    Place(const ergo::cpu::GridShape& s, std::int64_t pixels, const Tensor<T>& coordinate) {
      const T n = T(pixels), last = T(pixels - 1);
      Tensor<T> p = ((coordinate + T(1)) * n - T(1)) * T(0.5);
      if (s.padding == GridPadding::reflection) {
        const Tensor<T> u = p + T(0.5), turns = floor(u / n), rest = u - turns * n;
        p = where(turns - T(2) * floor(turns * T(0.5)) != T(0), n - rest, rest) - T(0.5);
      }
      // Not clip, whose slope at its bounds is 1: here it is 0 there.
      if (s.padding != GridPadding::zeros) p = where(p <= T(0), T(0), where(p >= last, last, p));
      const bool nearest = s.mode == GridMode::nearest;
      const Tensor<T> cell = nearest ? round(p) : floor(p);
      weight[1] = nearest ? cell - cell : p - cell;
      weight[0] = T(1) - weight[1];
      for (int k = 0; k < (nearest ? 1 : 2); ++k) {
        const Tensor<T> here = cell + T(k);
        inside[k] = logical_not(logical_or(here<T(0), here> last));
        at[k] = cast<std::int32_t>(clip(here, T(0), last));
      }
    }
  };
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& grid) const {
    const Shape lead = grid.shape().first(grid.rank() - 3), plane = grid.shape().last(3).first(2);
    const auto coordinate = [&](int k) {
      return ergo::reshape(slice(grid, -1, k, k + 1), lead + Shape{plane.product(), 1});
    };
    const Place<T> across(s, s.w, coordinate(0)), down(s, s.h, coordinate(1));
    const Shape own = x.shape().first(x.rank() - 3);
    Shape ones;
    for (int d = own.rank(); d < lead.rank(); ++d) ones.push(1);
    const Tensor<T> pixels = ergo::reshape(x, ones + own + Shape{s.h * s.w, s.c});
    const int corners = s.mode == GridMode::nearest ? 1 : 2;
    Tensor<T> sum;
    for (int i = 0; i < corners; ++i)
      for (int j = 0; j < corners; ++j) {
        const Tensor<bool> inside = logical_and(down.inside[i], across.inside[j]);
        Tensor<std::int32_t> at = down.at[i] * std::int32_t(s.w) + across.at[j];
        Shape more;
        for (int d = at.rank(); d < pixels.rank(); ++d) more.push(1);
        at = ergo::reshape(at, more + at.shape());
        const Tensor<T> term = where(inside, take_along_axis(pixels, at, -2), T(0)) *
                               where(inside, down.weight[i] * across.weight[j], T(0));
        sum = sum.defined() ? sum + term : term;
      }
    return ergo::reshape(sum, sum.shape().first(sum.rank() - 2) + plane + Shape{s.c});
  }
};

template <class T>
Tensor<T> GridSlope::definition(const Tensor<T>& g, const Tensor<T>& x, const Tensor<T>& grid) const {
  Shape lead = grid.shape().first(grid.rank() - 3);
  broadcast(lead, x.shape().first(x.rank() - 3));
  broadcast(lead, g.shape().first(g.rank() - 3));
  const auto read = [&](const Tensor<T>& at) { return GridSample{{s}}.definition(x, at); };
  return ergo::vjp(read, ergo::broadcast_to(grid, lead + grid.shape().last(3)))
      .second(ergo::broadcast_to(g, lead + g.shape().last(3)));
}
template <class T>
Tensor<T> GridScatter::definition(const Tensor<T>& g, const Tensor<T>& grid) const {
  Shape lead = grid.shape().first(grid.rank() - 3);
  broadcast(lead, g.shape().first(g.rank() - 3));
  const auto read = [&](const Tensor<T>& image) { return GridSample{{s}}.definition(image, grid); };
  const Tensor<T> zero(zeroed(dtype_of<T>, lead + Shape{s.h, s.w, s.c}, g.device()));
  return ergo::vjp(read, zero).second(ergo::broadcast_to(g, lead + g.shape().last(3)));
}
template <class T>
std::tuple<Tensor<T>, Tensor<T>> GridScatter::vjp(const Tensor<T>& h, const Tensor<T>&, const Tensor<T>& g,
                                                  const Tensor<T>& grid, Wanted wanted) const {
  return {wanted[0] ? fused_op(GridSample{{s}}, h, grid) : Tensor<T>(),
          wanted[1] ? fused_op(GridSlope{{s}}, g, h, grid) : Tensor<T>()};
}

// What the operands are, checked.
inline void check_grid_sample(Array& x, Array& grid) {
  constexpr auto op = "grid_sample";
  Array* in[] = {&x, &grid};
  const auto wrong = [&](const Message& why) { fail(op, in, 2, why); };
  same_device(op, in, 2);
  const int rank = x.shape.rank();
  if ((rank != 3 && rank != 4) || grid.shape.rank() != rank)
    wrong("an image (N, H, W, C) and a grid (N, OH, OW, 2), or both without N, are expected");
  if (grid.shape[-1] != 2) wrong({"the grid's places have ", grid.shape[-1], " coordinates, not 2: (x, y)"});
  if (rank == 4 && x.shape[0] != grid.shape[0])
    wrong({"batches of ", x.shape[0], " images and ", grid.shape[0], " grids differ"});
  check_images(op, x);
  if (x.shape[-3] == 0 || x.shape[-2] == 0) wrong("the image's plane is empty");
  if (grid.shape[-3] > kMostSpatial || grid.shape[-2] > kMostSpatial || grid.shape[-3] * grid.shape[-2] >= 1 << 29)
    wrong("grids of 2^29 places and more are not supported");
}

}  // namespace detail

// Images x (N, H, W, C) at the places of grid (N, OH, OW, 2), as (N, OH, OW, C); or one image and one grid. A place is
// (x, y): -1 and 1 are the outer edges of the first and the last column or row. Nearest is half to even, its gradient
// by the grid 0; with border and reflection that gradient is also 0 along an axis at the centres of its first and last
// pixel. A NaN reads NaN, but 0 where with padding zeros the other coordinate is outside; what an infinite coordinate
// reads is the padding's, but NaN with reflection.
template <Floating T>
Tensor<T> grid_sample(const Tensor<T>& x, const Tensor<T>& grid, const GridSampleOptions& options = {}) {
  using C = Compute<T>;
  if constexpr (!std::is_same_v<T, C>) {
    return cast<T>(grid_sample(cast<C>(x), cast<C>(grid), options));
  } else {
    detail::check_grid_sample(x.array(), grid.array());
    const Shape &s = x.shape(), &g = grid.shape();
    return fused_op(detail::GridSample{{{s[-3], s[-2], s[-1], g[-3] * g[-2], options.mode, options.padding}}}, x, grid);
  }
}

}  // namespace ergo::inline ERGO_BUILD

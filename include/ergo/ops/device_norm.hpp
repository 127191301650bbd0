// The norm of a whole tree on a device, and its clipping, by kernels/optim.cuh: a launch over all tensors of a dtype,
// one more for the norm, and one a dtype for the clipped tensors. The host waits for nothing.
#pragma once

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include <optional>

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/cuda/optimizer.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

// p := g. The gradient comes scaled.
struct TakeRule {
  static constexpr int states = 0;
};
template <class A>
struct UpdateNumbers<TakeRule, A> {
  __device__ __forceinline__ explicit UpdateNumbers(const TakeRule&) {}
  __device__ __forceinline__ void update(A& p, A g, A*) const { p = g; }
};

namespace detail {

// How the tensors of a dtype are summed and scaled.
struct NormLaunch {
  void (*squares)(Stream&, const AnyUpdate*, const UpdateChunk*, std::int64_t n_chunks, SquareSums*);
  void (*scale)(Stream&, const AnyUpdate*, const UpdateChunk*, std::int64_t n_chunks, const ClippedNorm*);
};
template <class T>
inline constexpr NormLaunch norm_launch = {
    [](Stream& s, const AnyUpdate* tensors, const UpdateChunk* chunks, std::int64_t n, SquareSums* sums) {
      launch_gradient_squares<T, T>(s, reinterpret_cast<const UpdateTensor<T>*>(tensors), chunks, n, sums);
    },
    [](Stream& s, const AnyUpdate* tensors, const UpdateChunk* chunks, std::int64_t n, const ClippedNorm* by) {
      launch_update<TakeRule, T, T>(s, TakeRule{}, reinterpret_cast<const UpdateTensor<T>*>(tensors), chunks, n,
                                    nullptr, by);
    }};

// Whether kernels of this file serve a tree: at depth 0, on one CUDA device, which becomes `device`.
template <class Tree>
bool on_one_device(const Tree& tree, Device& device) {
  bool serves = true, first = true;
  tree::zip(
      [&](const auto& x) {
        if (first) device = x.device();
        first = false;
        serves = serves && x.array().depth == 0 && x.device() == device;
      },
      tree);
  return serves && device.is_cuda();
}

// The norm of a tree; it scaled into `clipped`, a copy of it, unless that is null.
template <class R, class Tree>
Tensor<R> global_norm(Device device, const Tree& tree, double max_norm, Tree* clipped) {
  static thread_local StepMemory memory;
  const Work w(device);
  UpdateGroups<const NormLaunch*> groups;
  std::vector<Ref<Array>> gradients, results;
  const auto add = [&](const NormLaunch* f, const Array& x) {
    gradients.push_back(ergo::detail::dense(x));
    const Array& g = *gradients.back();
    w.reads(g);
    AnyUpdate t{g.data, g.data, nullptr, nullptr, {}, {}, g.numel()};
    if (clipped) {
      results.push_back(w.make(x.dtype, x.shape));
      t.out = results.back()->data;
    }
    groups.add(f, t);
  };
  tree::zip([&]<class T>(const Tensor<T>& x) { add(&norm_launch<T>, x.array()); }, tree);
  groups.send(w, memory);
  const std::int64_t n_chunks = groups.n_chunks();
  const Workspace sums(w, gradient_squares_workspace(n_chunks)), result(w, sizeof(ClippedNorm));
  Ref<Array> norm = w.make(dtype_of<R>, Shape{});
  auto* const all = reinterpret_cast<SquareSums*>(sums.data());
  auto* const factor = reinterpret_cast<ClippedNorm*>(result.data());
  std::int64_t at = 0;
  for (const auto& g : groups) {
    g.function->squares(w.stream(), g.on_device(), g.chunks_on_device(), g.n_chunks, all + at);
    at += g.n_chunks;
  }
  launch_clip<R>(w.stream(), all, n_chunks, max_norm, factor, reinterpret_cast<R*>(norm->data));
  if (clipped) {
    for (const auto& g : groups) g.function->scale(w.stream(), g.on_device(), g.chunks_on_device(), g.n_chunks, factor);
    ergo::detail::LeafList leaves(results.begin(), results.end());
    ergo::detail::assign_leaves(*clipped, std::move(leaves));
  }
  return Tensor<R>(std::move(norm));
}

// The norm as R, of a tree that these kernels serve.
template <class R, class Tree>
std::optional<Tensor<R>> tree_norm(const Tree& tree) {
  Device device;
  if (!on_one_device(tree, device)) return {};
  return global_norm<R, Tree>(device, tree, std::numeric_limits<double>::max(), nullptr);
}
// {the tree scaled to a norm of at most max_norm, its norm as R}.
template <class R, class Tree>
std::optional<std::pair<Tree, Tensor<R>>> clip_by_global_norm(const Tree& tree, double max_norm) {
  Device device;
  if (!on_one_device(tree, device)) return {};
  std::pair<Tree, Tensor<R>> result{tree, {}};
  result.second = global_norm<R>(device, tree, max_norm, &result.first);
  return result;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD::cuda
#endif

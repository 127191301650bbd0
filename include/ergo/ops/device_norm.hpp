// The norm of a whole tree on a device, and its clipping, by kernels/clip.cuh: a launch over all tensors of a dtype for
// their squares, then one for the norm, or one a dtype for the clipped tensors, which finds the norm itself. The host
// waits for nothing.
#pragma once

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include <optional>

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/cuda/optimizer.hpp"
#include "ergo/kernels/clip.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {

// How the tensors of a dtype are summed and scaled, R being the type of the norm.
template <class R>
struct NormLaunch {
  void (*squares)(Stream&, const char* name, const AnyUpdate*, const UpdateChunk*, std::int64_t n_chunks, SquareSums*);
  void (*clip)(Stream&, const char* name, const AnyUpdate*, const UpdateChunk*, std::int64_t n_chunks,
               const SquareSums*, int parts, double max_norm, R* norm);
};
template <class R, class T>
inline constexpr NormLaunch<R> norm_launch = {
    [](Stream& s, const char* name, const AnyUpdate* tensors, const UpdateChunk* chunks, std::int64_t n,
       SquareSums* sums) {
      launch_square_sums<T>(s, name, reinterpret_cast<const UpdateTensor<T>*>(tensors), chunks, n, sums);
    },
    [](Stream& s, const char* name, const AnyUpdate* tensors, const UpdateChunk* chunks, std::int64_t n,
       const SquareSums* sums, int parts, double max_norm, R* norm) {
      launch_clip<R, T>(s, name, reinterpret_cast<const UpdateTensor<T>*>(tensors), chunks, n, sums, parts, max_norm,
                        norm);
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
Tensor<R> global_norm(Device device, const char* name, const Tree& tree, double max_norm, Tree* clipped) {
  static thread_local StepMemory memory;
  const Work w(device);
  UpdateGroups<const NormLaunch<R>*> groups;
  std::vector<Ref<Array>> gradients, results;
  const auto add = [&](const NormLaunch<R>* f, const Array& x) {
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
  tree::zip([&]<class T>(const Tensor<T>& x) { add(&norm_launch<R, T>, x.array()); }, tree);
  groups.send(w, memory);
  int parts = 0;
  for (const auto& g : groups) parts += norm_parts(g.n_chunks);
  const Workspace room(w, std::size_t(parts) * sizeof(SquareSums));
  auto* const sums = reinterpret_cast<SquareSums*>(room.data());
  Ref<Array> norm = w.make(dtype_of<R>, Shape{});
  auto* to = reinterpret_cast<R*>(norm->data);
  int at = 0;
  for (const auto& g : groups) {
    g.function->squares(w.stream(), name, g.on_device(), g.chunks_on_device(), g.n_chunks, sums + at);
    at += norm_parts(g.n_chunks);
  }
  if (!clipped || parts == 0) launch_norm_of_parts<R>(w.stream(), name, sums, parts, to);
  if (clipped) {
    for (const auto& g : groups) {
      g.function->clip(w.stream(), name, g.on_device(), g.chunks_on_device(), g.n_chunks, sums, parts, max_norm, to);
      to = nullptr;  // the first has written it
    }
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
  return global_norm<R, Tree>(device, "norm", tree, std::numeric_limits<double>::max(), nullptr);
}
// {the tree scaled to a norm of at most max_norm, its norm as R}.
template <class R, class Tree>
std::optional<std::pair<Tree, Tensor<R>>> clip_by_global_norm(const Tree& tree, double max_norm) {
  Device device;
  if (!on_one_device(tree, device)) return {};
  std::pair<Tree, Tensor<R>> result{tree, {}};
  result.second = global_norm<R>(device, "clip_by_global_norm", tree, max_norm, &result.first);
  return result;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD::cuda
#endif

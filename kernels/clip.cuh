// The Euclidean norm of all elements of many tensors, and the tensors scaled to a norm of at most `most`:
//
//   norm = sqrt(sum of x^2),   y = x factor,   factor = most / max(norm, most) + (norm - norm)
//
// so factor is 1 or less, and NaN where the norm is not finite. The tensors are lists in device memory, cut into chunks
// of 8192 elements (optim.cuh). Two launches, however many tensors there are: squares are summed in at most 512 parts;
// then every block of the second adds those parts for itself, all on the same tree, and scales chunks by what it finds.
// The host learns nothing. 16-byte packs where a tensor's pointers are aligned.
//
// Sums are doubles on trees fixed by the numbers of elements, whether packs are loaded or not; squares of doubles are
// scaled where they leave the range. The norm and the factor have the widest type, R; a factor rounds to the type of
// the tensor that it scales.
#pragma once

#include "ergo/kernels/optim.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kNormParts = 512;    // of the tensors of one type, at most
inline constexpr int kClipBlocks = 1024;  // at most: so that the parts are not added for each chunk

// ---- device code ----

// Squares of ordinary numbers, and of those whose squares a double cannot hold, scaled (Blue 1978; Anderson 2017).
struct SquareSums {
  static constexpr double kBig = 0x1p486, kSmall = 0x1p-511, kDown = 0x1p-538, kUp = 0x1p537;
  double middle, big, small;

  template <class T>
  __device__ __forceinline__ void add(T x) {
    const double v = fabs(double(widen(x)));
    if constexpr (sizeof(T) == 8) {
      if (v > kBig)
        big = __fma_rn(v * kDown, v * kDown, big);
      else if (v < kSmall)
        small = __fma_rn(v * kUp, v * kUp, small);
      else
        middle = __fma_rn(v, v, middle);  // a NaN too
    } else {
      middle = __fma_rn(v, v, middle);
    }
  }
  __device__ __forceinline__ double root() const {
    if (middle != middle) return middle;
    if (big > 0) return ::sqrt(big + update_mul(update_mul(middle, kDown), kDown)) / kDown;
    if (small > 0 && middle == 0) return ::sqrt(small) / kUp;
    return ::sqrt(middle + update_mul(update_mul(small, 1 / kUp), 1 / kUp));
  }
};
template <int Block, class T = double>
__device__ __forceinline__ SquareSums block_squares(const SquareSums& x) {
  SquareSums r{block_sum<Block>(x.middle), 0, 0};
  if constexpr (sizeof(T) == 8) {
    r.big = block_sum<Block>(x.big);
    r.small = block_sum<Block>(x.small);
  }
  return r;
}

// Where a chunk lies in its tensor.
struct ChunkPlace {
  std::int64_t first;
  int n;
  __device__ __forceinline__ ChunkPlace(const UpdateChunk& chunk, std::int64_t of_tensor)
      : first(std::int64_t(chunk.number) * kUpdateChunk),
        n(of_tensor - first < kUpdateChunk ? int(of_tensor - first) : kUpdateChunk) {}
};

// sums[b]: of the squares of chunks b, b + gridDim.x, ...
template <class T>
__global__ void __launch_bounds__(kUpdateBlock)
    square_sums_kernel(const UpdateTensor<T>* tensors, const UpdateChunk* chunks, int n_chunks, SquareSums* sums) {
  constexpr int V = kPackOf<T>;
  SquareSums mine{0, 0, 0};
  for (int c = int(blockIdx.x); c < n_chunks; c += int(gridDim.x)) {
    const UpdateChunk chunk = chunks[c];
    const ChunkPlace at(chunk, tensors[chunk.tensor].n);
    const T* x = tensors[chunk.tensor].gradient + at.first;
    const bool packed = reinterpret_cast<std::uintptr_t>(x) % 16 == 0;
    for (int i = int(threadIdx.x) * V; i < at.n; i += kUpdateBlock * V) {
      if (packed && i + V <= at.n) {
        const Pack<T, V> p = load_pack<V>(x + i);
#pragma unroll
        for (int k = 0; k < V; ++k) mine.add(p[k]);
      } else {
        for (int k = i; k < i + V && k < at.n; ++k) mine.add(x[k]);
      }
    }
  }
  const SquareSums all = block_squares<kUpdateBlock, T>(mine);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

// The norm of which `sums` are the parts, known to all threads of the block.
template <class R>
__device__ __forceinline__ R norm_of_parts(const SquareSums* sums, int parts) {
  SquareSums mine{0, 0, 0};
  for (int i = int(threadIdx.x); i < parts; i += kUpdateBlock) {
    mine.middle += sums[i].middle;
    mine.big += sums[i].big;
    mine.small += sums[i].small;
  }
  return R(block_squares<kUpdateBlock, R>(mine).root());
}
template <class R>
__global__ void __launch_bounds__(kUpdateBlock) norm_kernel(const SquareSums* sums, int parts, R* result) {
  const R norm = norm_of_parts<R>(sums, parts);
  if (threadIdx.x == 0) *result = norm;
}
// `result` may be null: another launch writes it.
template <class R, class T>
__global__ void __launch_bounds__(kUpdateBlock)
    clip_kernel(const UpdateTensor<T>* tensors, const UpdateChunk* chunks, int n_chunks, const SquareSums* sums,
                int parts, R most, R* result) {
  constexpr int V = kPackOf<T>;
  const R norm = norm_of_parts<R>(sums, parts);
  if (result && blockIdx.x == 0 && threadIdx.x == 0) *result = norm;
  const Compute<T> factor = widen(cast_element<T>(most / (norm > most ? norm : most) + (norm - norm)));
  for (int c = int(blockIdx.x); c < n_chunks; c += int(gridDim.x)) {
    const UpdateChunk chunk = chunks[c];
    const ChunkPlace at(chunk, tensors[chunk.tensor].n);
    const T* x = tensors[chunk.tensor].gradient + at.first;
    T* y = tensors[chunk.tensor].out + at.first;
    int done = 0;
    if ((reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(y)) % 16 == 0) {
      done = at.n / V * V;
      for (int i = int(threadIdx.x) * V; i < done; i += kUpdateBlock * V) {
        Pack<T, V> p = load_pack<V>(x + i);
#pragma unroll
        for (int k = 0; k < V; ++k) p[k] = narrow<T>(update_mul(widen(p[k]), factor));
        store_pack(y + i, p);
      }
    }
    for (int i = done + int(threadIdx.x); i < at.n; i += kUpdateBlock)
      y[i] = narrow<T>(update_mul(widen(x[i]), factor));
  }
}

// ---- launchers ----

// How many parts the squares of so many chunks are summed in.
inline int norm_parts(std::int64_t n_chunks) { return int(n_chunks < kNormParts ? n_chunks : kNormParts); }

// First stage: for the tensors of one type, whose `gradient` is what is summed. It fills norm_parts(n_chunks) of sums.
template <class T>
void launch_square_sums(Stream& stream, const char* name, const UpdateTensor<T>* tensors, const UpdateChunk* chunks,
                        std::int64_t n_chunks, SquareSums* sums) {
  if (n_chunks == 0) return;
  launch(stream, name, {unsigned(norm_parts(n_chunks)), kUpdateBlock}, square_sums_kernel<T>, tensors, chunks,
         int(n_chunks), sums);
}
// The norm alone, from the parts of all types.
template <class R>
void launch_norm_of_parts(Stream& stream, const char* name, const SquareSums* sums, int parts, R* norm) {
  launch(stream, name, {1, kUpdateBlock}, norm_kernel<R>, sums, parts, norm);
}
// Second stage: for the tensors of one type, `gradient` scaled into `out`; the norm goes to `norm` unless that is null.
template <class R, class T>
void launch_clip(Stream& stream, const char* name, const UpdateTensor<T>* tensors, const UpdateChunk* chunks,
                 std::int64_t n_chunks, const SquareSums* sums, int parts, double max_norm, R* norm) {
  constexpr double kLargest = double(std::numeric_limits<R>::max());
  if (n_chunks == 0) return;
  launch(stream, name, {unsigned(n_chunks < kClipBlocks ? n_chunks : kClipBlocks), kUpdateBlock}, clip_kernel<R, T>,
         tensors, chunks, int(n_chunks), sums, parts, R(max_norm < kLargest ? max_norm : kLargest), norm);
}

}  // namespace ergo::inline ERGO_BUILD::cuda

// What the code of a kernel stands on while it runs: CUDA's qualifiers and built-in variables, and the calls of the
// engine by which a thread waits for others, stops its launch, or names shared memory.
//
// One kernel runs at a time in the whole process, block after block, its threads on fibers. So the built-in variables
// and `__shared__` memory are plain statics: the running thread's, and the running block's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../vector_types.h"

#define __global__
#define __device__
#define __host__
#if defined(SIMT_CHECKED)  // a gap, named by its line, before each variable: what runs past another lands there
#define SIMT_GAP_NAME(line) simt_gap_##line
#define SIMT_GAP(line) SIMT_GAP_NAME(line)
#define __shared__                                          \
  static __attribute__((used)) char SIMT_GAP(__LINE__)[64]; \
  static
#else
#define __shared__ static
#endif
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif
// No __constant__, no __managed__: kernels of ergo have parameters only.

inline constinit uint3 threadIdx{}, blockIdx{};
inline constinit dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

namespace simt {

// Where in the source a thread waits.
struct Place {
  const char* file = nullptr;
  int line = 0;
};
// The last parameter of what a kernel calls: the place of the call.
#define SIMT_AT simt::Place at = {__builtin_FILE(), __builtin_LINE()}

// Ends the launch: reports `what` with kernel, block, thread and place; the device's context is lost, as after a trap.
[[noreturn]] void fail(const char* what, Place at);

// The block's dynamic shared memory, 128-byte aligned; null when the launch asked for none.
void* dynamic_shared();
std::size_t dynamic_shared_size();

unsigned lane();
unsigned thread_rank();   // in the block, x fastest
unsigned active_lanes();  // of the warp: those that have not returned

enum class Vote { none, any, all, count };
// __syncthreads and its reductions.
int barrier(Vote vote, int predicate, Place at);
// bar.sync / bar.arrive: barrier `id` (0 to 15) opens when `threads` (whole warps) have come.
void named_barrier_sync(int id, unsigned threads, SIMT_AT);
void named_barrier_arrive(int id, unsigned threads, SIMT_AT);

// A warp operation. Waits until every lane of `mask` has called with the same `operation`; the last one runs
// combine(arguments of the lanes, null for the others; lanes that take part).
using Combine = void (*)(void* const* arguments, unsigned lanes);
void collective(unsigned mask, const void* operation, void* argument, Combine combine, Place at);

// A look at memory that another thread is to change: lets the other threads of the block run. A block in which nothing
// but polling happens is ended with a diagnosis.
void poll(Place at);
void progress();  // an atomic changed something

// cp.async: the bytes arrive at the wait that names their group; until then the destination holds NaN.
void cp_async(void* shared, const void* global, unsigned bytes, unsigned source_bytes, SIMT_AT);
void cp_async_commit();
void cp_async_wait(unsigned groups_left);

}  // namespace simt

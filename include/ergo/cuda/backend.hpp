// CUDA as a back end of the core: memory, copies on and between devices, waiting. Including this header installs it.
#pragma once

#include "ergo/core/array.hpp"
#include "ergo/cuda/staging.hpp"
#include "ergo/kernels/movement.cuh"

namespace ergo::inline ERGO_BUILD::cuda {
namespace detail {

using ergo::detail::Buffer;

inline int count_devices() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {  // no driver: no device
    (void)cudaGetLastError();
    return 0;
  }
  return n < kMaxDevices ? n : kMaxDevices;
}
inline void check_device(Device d) {
  static const int n = count_devices();
  if (d.index() < n) return;
  if (n == 0)
    throw_error({"[device] ", d, ": this machine has no GPU, or no driver for it; Device::cpu() runs everywhere"});
  throw_error({"[device] ", d, ": this machine has ", n, (n == 1 ? " GPU" : " GPUs")});
}

ERGO_ONCE void allocate(Buffer& b) {
  check_device(b.device);
  Stream& s = current_stream(b.device);
  b.data = static_cast<std::byte*>(Allocator::of(b.device.index()).allocate(b.bytes ? b.bytes : 1, s));
  b.stream = &s;
}
inline void deallocate(Buffer& b) noexcept {
  if (b.data) Allocator::of(b.device.index()).release(b.data);
}

// Work that is recorded holds on to what it touches. While it is captured nothing outside is waited for: a replay comes
// after what its thread did before.
[[gnu::cold]] ERGO_ONCE bool captured(const Stream& s, const Buffer& b) {
  if (&s != recording->stream)
    throw_error({"[capture] a captured function works on one device, ", Device::cuda(recording->stream->device),
                 ", and comes to ", Device::cuda(s.device)});
  Allocator::of(s.device).pin(b.data, *recording);
  return recording->capturing;
}

// Memory for what is written before each replay, or once before the first: none of the graph's, as earlier work of a
// replay may use the block for something else.
inline Ref<Buffer> buffer_outside(std::size_t bytes) {
  Stream& s = *recording->stream;
  const OnStream outside(*recording->outside);
  const Uncaptured meanwhile;
  Ref<Buffer> b = Buffer::make(bytes, Device::cuda(s.device));
  Allocator::of(s.device).used_on(b->data, s);
  b->stream = &s;
  return b;
}

// Before stream s, of b's device, works on b: threads may hand tensors to each other as they like.
inline void read_on(Stream& s, const Buffer& b) {
  if (recording) [[unlikely]]
    if (captured(s, b)) return;
  auto* last = static_cast<Stream*>(__atomic_load_n(&b.stream, __ATOMIC_ACQUIRE));
  if (last == &s) [[likely]]
    return;
  s.wait_for(*last);
  Allocator::of(s.device).used_on(b.data, s);
}
// Before s writes over b, whoever reads it must have done.
ERGO_ONCE void write_on(Stream& s, Buffer& b) {
  read_on(s, b);
  if (!capturing(s)) Allocator::of(s.device).await_others(b.data, s);
  __atomic_store_n(&b.stream, static_cast<void*>(&s), __ATOMIC_RELEASE);
}

// Whether a copy from or to this host memory runs beside the host. One of pageable memory returns when the host's part
// is done ("API synchronization behavior" of the CUDA runtime).
inline bool is_pinned(const void* host) {
  cudaPointerAttributes a{};
  check(cudaPointerGetAttributes(&a, host), "copy");
  return a.type != cudaMemoryTypeUnregistered;
}
// In the order of this thread's streams. The host's memory may be used again when this returns; bytes for the host are
// there then.
ERGO_ONCE void copy(std::byte* to, Buffer& to_buffer, const std::byte* from, Buffer& from_buffer, std::size_t bytes) {
  if (bytes == 0) return;
  if (to_buffer.device.is_cpu()) refuse_read_in_capture("to");
  if (from_buffer.device.is_cpu()) refuse_feed_in_capture("to");
  const Device there = to_buffer.device, here = from_buffer.device;
  Stream& s = current_stream(there.is_cuda() ? there : here);
  if (there.is_cuda()) write_on(s, to_buffer);
  if (there.is_cuda() && here.is_cuda() && there != here) {
    Stream& source = current_stream(here);
    read_on(source, from_buffer);
    s.wait_for(source);
    check(cudaMemcpyPeerAsync(to, there.index(), from, here.index(), bytes, s.handle), "copy");
    source.wait_for(s);  // what is copied may be freed in the order of its own stream
    return;
  }
  if (here.is_cuda()) read_on(s, from_buffer);
  const auto kind = here.is_cpu()    ? cudaMemcpyHostToDevice
                    : there.is_cpu() ? cudaMemcpyDeviceToHost
                                     : cudaMemcpyDeviceToDevice;
  if (const cudaError_t e = cudaMemcpyAsync(to, from, bytes, kind, s.handle); e != cudaSuccess)
    fail(e, "copy", &s.launches);
  if (kind != cudaMemcpyDeviceToDevice && is_pinned(here.is_cpu() ? from : to))
    s.synchronize("copy");
  else if (kind == cudaMemcpyDeviceToHost)
    s.waited();
}
// Elements of x to y, on one device.
ERGO_ONCE void copy_strided(const ergo::detail::Array& y, const ergo::detail::Array& x) {
  Stream& s = current_stream(y.device);
  const OnDevice on(y.device.index());
  read_on(s, *x.buffer);
  write_on(s, *y.buffer);
  CopyCall c{x.data, y.data, int(size_of(x.dtype)), x.shape.rank(), {}, {}, {}};
  for (int d = 0; d < c.rank; ++d) {
    c.extent[d] = x.shape[d];
    c.from_stride[d] = x.stride[d];
    c.to_stride[d] = y.stride[d];
  }
  launch_copy(s, c);
}
ERGO_ONCE void fill(const ergo::detail::Array& y, std::uint64_t bits) {
  Stream& s = current_stream(y.device);
  const OnDevice on(y.device.index());
  write_on(s, *y.buffer);
  launch_fill(s, y.data, y.numel(), int(size_of(y.dtype)), bits);
}
ERGO_ONCE void synchronize(Device d) {
  check_device(d);
  refuse_in_capture("synchronize", "there is nothing to wait for");
  current_stream(d).synchronize();
}
ERGO_ONCE MemoryInfo memory_info(Device d) {
  check_device(d);
  return Allocator::of(d.index()).info();
}
ERGO_ONCE Staging& take_staging(Device d, std::size_t bytes) {
  check_device(d);
  refuse_feed_in_capture("batches");
  return StagingPool::instance().take(d, bytes);
}
ERGO_ONCE void release_cached_memory() {
  StagingPool::instance().release();
  for (int i = 0, n = count_devices(); i < n; ++i) Allocator::of(i).trim();
}

inline constexpr ergo::detail::Backend backend = {&allocate,      &deallocate,
                                                  &copy,          &copy_strided,
                                                  &fill,          &synchronize,
                                                  &memory_info,   &release_cached_memory,
                                                  &count_devices, &refuse_read_in_capture,
                                                  &take_staging,  &give_staging,
                                                  &send,          &receive};
inline const bool installed = (ergo::detail::install_backend(&backend), true);

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD::cuda

// What feeds a device from the host's memory while both compute. The host fills pinned memory, and the copy stream of
// its thread carries that to the device, into memory of the copy stream's own. Who waits for whom:
//
//   the host, before it fills pinned memory again, for the copy out of it: the only wait of the host's;
//   a thread's compute stream, before it reads what came, for that copy and for none after it;
//   the copy stream, before it writes over memory that was released, for what others had been given to do there (the
//   allocator).
//
// Nothing here waits as it ends: pinned memory that is given back remembers the copy that is pending.
#pragma once

#include "ergo/core/array.hpp"
#include "ergo/cuda/allocator.hpp"

namespace ergo::inline ERGO_BUILD::cuda::detail {

using ergo::detail::Staging;

struct PinnedBlock : Staging {
  PinnedBlock(int device_, std::size_t bytes_) : device(device_), bytes(bytes_) {}
  int device;
  std::size_t bytes;
  Event copied;       // out of it, for the last time
  bool sent = false;  // whether ever
};

// Pinned memory that nobody fills at the moment, that given back first in front. Never destroyed.
class StagingPool {
 public:
  static StagingPool& instance() {
    static auto* pool = new StagingPool;
    return *pool;
  }
  // Waits until the memory's last copy is done. OutOfMemory: the host has no more to pin.
  ERGO_ONCE PinnedBlock& take(Device d, std::size_t bytes) {
    const std::size_t size = ergo::detail::class_bytes(ergo::detail::size_class(bytes));
    PinnedBlock* b = take_idle(d.index(), size);
    if (!b) return make(d.index(), size);
    try {
      if (b->sent) b->copied.wait();
    } catch (...) {
      give(*b);
      throw;
    }
    return *b;
  }
  ERGO_ONCE void give(PinnedBlock& b) noexcept {
    const std::lock_guard lock(mutex_);
    idle_.push_back(&b);  // in room that was made with the block
  }
  // Returns the idle memory to the system; waits for what is pending.
  void release() {
    const std::lock_guard lock(mutex_);
    for (PinnedBlock* b : idle_) destroy(b);
    blocks_ -= idle_.size();
    idle_.clear();
  }

 private:
  PinnedBlock* take_idle(int device, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(idle_.begin(), idle_.end(),
                                    [&](const PinnedBlock* b) { return b->device == device && b->bytes == bytes; });
    if (found == idle_.end()) return nullptr;
    PinnedBlock* b = *found;
    idle_.erase(found);
    return b;
  }
  ERGO_ONCE PinnedBlock& make(int device, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    idle_.reserve(blocks_ + 1);
    const OnDevice on(device);
    auto* b = new PinnedBlock(device, bytes);
    void* p = nullptr;
    if (const cudaError_t e = cudaMallocHost(&p, bytes); e != cudaSuccess) {
      delete b;
      if (e != cudaErrorMemoryAllocation) fail(e, "memory", nullptr);
      (void)cudaGetLastError();
      throw OutOfMemory({"[memory] ", bytes, " bytes of pinned memory asked, which the system does not give"});
    }
    b->data = static_cast<std::byte*>(p);
    ++blocks_;
    return *b;
  }
  static void destroy(PinnedBlock* b) noexcept {
    (void)cudaFreeHost(b->data);
    delete b;
  }

  std::mutex mutex_;
  std::vector<PinnedBlock*> idle_;
  std::size_t blocks_ = 0;  // idle or not
};

ERGO_ONCE void give_staging(Staging& staging) noexcept {
  StagingPool::instance().give(static_cast<PinnedBlock&>(staging));
}

ERGO_ONCE Ref<Buffer> send(Staging& staging, std::size_t bytes) {
  auto& from = static_cast<PinnedBlock&>(staging);
  const Device there = Device::cuda(from.device);
  Stream& s = copy_stream(there);
  const OnStream beside(s);
  Ref<Buffer> to = Buffer::make(bytes, there);
  if (bytes == 0) return to;
  if (const cudaError_t e = cudaMemcpyAsync(to->data, from.data, bytes, cudaMemcpyHostToDevice, s.handle);
      e != cudaSuccess)
    fail(e, "copy", &s.launches);
  from.sent = true;
  from.copied.record(s.handle);
  return to;
}

ERGO_ONCE void receive(Staging& staging, Buffer& b) {
  refuse_feed_in_capture("batches");
  Stream& s = current_stream(b.device);
  if (b.bytes) static_cast<PinnedBlock&>(staging).copied.make_wait(s.handle);
  Allocator::of(s.device).used_on(b.data, s);
  __atomic_store_n(&b.stream, static_cast<void*>(&s), __ATOMIC_RELEASE);
}

}  // namespace ergo::inline ERGO_BUILD::cuda::detail

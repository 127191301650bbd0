// Device memory by a caching allocator whose order is that of streams. A block that its home stream releases may be
// handed out at once for later work of that stream. One that a further stream worked on comes back when that stream has
// passed the point: the home stream waits for it, the host never does.
//
// A captured graph has a stream of its own, and with it its own blocks, which `trim` leaves alone. Blocks of other
// streams that it works on are pinned: released, they wait for the last graph.
//
// ERGO_CUDA_ALLOCATOR=direct makes each allocation the driver's own, of its exact size: what checkers of memory need.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <unordered_map>

#include "ergo/core/allocator.hpp"
#include "ergo/cuda/recording.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

// The memory of one device. Safe to use from all threads; never destroyed.
class Allocator {
 public:
  ERGO_ONCE static Allocator& of(int device) {
    static Allocator* const all = [] {
      auto* a = new Allocator[kMaxDevices];
      for (int i = 0; i < kMaxDevices; ++i) a[i].device_ = i;
      return a;
    }();
    return all[device];
  }

  // `bytes` > 0 bytes for work of `stream`; OutOfMemory names what was asked, what is free, and the largest holders.
  ERGO_ONCE void* allocate(std::size_t bytes, Stream& stream, const char* holder = "tensor") {
    const std::lock_guard lock(mutex_);
    const std::size_t size = direct_ ? bytes : ergo::detail::class_bytes(ergo::detail::size_class(bytes));
    void* p = take(size, stream);
    if (!p && !detail::recording) {  // trimming waits for the device
      trim_locked();
      p = take(size, stream);
    }
    if (!p) fail_memory(bytes);
    try {
      blocks_[p] = {size, &stream, holder};
    } catch (...) {
      (void)cudaFreeAsync(p, stream.handle);
      throw;
    }
    live_ += std::int64_t(size);
    peak_ = std::max(peak_, live_);
    return p;
  }
  bool direct() const { return direct_; }
  // `other` works on the block too: its home stream takes it back after that.
  ERGO_ONCE void used_on(void* p, Stream& other) {
    const std::lock_guard lock(mutex_);
    Block& b = blocks_.at(p);
    if (b.home != &other && std::find(b.others.begin(), b.others.end(), &other) == b.others.end())
      b.others.push_back(&other);
  }
  // What other streams were given to do with the block comes before further work of `stream`.
  void await_others(void* p, Stream& stream) {
    const std::lock_guard lock(mutex_);
    for (const Stream* other : blocks_.at(p).others)
      if (other != &stream) stream.wait_for(*other);
  }
  // The block's user is done with it, in the order of its streams.
  void release(void* p) noexcept {
    const std::lock_guard lock(mutex_);
    release_locked(p);
  }
  // The recorded work touches the block, which stays until `unpin`.
  void pin(void* p, detail::Recording& r) {
    const std::lock_guard lock(mutex_);
    Block& b = blocks_.at(p);
    if (b.home != r.stream && r.touched.insert(p).second) ++b.pins;
  }
  void unpin(void* p) noexcept {
    const std::lock_guard lock(mutex_);
    Block& b = blocks_.find(p)->second;
    if (--b.pins == 0 && b.released) release_locked(p);
  }
  // Returns to the driver what the stream keeps, from now on as others do.
  void close(Stream& s) noexcept {
    const std::lock_guard lock(mutex_);
    s.keeps_blocks = false;
    free_lists([&](Stream* home) { return home == &s; });
  }
  // Returns what is cached to the driver.
  void trim() {
    const std::lock_guard lock(mutex_);
    trim_locked();
  }
  MemoryInfo info() {
    const std::lock_guard lock(mutex_);
    return {live_, cached_, peak_};
  }

 private:
  struct Block {
    std::size_t size;
    Stream* home;
    const char* holder;
    std::vector<Stream*> others = {};
    int pins = 0;
    bool released = false;
  };

  Allocator() {
    const char* mode = std::getenv("ERGO_CUDA_ALLOCATOR");
    direct_ = mode && std::string(mode) == "direct";
  }

  ERGO_ONCE void release_locked(void* p) noexcept {
    const auto found = blocks_.find(p);
    // A captured stream waits for nobody.
    if (detail::capturing(*found->second.home) && !found->second.others.empty() && !found->second.pins) try {
        detail::recording->touched.insert(p);
        ++found->second.pins;
      } catch (...) {}
    if (found->second.pins) {
      found->second.released = true;
      return;
    }
    const Block b = std::move(found->second);
    blocks_.erase(found);
    live_ -= std::int64_t(b.size);
    try {
      for (const Stream* other : b.others) b.home->wait_for(*other);
      if (!direct_ || b.home->keeps_blocks) {
        free_[{b.home, b.size}].push_back(p);
        cached_ += std::int64_t(b.size);
        return;
      }
    } catch (...) {  // a lost device, or no memory for the list: the driver has it back
    }
    (void)cudaFreeAsync(p, b.home->handle);
  }

  ERGO_ONCE void* take(std::size_t size, Stream& stream) {
    if (const auto list = free_.find({&stream, size}); list != free_.end() && !list->second.empty()) {
      void* p = list->second.back();
      list->second.pop_back();
      cached_ -= std::int64_t(size);
      return p;
    }
    const OnDevice on(device_);
    void* p = nullptr;
    const cudaError_t e =
        detail::capturing(stream) ? allocate_beside(&p, size) : cudaMallocAsync(&p, size, stream.handle);
    if (e == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return nullptr;
    }
    check(e, "memory");
    return p;
  }
  // For a stream that is captured: there is no memory in its order. That is rare, as its function has run before.
  cudaError_t allocate_beside(void** p, std::size_t size) {
    if (!beside_) beside_ = detail::take_stream(device_);
    const detail::Uncaptured meanwhile;
    const cudaError_t e = cudaMallocAsync(p, size, beside_->handle);
    return e == cudaSuccess ? cudaStreamSynchronize(beside_->handle) : e;
  }
  template <class F>
  void free_lists(F of_stream) {
    for (auto list = free_.begin(); list != free_.end();) {
      if (!of_stream(list->first.first)) {
        ++list;
        continue;
      }
      for (void* p : list->second) {
        (void)cudaFreeAsync(p, list->first.first->handle);
        cached_ -= std::int64_t(list->first.second);
      }
      list = free_.erase(list);
    }
  }
  void trim_locked() {
    if (free_.empty()) return;
    const OnDevice on(device_);
    free_lists([](const Stream* home) { return !home->keeps_blocks; });
    (void)cudaDeviceSynchronize();
  }
  [[noreturn]] void fail_memory(std::size_t bytes) {
    std::size_t free = 0, total = 0;
    const OnDevice on(device_);
    (void)cudaMemGetInfo(&free, &total);
    std::vector<std::pair<std::size_t, const char*>> largest;
    for (const auto& entry : blocks_) largest.emplace_back(entry.second.size, entry.second.holder);
    const std::size_t shown = std::min<std::size_t>(3, largest.size());
    std::partial_sort(largest.begin(), largest.begin() + std::ptrdiff_t(shown), largest.end(),
                      [](const auto& a, const auto& b) { return a.first > b.first; });
    std::string holders;
    for (std::size_t i = 0; i < shown; ++i)
      holders += (i ? ", " : "; the largest: ") + std::to_string(largest[i].first) + " " + largest[i].second;
    throw OutOfMemory({"[memory] ", bytes, " bytes asked on ", Device::cuda(device_), ", ", free, " of ", total,
                       " free, ", live_, " in use by tensors, ", cached_, " cached", holders});
  }

  std::mutex mutex_;
  int device_ = 0;
  bool direct_ = false;
  Stream* beside_ = nullptr;
  std::map<std::pair<Stream*, std::size_t>, std::vector<void*>> free_;  // by home stream and size
  std::unordered_map<void*, Block> blocks_;                             // in use
  std::int64_t live_ = 0, cached_ = 0, peak_ = 0;
};

}  // namespace ergo::inline ERGO_BUILD::cuda

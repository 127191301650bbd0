// What a capture (graph.hpp) asks of the layers below while a function runs in it: which memory the work touches, what
// its replays need. A function is recorded twice: run, so that every block it needs exists, then captured.
#pragma once

#include <memory>
#include <unordered_set>

#include "ergo/core/array.hpp"
#include "ergo/cuda/runtime.hpp"

namespace ergo::inline ERGO_BUILD::cuda::detail {

using ergo::detail::Buffer;
using ergo::detail::Ref;

// Numbers that the host makes anew for each replay, in device memory.
struct BeforeReplay {
  virtual ~BeforeReplay() = default;
  virtual void prepare() = 0;  // all that can fail
  virtual void undo() noexcept = 0;
  virtual void send(Stream&) = 0;
};

struct Recording {
  Stream* stream = nullptr;   // of the function's work, and of no other; its blocks stay with it
  Stream* outside = nullptr;  // the thread's own
  bool capturing = false;
  std::unordered_set<void*> touched;  // blocks of other streams, pinned
  struct Constant {
    Ref<Buffer> memory;
    std::vector<std::byte> bytes;
  };
  std::vector<Constant> constants;  // for the device, once, before the first replay
  std::vector<std::unique_ptr<BeforeReplay>> before;
};
inline constinit thread_local Recording* recording = nullptr;  // this thread's, while its function runs
inline bool capturing(const Stream& s) { return recording && recording->capturing && recording->stream == &s; }

inline void refuse_in_capture(const char* op, const char* why) {
  if (recording) throw_error({"[", op, "] inside cuda::capture ", why});
}
inline void refuse_feed_in_capture(const char* op) {
  refuse_in_capture(op, "nothing is copied from the host, as no replay would read it again: cuda::refill before it");
}
inline void refuse_read_in_capture(const char* op) {
  refuse_in_capture(op, "the host reads nothing, as no replay comes back here: return the tensor");
}

// Lets this thread call, for a block, what CUDA forbids where a thread captures.
class Uncaptured {
 public:
  Uncaptured() { check(cudaThreadExchangeStreamCaptureMode(&mode_), "capture"); }
  Uncaptured(const Uncaptured&) = delete;
  Uncaptured& operator=(const Uncaptured&) = delete;
  ~Uncaptured() { (void)cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace ergo::inline ERGO_BUILD::cuda::detail

// Bad data that kernels find: indices out of range, parameters that no draw can have. A kernel neither stops nor reads
// outside; it leaves a position in a word of pinned host memory, which is read whenever the host has waited for the
// stream. Then the data are copied to the CPU, whose own check throws its message. A thread that ends, the main thread
// at exit too, prints what was not read till then.
#pragma once

#include <functional>

#include "ergo/core/copy.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/common/labels.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// The words that kernels of one stream have been given since the host last waited for it. Of one thread at a time, like
// its stream; lives as long.
class FaultList {
 public:
  // The CPU's check of data (now on the CPU); throws for what the kernel found.
  using Check = std::function<void(const Array& data)>;
  static constexpr int kSlots = 256;  // given out between two waits; the one after the last waits itself

  // kFaultWords words, all kNoFault, for one kernel on `s` that reads `data`, which live until they have been read.
  static std::int64_t* expect(Stream& s, const Array& data, Check check) {
    if (!s.faults) s.faults = new FaultList;
    FaultList& list = *s.faults;
    if (list.used_ == kSlots) s.synchronize("data");
    Fault& f = list.fault_[list.used_];
    f.check = std::move(check);
    f.data = Ref<Array>::share(const_cast<Array*>(&data));
    s.raise_faults = &raise;
    return list.word_ + kStride * list.used_++;
  }

 private:
  struct Fault {
    Ref<Array> data;
    Check check;
  };
  static constexpr int kStride = 4;  // words of a slot
  static_assert(kFaultWords <= kStride);

  FaultList() {
    ergo::cuda::check(cudaMallocHost(&word_, sizeof(std::int64_t) * kStride * kSlots), "data");
    for (int i = 0; i < kStride * kSlots; ++i) word_[i] = kNoFault;
  }

  // All slots are free again; the first kernel that found something makes the Error.
  ERGO_ONCE static void raise(Stream& s) {
    FaultList& list = *s.faults;
    s.raise_faults = nullptr;
    Fault first;
    int found = 0;
    for (int i = 0; i < list.used_; ++i) {
      std::int64_t* const word = list.word_ + kStride * i;
      if (word[0] != kNoFault && found++ == 0) first = std::move(list.fault_[i]);
      list.fault_[i] = {};
      for (int k = 0; k < kStride; ++k) word[k] = kNoFault;
    }
    list.used_ = 0;
    if (found) [[unlikely]]
      fail(s, first, found);
  }
  [[noreturn, gnu::cold]] ERGO_ONCE static void fail(const Stream& s, const Fault& f, int found) {
    std::string text = "[data] a kernel found bad data, but the CPU's check does not";
    try {
      f.check(*ergo::detail::readable("data", *f.data));
    } catch (const Error& e) { text = e.what(); }
    text +=
        "\n  (found on " + to_string(Device::cuda(s.device)) + ", told at a wait: what was computed since is suspect";
    if (found > 1) text += ", " + std::to_string(found - 1) + " more found such";
    throw Error(text + ")");
  }

  std::int64_t* word_ = nullptr;
  int used_ = 0;
  Fault fault_[kSlots];
};

}  // namespace ergo::inline ERGO_BUILD::cuda

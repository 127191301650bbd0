// Steps of optimisers on a device, by kernels/optim.cuh: a launch for all tensors of a dtype. The lists of tensors and
// of their chunks lie in device memory and stay there from step to step, as parameters updated in place stay where they
// are: a list travels again when an address has changed.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/optim.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

using ergo::detail::Buffer;

// Lists in device memory, found again by what they were made of. A copy holds none.
class KeptLists {
 public:
  KeptLists() = default;
  KeptLists(const KeptLists&) {}
  KeptLists& operator=(const KeptLists&) { return *this; }

  // Device memory with the elements of make(), a vector, for the `bytes` bytes of a key; ready for this work.
  template <class Make>
  Ref<Buffer> get(const Work& w, const void* key, std::size_t bytes, const Make& make) {
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      const List& l = lists_[i];
      if (l.memory->device != w.device() || l.key.size() != bytes || std::memcmp(l.key.data(), key, bytes)) continue;
      std::rotate(lists_.begin(), lists_.begin() + std::ptrdiff_t(i), lists_.begin() + std::ptrdiff_t(i) + 1);
      detail::read_on(w.stream(), *lists_[0].memory);
      return lists_[0].memory;
    }
    const auto elements = make();
    const auto* from = reinterpret_cast<const std::byte*>(elements.data());
    const std::size_t size = elements.size() * sizeof elements[0];
    Ref<Buffer> memory = Buffer::make(size, w.device());
    Buffer host;
    detail::copy(memory->data, *memory, from, host, size);
    const auto* begin = static_cast<const std::byte*>(key);
    if (lists_.size() == kKept) lists_.pop_back();
    lists_.insert(lists_.begin(), List{{begin, begin + bytes}, memory});
    return memory;
  }

 private:
  // Gradients are fresh memory at every step; in a loop the allocator soon hands out the same few blocks in turn.
  static constexpr std::size_t kKept = 8;
  struct List {
    std::vector<std::byte> key;
    Ref<Buffer> memory;
  };
  std::vector<List> lists_;  // the one used last first
};

// What an optimiser keeps beside its state.
struct StepMemory {
  KeptLists tensors, chunks;
};

// An UpdateTensor whose dtype the launch function knows.
using AnyUpdate = UpdateTensor<std::byte>;
using UpdateLaunch = void (*)(Stream&, const void* rule, const AnyUpdate*, const UpdateChunk*, std::int64_t n_chunks,
                              const void* stored);
template <class Rule, class T>
void launch_update_of(Stream& stream, const void* rule, const AnyUpdate* tensors, const UpdateChunk* chunks,
                      std::int64_t n_chunks, const void* stored) {
  static_assert(sizeof(AnyUpdate) == sizeof(UpdateTensor<T>));
  launch_update<Rule, T, T>(stream, *static_cast<const Rule*>(rule), reinterpret_cast<const UpdateTensor<T>*>(tensors),
                            chunks, n_chunks, static_cast<const Rule*>(stored));
}

// Tensors by what they are launched with, F: one function a dtype. Their lists are on the device after `send`.
template <class F>
class UpdateGroups {
 public:
  struct Group {
    F function;
    std::vector<AnyUpdate> tensors = {};
    std::vector<std::int64_t> elements = {};
    std::int64_t n_chunks = 0;
    Ref<Buffer> list = {}, chunks = {};
    const AnyUpdate* on_device() const { return reinterpret_cast<const AnyUpdate*>(list->data); }
    const UpdateChunk* chunks_on_device() const { return reinterpret_cast<const UpdateChunk*>(chunks->data); }
  };

  void add(F function, const AnyUpdate& t) {
    if (t.n == 0) return;
    std::size_t i = 0;
    while (i < groups_.size() && groups_[i].function != function) ++i;
    if (i == groups_.size()) groups_.push_back({function});
    Group& g = groups_[i];
    g.tensors.push_back(t);
    g.elements.push_back(t.n);
    g.n_chunks += (t.n + kUpdateChunk - 1) / kUpdateChunk;
  }
  void send(const Work& w, StepMemory& memory) {
    for (Group& g : groups_) {
      g.list = memory.tensors.get(
          w, g.tensors.data(), g.tensors.size() * sizeof g.tensors[0], [&]() -> const auto& { return g.tensors; });
      g.chunks = memory.chunks.get(w, g.elements.data(), g.elements.size() * sizeof g.elements[0],
                                   [&] { return chunks_of(g.elements); });
    }
  }
  std::int64_t n_chunks() const {
    std::int64_t n = 0;
    for (const Group& g : groups_) n += g.n_chunks;
    return n;
  }
  auto begin() const { return groups_.begin(); }
  auto end() const { return groups_.end(); }

 private:
  std::vector<Group> groups_;
};

}  // namespace ergo::inline ERGO_BUILD::cuda

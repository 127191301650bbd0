// Steps of optimisers on a device, by kernels/optim.cuh: a launch for all tensors of a dtype. The lists of tensors and
// of their chunks lie in device memory and stay there from step to step, as parameters updated in place stay where they
// are: a list travels again when an address has changed.
//
// In a capture the lists are the graph's, and the rule's numbers lie in device memory: before each replay the host
// makes them of the optimiser's options and step number, as before a step of its own.
#pragma once

#include <algorithm>

#include "ergo/core/make.hpp"
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
    for (std::size_t i = 0; i < lists_.size() && !detail::recording; ++i) {
      const List& l = lists_[i];
      if (l.memory->device != w.device() || l.key.size() != bytes || std::memcmp(l.key.data(), key, bytes)) continue;
      std::rotate(lists_.begin(), lists_.begin() + std::ptrdiff_t(i), lists_.begin() + std::ptrdiff_t(i) + 1);
      detail::read_on(w.stream(), *lists_[0].memory);
      return lists_[0].memory;
    }
    const auto elements = make();
    const auto* from = reinterpret_cast<const std::byte*>(elements.data());
    const std::size_t size = elements.size() * sizeof elements[0];
    if (detail::capturing(w.stream())) {
      Ref<Buffer> memory = detail::buffer_outside(size);
      detail::recording->constants.push_back({memory, {from, from + size}});
      return memory;
    }
    Ref<Buffer> memory = Buffer::make(size, w.device());
    check(cudaMemcpyAsync(memory->data, from, size, cudaMemcpyHostToDevice, w.stream().handle), "optim");
    if (detail::recording) return memory;
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

// A member by which an object is found again after it has moved. A copy is another object.
class Anchor {
 public:
  Anchor() = default;
  Anchor(const Anchor&) {}
  Anchor(Anchor&& a) noexcept { take(a); }
  Anchor& operator=(const Anchor&) { return *this; }
  Anchor& operator=(Anchor&& a) noexcept {
    if (&a != this && a.place_) {
      leave();
      take(a);
    }
    return *this;
  }
  ~Anchor() { leave(); }
  // Where this is, null when it is no more.
  std::shared_ptr<Anchor*> place() {
    if (!place_) place_ = std::make_shared<Anchor*>(this);
    return place_;
  }

 private:
  void take(Anchor& a) {
    place_ = std::move(a.place_);
    if (place_) *place_ = this;
  }
  void leave() {
    if (place_) *place_ = nullptr;
    place_ = nullptr;
  }
  std::shared_ptr<Anchor*> place_;
};

// What an optimiser keeps beside its state.
struct StepMemory {
  KeptLists tensors, chunks;
  Anchor anchor;
};

// The rule of a captured step, made anew for each replay by the optimiser, whose step number, if it counts, is raised.
template <class Rule, class Optimiser>
class ReplayedRule final : public detail::BeforeReplay {
 public:
  using Count = Tensor<std::int64_t> Optimiser::*;
  ReplayedRule(const char* op, Optimiser& o, Anchor& member, Rule (*rule_of)(const Optimiser&), Count count)
      : op_(op),
        place_(member.place()),
        offset_(reinterpret_cast<std::byte*>(&member) - reinterpret_cast<std::byte*>(&o)),
        rule_of_(rule_of),
        count_(count),
        stored_(detail::buffer_outside(sizeof(Rule))) {}
  const void* stored() const { return stored_->data; }

  void prepare() override {
    if (!*place_) throw_error({"[", op_, "] a captured step is replayed after the end of its optimiser"});
    Optimiser& o = optimiser();
    rule_ = rule_of_(o);
    if (!count_) return;
    before_ = o.*count_;
    o.*count_ = ergo::detail::filled(Shape{}, before_.item() + 1, Device::cpu());
  }
  void undo() noexcept override {
    if (count_) optimiser().*count_ = std::move(before_);
  }
  void send(Stream& s) override { launch_rule(s, rule_, reinterpret_cast<Rule*>(stored_->data)); }

 private:
  Optimiser& optimiser() const {
    return *reinterpret_cast<Optimiser*>(reinterpret_cast<std::byte*>(*place_) - offset_);
  }
  const char* op_;
  std::shared_ptr<Anchor*> place_;
  std::ptrdiff_t offset_;
  Rule (*rule_of_)(const Optimiser&);
  Count count_;
  Ref<Buffer> stored_;
  Rule rule_{};
  Tensor<std::int64_t> before_;
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

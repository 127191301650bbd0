#include "happens_before.hpp"

#include <algorithm>

namespace simt {
namespace {

constexpr std::uint32_t kBarrier = 1u << 16;  // of a clock

}  // namespace

void HappensBefore::Bounds::join(const Bounds& other) {
  all = std::max(all, other.all);
  for (const auto& [thread, clock] : other.more) more[thread] = std::max(more[thread], clock);
}
std::uint32_t HappensBefore::Bounds::of(unsigned thread) const {
  const auto it = more.find(thread);
  return it == more.end() ? all : std::max(all, it->second);
}

void HappensBefore::join(History& to, const History& from) {
  if (!from || from == to) return;
  if (!to) {
    to = from;
    return;
  }
  auto both = std::make_shared<Blocks>(*to);
  for (const auto& [block, bounds] : *from) (*both)[block].join(bounds);
  to = std::move(both);
}

void HappensBefore::launch_begins() {
  ++launch_generation_;
  flags_[0].clear();
  fences_ = false;
}

void HappensBefore::block_begins(std::uint32_t block, unsigned threads) {
  ++block_generation_;
  block_ = block;
  epoch_ = kBarrier;
  if (!fresh_) threads_.clear();
  fresh_ = true;
  threads_.resize(threads);
  for (Thread& t : threads_) t.clock = t.floor = epoch_;
  seen_.clear();
  gates_.fill(nullptr);
  flags_[1].clear();
  histories_ = false;
}

// The clocks are at their end: what has been recorded is forgotten, which may hide a mistake and invents none.
void HappensBefore::forget() {
  ++launch_generation_;
  ++block_generation_;
  epoch_ = kBarrier;
  seen_.clear();
  for (Thread& t : threads_) {
    t.clock = t.floor = epoch_;
    t.published = 0;
  }
}

void HappensBefore::tick(unsigned thread) {
  if ((++threads_[thread].clock & (kBarrier - 1)) == 0) forget();
}

void HappensBefore::barrier() {
  epoch_ += kBarrier;
  if (epoch_ == 0) return forget();
  if (histories_) {
    for (History Thread::*which : {&Thread::history, &Thread::pending}) {
      History all;
      for (const Thread& t : threads_) join(all, t.*which);
      for (Thread& t : threads_) t.*which = all;
    }
  }
  for (Thread& t : threads_) t.clock = t.floor = epoch_;
}

void HappensBefore::lanes_meet(unsigned warp, unsigned lanes) {
  const unsigned first = warp * 32, count = std::min(32u, static_cast<unsigned>(threads_.size()) - first);
  const unsigned exist = count == 32 ? ~0u : (1u << count) - 1;
  const auto for_lanes = [&](auto f) {
    for (unsigned m = lanes; m; m &= m - 1) f(static_cast<unsigned>(__builtin_ctz(m)));
  };
  std::uint32_t clock = 0;
  for_lanes([&](unsigned l) { clock = std::max(clock, threads_[first + l].clock); });
  if ((++clock & (kBarrier - 1)) == 0) return forget();
  if (lanes != exist) {
    if (seen_.empty()) seen_.resize(threads_.size());
    std::array<std::uint32_t, 32> joined{};
    for_lanes([&](unsigned l) {
      const std::uint32_t floor = threads_[first + l].floor;
      for (unsigned k = 0; k < 32; ++k) joined[k] = std::max({joined[k], seen_[first + l][k], floor});
    });
    for_lanes([&](unsigned l) { joined[l] = clock; });
    for_lanes([&](unsigned l) { seen_[first + l] = joined; });
  }
  for_lanes([&](unsigned l) {
    threads_[first + l].clock = clock;
    if (lanes == exist) threads_[first + l].floor = clock;
  });
  if (!histories_) return;
  for (History Thread::*which : {&Thread::history, &Thread::pending}) {
    History all;
    for_lanes([&](unsigned l) { join(all, threads_[first + l].*which); });
    for_lanes([&](unsigned l) { threads_[first + l].*which = all; });
  }
}

// What `thread` knows of `other`, a thread of its block.
std::uint32_t HappensBefore::known(unsigned thread, unsigned other) const {
  const Thread& t = threads_[thread];
  if (other == thread) return t.clock + 1;
  std::uint32_t clock = epoch_;
  if (other / 32 == thread / 32) {
    clock = std::max(clock, t.floor);
    if (!seen_.empty()) clock = std::max(clock, seen_[thread][other % 32]);
  }
  if (t.history) {
    const auto it = t.history->find(block_);
    if (it != t.history->end()) clock = std::max(clock, it->second.of(other));
  }
  return clock;
}

HappensBefore::Bounds HappensBefore::knowledge(unsigned thread) const {
  Bounds b{epoch_, {}};
  const unsigned first = thread & ~31u, end = std::min(first + 32, static_cast<unsigned>(threads_.size()));
  for (unsigned other = first; other < end; ++other) {
    const std::uint32_t clock = known(thread, other);
    if (clock > epoch_) b.more[other] = clock;
  }
  return b;
}

void HappensBefore::arrives(int barrier, unsigned thread) {
  fresh_ = false;
  auto& gate = gates_[static_cast<std::size_t>(barrier)];
  if (!gate) gate = std::make_shared<History>();
  join(*gate, threads_[thread].history);
  join(*gate, std::make_shared<Blocks>(Blocks{{block_, knowledge(thread)}}));
  threads_[thread].gate = gate;
  tick(thread);
}

void HappensBefore::opens(int barrier) {
  auto& gate = gates_[static_cast<std::size_t>(barrier)];
  if (barrier == 0 && !gate) this->barrier();
  gate = nullptr;
}

void HappensBefore::leaves(unsigned thread) {
  histories_ = true;
  join(threads_[thread].history, *threads_[thread].gate);
}

void HappensBefore::fence(unsigned thread) {
  Thread& t = threads_[thread];
  join(t.history, t.pending);
  t.pending = nullptr;
  t.fenced = knowledge(thread);
  t.fenced_history = t.history;
  tick(thread);
  t.published = t.clock;
  fences_ = true;
  fresh_ = false;
}

void HappensBefore::acquire(unsigned thread, const void* flag, bool shared, bool ordered) {
  const auto it = flags_[shared].find(flag);
  if (it == flags_[shared].end()) return;
  Thread& t = threads_[thread];
  histories_ = true;
  fresh_ = false;
  join(ordered ? t.history : t.pending, it->second);
}

// What the flag publishes: all that the thread knew at its last fence, and of what it knows now that before which the
// others have had fences of their own.
void HappensBefore::release(unsigned thread, const void* flag, bool shared, bool ordered) {
  Thread& t = threads_[thread];
  if (!ordered && !fences_) return;
  Bounds mine = ordered ? knowledge(thread) : t.fenced;
  for (unsigned other = 0; !ordered && other < threads_.size(); ++other) {
    const std::uint32_t published = std::min(threads_[other].published, known(thread, other));
    if (published > mine.of(other)) mine.more[other] = published;
  }
  History& value = flags_[shared][flag];
  join(value, ordered ? t.history : t.fenced_history);
  join(value, std::make_shared<Blocks>(Blocks{{block_, std::move(mine)}}));
  if (ordered) tick(thread);
}

Record HappensBefore::now(unsigned thread) const {
  return {block_, threads_[thread].clock, 0, 1u << thread % 32, static_cast<std::uint8_t>(thread / 32), false, false,
          0};
}

unsigned HappensBefore::unordered(const Record& r, unsigned thread) const {
  const Thread& t = threads_[thread];
  unsigned lanes = r.lanes;
  if (r.block == block_) {
    if (r.clock < epoch_) return 0;
    if (r.warp == thread / 32) {
      if (r.clock < t.floor) return 0;
      lanes &= ~(1u << thread % 32);
      for (unsigned m = seen_.empty() ? 0 : lanes; m; m &= m - 1) {
        const auto l = static_cast<unsigned>(__builtin_ctz(m));
        if (r.clock < seen_[thread][l]) lanes &= ~(1u << l);
      }
    }
  }
  if (!lanes || !t.history) return lanes;
  const auto it = t.history->find(r.block);
  if (it == t.history->end()) return lanes;
  for (unsigned m = lanes; m; m &= m - 1) {
    const auto l = static_cast<unsigned>(__builtin_ctz(m));
    if (r.clock < it->second.of(r.warp * 32u + l)) lanes &= ~(1u << l);
  }
  return lanes;
}

}  // namespace simt

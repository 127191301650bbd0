// How the threads of a block wait for each other: barriers, warp operations, polling.
#include <cstring>
#include <string>

#include "block.hpp"
#include "diagnosis.hpp"
#include "observer.hpp"

namespace simt {
namespace {

bool same(Place a, Place b) { return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0); }
std::string text(Place p) { return std::string(p.file) + ":" + std::to_string(p.line); }

}  // namespace

// Opens barrier `id`: gives all that wait there their result. `last` came last and runs on.
void Block::open(int id, Thread* last) {
  Barrier& b = barriers_[static_cast<std::size_t>(id)];
  if (observer) observer->opens(id);
  const int all = b.yes == b.arrived, count = static_cast<int>(b.yes);
  const auto result = [&](Vote v) { return v == Vote::any ? count > 0 : v == Vote::all ? all : count; };
  const auto wake = [&](Thread& t) {
    if (t.state != State::barrier || t.barrier != id || &t == last) return;
    t.result = result(t.vote);
    ready(t);
  };
  if (last) last->result = result(last->vote);
  if (order_ == Order::reverse) {
    for (std::size_t i = threads_.size(); i-- > 0;) wake(threads_[i]);
  } else {
    for (Thread& t : threads_) wake(t);
  }
  b = {};
  polls_ = 0;
}

int Block::barrier(Vote vote, int predicate, Place at) {
  Thread& t = *current_;
  Barrier& b = barriers_[0];
  if (b.arrived && !same(b.at, at)) {
    fail("threads of one block wait at different __syncthreads: " + std::to_string(b.arrived) + " at " + text(b.at) +
             ", and this one elsewhere; the barrier is for all threads of the block",
         at);
  }
  if (live_ != threads_.size()) {
    fail("__syncthreads after " + std::to_string(threads_.size() - live_) + " of " + std::to_string(threads_.size()) +
             " threads of the block have returned; every thread of the block must reach it",
         at);
  }
  b.at = at;
  b.yes += predicate != 0;
  t.barrier = 0;
  t.vote = vote;
  t.at = at;
  if (++b.arrived == live_) {
    open(0, &t);
  } else {
    t.state = State::barrier;
    wait();
  }
  return t.result;
}

void Block::named_barrier(int id, unsigned expected, bool wait_there, Place at) {
  if (id < 0 || id > 15) fail("barrier " + std::to_string(id) + " does not exist; there are 0 to 15", at);
  if (expected == 0 || expected % 32 != 0 || expected > (threads_.size() + 31) / 32 * 32) {
    fail("barrier " + std::to_string(id) + " is to wait for " + std::to_string(expected) + " threads of a block of " +
             std::to_string(threads_.size()) + "; it must be a multiple of the warp, at most the block",
         at);
  }
  Thread& t = *current_;
  Barrier& b = barriers_[static_cast<std::size_t>(id)];
  if (b.arrived && b.expected != expected) {
    fail("barrier " + std::to_string(id) + " is to wait for " + std::to_string(b.expected) + " threads at " +
             text(b.at) + " and for " + std::to_string(expected) + " here",
         at);
  }
  b.at = at;
  b.expected = expected;
  t.barrier = id;
  t.vote = Vote::none;
  t.at = at;
  if (observer) observer->arrives(id, t.rank);
  if (++b.arrived == expected) {
    open(id, wait_there ? &t : nullptr);
  } else if (wait_there) {
    t.state = State::barrier;
    wait();
  }
  if (observer && wait_there) observer->leaves(t.rank);
}

// All lanes of the thread's mask here, in the same operation? Then combines and wakes them; `last` runs on.
bool Block::try_combine(Warp& warp, Thread& thread, Thread* last) {
  const unsigned lanes = thread.mask & warp.exists, base = thread.rank & ~31u;
  if ((warp.waiting & lanes) != lanes) return false;
  void* arguments[32] = {};
  for (unsigned m = lanes; m; m &= m - 1) {
    const auto l = static_cast<unsigned>(__builtin_ctz(m));
    const Thread& t = threads_[base + l];
    if (t.mask != thread.mask || t.operation != thread.operation) {
      fail("lanes that one mask names are in different warp operations, or name different masks: lane " +
               std::to_string(l) + " waits at " + text(t.at),
           thread.at);
    }
    arguments[l] = t.argument;
  }
  if (thread.combine) thread.combine(arguments, lanes);
  if (observer) observer->lanes_meet(base / 32, lanes);
  warp.waiting &= ~lanes;
  polls_ = 0;
  for (unsigned i = 0; i < 32; ++i) {
    const unsigned l = order_ == Order::reverse ? 31 - i : i;
    if ((lanes >> l & 1) && &threads_[base + l] != last) ready(threads_[base + l]);
  }
  return true;
}

void Block::collective(unsigned mask, const void* operation, void* argument, Combine combine, Place at) {
  Thread& t = *current_;
  Warp& w = warps_[t.rank / 32];
  const unsigned bit = 1u << t.rank % 32;
  if (!(mask & bit)) {
    fail("lane " + std::to_string(t.rank % 32) + " calls a warp operation whose mask does not name it", at);
  }
  if (const unsigned gone = mask & w.exists & ~w.live) {
    fail("the mask of a warp operation names lane " + std::to_string(__builtin_ctz(gone)) +
             ", which has returned; every lane of the mask must call the operation",
         at);
  }
  t.mask = mask;
  t.operation = operation;
  t.argument = argument;
  t.combine = combine;
  t.at = at;
  w.waiting |= bit;
  if (!try_combine(w, t, &t)) {
    t.state = State::warp;
    wait();
  }
}

void Block::poll(Place at) {
  constexpr std::uint64_t kPatience = std::uint64_t{1} << 22;  // a fraction of a second
  if (++polls_ > kPatience) {
    fail(
        "the threads of the block poll memory that nobody changes; blocks run one after another, so a block may wait "
        "only for blocks that have begun (take a ticket)",
        at);
  }
  Thread& self = *current_;
  ready(self);
  if (started_ == threads_.size()) return wait();
  Thread& t = threads_[start_order_[started_++]];  // who sets the flag may not have begun
  t.fiber = take_fiber();
  enter(t);
  Fiber::switch_to(*self.fiber, *t.fiber);
}

void fail(const char* what, Place at) {
  const EngineCode here;
  Block::instance().fail(what, at);
}
void* dynamic_shared() { return Block::instance().shared; }
std::size_t dynamic_shared_size() { return Block::instance().shared_size; }
unsigned thread_rank() { return Block::instance().rank(); }
unsigned lane() { return Block::instance().rank() % 32; }
unsigned active_lanes() { return Block::instance().active_lanes(); }
int barrier(Vote vote, int predicate, Place at) {
  const EngineCode here;
  return Block::instance().barrier(vote, predicate, at);
}
void named_barrier_sync(int id, unsigned threads, Place at) {
  const EngineCode here;
  Block::instance().named_barrier(id, threads, true, at);
}
void named_barrier_arrive(int id, unsigned threads, Place at) {
  const EngineCode here;
  Block::instance().named_barrier(id, threads, false, at);
}
void collective(unsigned mask, const void* operation, void* argument, Combine combine, Place at) {
  const EngineCode here;
  Block::instance().collective(mask, operation, argument, combine, at);
}
void poll(Place at) {
  const EngineCode here;
  Block::instance().poll(at);
}
void progress() { Block::instance().progress(); }

}  // namespace simt

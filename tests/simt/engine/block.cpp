#include "block.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "diagnosis.hpp"
#include "observer.hpp"

namespace simt {

thread_local constinit bool in_kernel = false;

Block& Block::instance() {
  static auto* block = new Block;  // never destroyed: a program may end with work pending
  return *block;
}

// Threads, warps and the order of start, for blocks of one shape and order after another.
void Block::shape(dim3 block, Order order) {
  const unsigned size = block.x * block.y * block.z;
  if (order == order_ && size == threads_.size() && block.x == shape_.x && block.y == shape_.y) return;
  shape_ = block;
  order_ = order;
  threads_.resize(size);
  warps_.assign((size + 31) / 32, {});
  start_order_.resize(size);
  std::size_t capacity = 1;
  while (capacity < size) capacity *= 2;
  ring_.resize(capacity);
  for (unsigned r = 0; r < size; ++r) {
    threads_[r].rank = r;
    threads_[r].index = {r % block.x, r / block.x % block.y, r / block.x / block.y};
    warps_[r / 32].exists |= 1u << r % 32;
    start_order_[r] = order_ == Order::reverse ? size - 1 - r : r;
  }
}

void Block::reset() {
  for (Thread& t : threads_) {
    t.state = State::fresh;
    t.copy_group = 0;
  }
  for (Warp& w : warps_) w = {w.exists, w.exists, 0};
  barriers_.fill({});
  if (order_ == Order::random) {  // by the seed alone, not by the blocks before
    for (unsigned r = 0; r < start_order_.size(); ++r) start_order_[r] = r;
    random_.shuffle(start_order_);
  }
  head_ = tail_ = started_ = 0;
  live_ = static_cast<unsigned>(threads_.size());
  polls_ = 0;
}

Outcome Block::run(const Launch& launch, uint3 index, std::uint64_t seed) {
  launch_ = &launch;
  index_ = index;
  random_ = Random(seed);
  shape(launch.block, options().order);
  reset();
  blockIdx = index;
  blockDim = launch.block;
  gridDim = launch.grid;
  outcome_ = Outcome::finished;
  host_.adopt_thread();
  Thread& first = *next();
  first.fiber = take_fiber();
  enter(first);
  Fiber::switch_to(host_, *first.fiber);
  if (outcome_ != Outcome::finished) abandon();
  current_ = nullptr;
  return outcome_;
}

void Block::abandon() {
  in_kernel = false;
  current_ = nullptr;
  for (Thread& t : threads_) t.copies.clear();
  free_fibers_.clear();
  for (auto& fiber : fibers_) {
    fiber->restart();
    free_fibers_.push_back(fiber.get());
  }
}

Fiber* Block::take_fiber() {
  if (free_fibers_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&Block::fiber_entry, static_cast<unsigned>(fibers_.size())));
    return fibers_.back().get();
  }
  Fiber* fiber = free_fibers_.back();
  free_fibers_.pop_back();
  return fiber;
}

// What a failing thread throws: its frames, and those of the engine above them, are unwound before the launch ends.
namespace {
struct Failure {};
}  // namespace

// Runs the current thread to its end and goes on with the next, until a switch is needed: to the stack of the thread
// that runs on, or of the host when all have returned. `mine` is the fiber.
Fiber* Block::run_threads(Fiber* mine) {
  for (;;) {
    in_kernel = true;
    launch_->body(launch_->arguments);
    in_kernel = false;
    finish();
    Thread* t = next();
    if (!t && live_) deadlock();
    if (!t || t->state != State::fresh) {
      free_fibers_.push_back(mine);
      if (t) enter(*t);
      return t ? t->fiber : &host_;
    }
    t->fiber = mine;  // the usual case without barriers: no switch at all
    enter(*t);
  }
}

void Block::fiber_entry() {
  Fiber::entered();
  Block& b = instance();
  for (;;) {
    Fiber* const mine = b.current_->fiber;
    Fiber* to = &b.host_;
    try {
      to = b.run_threads(mine);
    } catch (const Failure&) {
      in_kernel = false;
      b.outcome_ = Outcome::failed;
    }
    Fiber::switch_to(*mine, *to);
  }
}

void Block::enter(Thread& thread) {
  current_ = &thread;
  thread.state = State::running;
  threadIdx = thread.index;
  if (observer) observer->thread_runs(thread.rank, thread.fiber->stack(), Fiber::kStack);
}

void Block::ready(Thread& thread) {
  thread.state = State::ready;
  ring_[tail_++ & (ring_.size() - 1)] = thread.rank;
}

// Threads that may run on come before fresh ones, so that few stacks are in use; a random order does otherwise at
// times.
Block::Thread* Block::next() {
  const bool random = order_ == Order::random;
  const bool fresh = started_ < threads_.size();
  if (head_ != tail_ && !(random && fresh && random_.below(4) == 0)) {
    const auto mask = static_cast<unsigned>(ring_.size() - 1);
    if (random) std::swap(ring_[head_ & mask], ring_[(head_ + random_.below(tail_ - head_)) & mask]);
    return &threads_[ring_[head_++ & mask]];
  }
  return fresh ? &threads_[start_order_[started_++]] : nullptr;
}

void Block::wait() {
  Thread& self = *current_;
  Thread* t = next();
  if (!t) deadlock();
  if (t == &self) return enter(self);  // a poll that found nobody else
  if (t->state == State::fresh) t->fiber = take_fiber();
  enter(*t);
  Fiber::switch_to(*self.fiber, *t->fiber);
}

void Block::finish() {
  Thread& t = *current_;
  if (!t.copies.empty()) fail("a thread returns while its cp.async copies are on the way; it must wait for them", {});
  t.state = State::returned;
  --live_;
  polls_ = 0;
  Warp& w = warps_[t.rank / 32];
  const unsigned bit = 1u << t.rank % 32;
  w.live &= ~bit;
  for (unsigned m = w.waiting; m; m &= m - 1) {
    const Thread& o = threads_[(t.rank & ~31u) + static_cast<unsigned>(__builtin_ctz(m))];
    if (o.mask & bit) {
      fail("a thread returns while thread " + tuple(o.index.x, o.index.y, o.index.z) +
               " waits in a warp operation whose mask names it; every lane of the mask must call the operation",
           o.at);
    }
  }
  const Barrier& b = barriers_[0];
  if (b.arrived) {
    fail("a thread returns while " + std::to_string(b.arrived) + " of " + std::to_string(threads_.size()) +
             " threads of its block wait at __syncthreads; every thread of the block must reach it",
         b.at);
  }
}

void Block::fail(const std::string& what, Place at) {
  diagnose(what + where(at));
  throw Failure();
}

void Block::stop(const std::string& what, Outcome outcome) {
  in_kernel = false;
  diagnose(what + where({}));
  outcome_ = outcome;
  Fiber::switch_to(*current_->fiber, host_);
  __builtin_unreachable();  // run() abandons the fiber
}

bool Block::on_a_stack(const void* address) const {
  return std::any_of(fibers_.begin(), fibers_.end(), [=](const auto& f) { return f->stack_contains(address); });
}

std::string Block::where(Place at) const {
  const dim3 g = launch_->grid, b = launch_->block;
  std::string text = "\n  in " + kernel_signature(launch_->kernel) + "\n  grid " + tuple(g.x, g.y, g.z) + ", block " +
                     tuple(b.x, b.y, b.z) + ": block " + tuple(index_.x, index_.y, index_.z) + ", thread " +
                     tuple(threadIdx.x, threadIdx.y, threadIdx.z);
  if (at.file) text += ", at " + std::string(at.file) + ":" + std::to_string(at.line);
  return text;
}

void Block::deadlock() {
  std::map<std::string, std::vector<unsigned>> groups;  // who waits where
  for (const Thread& t : threads_) {
    std::string state = "have returned";
    const std::string place = std::string(t.at.file ? t.at.file : "?") + ":" + std::to_string(t.at.line);
    if (t.state == State::barrier) {
      state = (t.barrier ? "wait at barrier " + std::to_string(t.barrier) : "wait at __syncthreads") + ", " + place;
    } else if (t.state == State::warp) {
      state = "wait in a warp operation, " + place;
    }
    groups[state].push_back(t.rank);
  }
  std::string text = "deadlock: no thread of the block can run on";
  for (const auto& [state, ranks] : groups) {
    text += "\n    " + std::to_string(ranks.size()) + " threads (" + std::to_string(ranks.front()) + " to " +
            std::to_string(ranks.back()) + ") " + state;
  }
  fail(text, {});
}

}  // namespace simt

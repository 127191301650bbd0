// One block at a time: its threads on fibers, its barriers and warps. A thread runs until it waits or returns; then the
// next one, chosen by the order in force, runs on. What waits for ever, or waits wrongly, ends the launch.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "fiber.hpp"
#include "random.hpp"
#include "simt/control.hpp"
#include "simt/execution.hpp"

namespace simt {

// A kernel with its arguments: body(arguments) is one thread's run.
struct Launch {
  dim3 grid, block;
  std::size_t shared = 0;
  const void* kernel = nullptr;
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  std::size_t argument_bytes = 0;
};

enum class Outcome { finished, failed, fault };

class Block {
 public:
  static Block& instance();

  // What went wrong has been reported.
  Outcome run(const Launch& launch, uint3 index, std::uint64_t seed);
  // After a fault left a fiber by another way than a switch: its launch has failed.
  void abandon();
  bool running() const { return current_ != nullptr; }
  bool guard_contains(const void* address) const { return current_ && current_->fiber->guard_contains(address); }
  [[noreturn]] void fail(const std::string& what, Place at);
  // The same where no exception may pass: the frames of the kernel's threads are dropped, not unwound.
  [[noreturn]] void stop(const std::string& what, Outcome outcome);
  // The lines of a diagnosis that say where: kernel, grid, block, thread.
  std::string where(Place at) const;

  int barrier(Vote vote, int predicate, Place at);
  void named_barrier(int id, unsigned threads, bool wait, Place at);
  void collective(unsigned mask, const void* operation, void* argument, Combine combine, Place at);
  void poll(Place at);
  void progress() { polls_ = 0; }
  unsigned rank() const { return current_->rank; }
  unsigned size() const { return static_cast<unsigned>(threads_.size()); }
  bool on_a_stack(const void* address) const;  // of any thread
  unsigned active_lanes() const { return warps_[current_->rank / 32].live; }

  struct Copy {
    void* to;
    const void* from;
    unsigned bytes, source_bytes, group;
  };
  std::vector<Copy>& copies() { return current_->copies; }
  unsigned& copy_group() { return current_->copy_group; }

  char* shared = nullptr;  // dynamic shared memory of the launch
  std::size_t shared_size = 0;

 private:
  enum class State : std::uint8_t { fresh, ready, running, barrier, warp, returned };
  struct Thread {
    uint3 index{};
    unsigned rank = 0;
    State state = State::fresh;
    Fiber* fiber = nullptr;
    Place at;                     // where it waits, and how:
    int barrier = 0, result = 0;  //   State::barrier
    Vote vote = Vote::none;
    unsigned mask = 0;  //   State::warp
    const void* operation = nullptr;
    void* argument = nullptr;
    Combine combine = nullptr;
    std::vector<Copy> copies;  // cp.async on the way
    unsigned copy_group = 0;
  };
  struct Warp {
    unsigned exists = 0, live = 0, waiting = 0;  // lanes
  };
  struct Barrier {
    unsigned arrived = 0, expected = 0, yes = 0;
    Place at;
  };

  void shape(dim3 block, Order order);
  void reset();
  Thread* next();
  void ready(Thread& thread);
  void enter(Thread& thread);
  void wait();    // the current thread waits; returns when it runs again
  void finish();  // the current thread has returned
  void open(int id, Thread* last);
  bool try_combine(Warp& warp, Thread& thread, Thread* last);
  [[noreturn]] void deadlock();
  Fiber* take_fiber();
  Fiber* run_threads(Fiber* mine);
  static void fiber_entry();

  const Launch* launch_ = nullptr;
  uint3 index_{};
  Fiber host_;  // the stack that run() was called on
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_fibers_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::array<Barrier, 16> barriers_;
  std::vector<unsigned> start_order_, ring_;  // ring_: threads that may run on, a power of two long
  unsigned head_ = 0, tail_ = 0, started_ = 0, live_ = 0;
  std::uint64_t polls_ = 0;
  Thread* current_ = nullptr;
  Outcome outcome_ = Outcome::finished;
  dim3 shape_{0, 0, 0};
  Order order_ = Order::forward;
  Random random_;
};

}  // namespace simt

// Fibers: a stack of its own each, and a switch from one to another that saves what a call must preserve. On x86-64 the
// switch is a few instructions; elsewhere (or with -DSIMT_UCONTEXT) it is ucontext's, about 20 times as slow.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT
#endif
#if defined(SIMT_UCONTEXT)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN
#endif
#endif

namespace simt {

class Fiber {
 public:
  // Below the stack lies a guard that any kernel's frame hits: frames of up to 256 KiB cannot jump over it. An odd
  // number of pages in all, so that the stacks of a block do not share a few sets of the translation buffer.
  static constexpr std::size_t kStack = std::size_t{128} << 10, kGuard = (std::size_t{256} << 10) + 4096;

  Fiber() = default;                        // stands for the stack of the calling thread
  Fiber(void (*entry)(), unsigned number);  // entry must never return
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void restart();       // abandons what ran here; the next switch enters `entry` again
  void adopt_thread();  // of a Fiber(): learns the bounds of the calling thread's stack
  bool guard_contains(const void* address) const;
  const char* stack() const { return stack_; }
  bool stack_contains(const void* address) const;
  static void switch_to(Fiber& from, Fiber& to);
  static void entered();  // the first thing that `entry` calls

 private:
  void (*entry_)() = nullptr;
  char* stack_ = nullptr;
  std::size_t size_ = 0;
  std::size_t colour_ = 0;
#if defined(SIMT_UCONTEXT)
  ucontext_t context_;
#else
  void* top_ = nullptr;
#endif
#if defined(SIMT_ASAN)
  void* fake_stack_ = nullptr;
#endif
};

}  // namespace simt

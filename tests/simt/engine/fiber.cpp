#include "fiber.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(SIMT_UCONTEXT)
// simt_switch(void** save, void* load): rbp, rbx, r12 to r15 are the callee's to preserve (System V ABI, 3.2.1). The
// modes of mxcsr and the x87 are those of the thread: no kernel changes them.
asm(R"(.text
.p2align 4
.globl simt_switch
.hidden simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch,.-simt_switch
)");
extern "C" void simt_switch(void** save, void* load);
#endif

namespace simt {

Fiber::Fiber(void (*entry)(), unsigned number) : entry_(entry), size_(kStack) {
  void* memory = mmap(nullptr, kGuard + kStack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  stack_ = static_cast<char*>(memory) + kGuard;
  if (mprotect(stack_, kStack, PROT_READ | PROT_WRITE) != 0) std::abort();
  // Stacks lie a power of two apart: started at the same offset, the hot frames of all threads of a block would share
  // a few sets of the cache. So each begins some lines lower than the one before.
  colour_ = std::size_t{number} * 7 % 48 * 64;
  restart();
}

void Fiber::restart() {
#if defined(SIMT_ASAN)
  __asan_unpoison_memory_region(stack_, size_);
#endif
  const std::size_t usable = size_ - colour_;
#if defined(SIMT_UCONTEXT)
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = usable;
  context_.uc_link = nullptr;
  makecontext(&context_, entry_, 0);
#else
  // As simt_switch leaves a stack: six registers, the address to return to; at entry rsp is 8 below a multiple of 16.
  auto** top = reinterpret_cast<void**>(stack_ + usable);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry_);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  top_ = top;
#endif
}

void Fiber::adopt_thread() {
#if defined(SIMT_ASAN)
  pthread_attr_t attributes;
  void* stack = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &size_);
  pthread_attr_destroy(&attributes);
  stack_ = static_cast<char*>(stack);
#endif
}

bool Fiber::guard_contains(const void* address) const {
  const auto* p = static_cast<const char*>(address);
  return entry_ && p >= stack_ - kGuard && p < stack_;
}

bool Fiber::stack_contains(const void* address) const {
  const auto* p = static_cast<const char*>(address);
  return p >= stack_ && p < stack_ + size_;
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
#if defined(SIMT_ASAN)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.size_);
#endif
#if defined(SIMT_UCONTEXT)
  swapcontext(&from.context_, &to.context_);
#else
  simt_switch(&from.top_, to.top_);
#endif
#if defined(SIMT_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::entered() {
#if defined(SIMT_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace simt

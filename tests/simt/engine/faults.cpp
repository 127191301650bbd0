#include "faults.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "block.hpp"
#include "device_memory.hpp"

#include <unistd.h>

namespace simt {
namespace {

thread_local Landing* landing = nullptr;
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction before[3];

[[maybe_unused]] void on_fault(int signal, siginfo_t* info, void*) {
  if (landing && Block::instance().running()) {
    landing->signal = signal;
    landing->address = info->si_addr;
    siglongjmp(landing->jump, 1);
  }
  const int device = DeviceMemory::device_of_address(info->si_addr);
  if (device >= 0) {
    char text[160];
    const int n = std::snprintf(text, sizeof text,
                                "simt: host code touches memory of device %d at %p; it must be copied to the host\n",
                                device, info->si_addr);
    if (write(STDERR_FILENO, text, static_cast<std::size_t>(n)) < 0) std::abort();
  }
  // The faulting instruction runs again and finds the handler that was there before.
  for (int i = 0; i < 3; ++i) {
    if (kSignals[i] == signal) sigaction(signal, &before[i], nullptr);
  }
}

// An overflowed stack cannot run a handler, so each thread that executes kernels has another one for it.
struct AlternateStack {
  static constexpr std::size_t kSize = 64 << 10;
  std::unique_ptr<char[]> memory;
  void take() {
    stack_t current;
    if (sigaltstack(nullptr, &current) != 0 || !(current.ss_flags & SS_DISABLE)) return;
    if (!memory) memory = std::make_unique<char[]>(kSize);
    stack_t mine{};
    mine.ss_sp = memory.get();
    mine.ss_size = kSize;
    sigaltstack(&mine, nullptr);
  }
  ~AlternateStack() {
    stack_t current;
    if (!memory || sigaltstack(nullptr, &current) != 0 || current.ss_sp != memory.get()) return;
    current = {};
    current.ss_flags = SS_DISABLE;
    sigaltstack(&current, nullptr);
  }
};
thread_local AlternateStack alternate_stack;

}  // namespace

void Landing::arrive() { landing = this; }
void Landing::leave() { landing = nullptr; }

std::string Landing::describe(int device) const {
  if (signal == SIGFPE) return "a thread divides an integer by zero";
  char hex[32];
  std::snprintf(hex, sizeof hex, "%p", address);
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  if (Block::instance().guard_contains(address)) {
    return "stack overflow: a thread has more than " + std::to_string(Fiber::kStack >> 10) + " KiB of local variables";
  }
  if (const int owner = DeviceMemory::device_of_address(address); owner >= 0 && owner != device) {
    return "a thread touches memory of device " + std::to_string(owner) + " at " + hex +
           "; the kernel runs on device " + std::to_string(device) + ", which has no access to it";
  } else if (owner >= 0) {
    return std::string("a thread touches device memory at ") + hex + ", outside every allocation";
  }
  const auto* p = static_cast<const char*>(address);
  const Block& block = Block::instance();
  if (block.shared && p >= block.shared && p < block.shared + block.shared_size + 8192) {
    return "a thread touches byte " + std::to_string(p - block.shared) + " of " + std::to_string(block.shared_size) +
           " bytes of dynamic shared memory";
  }
  if (value == 0) {
    return "a thread touches memory through a null pointer, or an address that is not aligned to the vector it moves";
  }
  return std::string("a thread touches ") + hex + ", which is no memory" + (value < 65536 ? " (a null pointer?)" : "");
}

void take_faults() {
#if !defined(SIMT_ASAN)
  alternate_stack.take();
  for (int i = 0; i < 3; ++i) {
    struct sigaction current;
    sigaction(kSignals[i], nullptr, &current);
    if ((current.sa_flags & SA_SIGINFO) && current.sa_sigaction == &on_fault) continue;
    before[i] = current;
    struct sigaction mine {};
    mine.sa_sigaction = &on_fault;
    // NODEFER: a kernel's fault is left by a jump, not by returning.
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(kSignals[i], &mine, nullptr);
  }
#endif
}

}  // namespace simt

// What the compiler makes of atomic operations in code compiled with -fsanitize=thread, of kernels and of host code:
// performed as they stand, and reported as a read, a write, or both.
#include <cstdint>

#include "access.hpp"
#include "engine/observer.hpp"

namespace {

constexpr unsigned kAtomicAccess = simt::kStrong | simt::kAtomic | simt::kAligned;

constexpr unsigned acquires(int order) {
  return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST ? simt::kAcquire : 0u;
}
constexpr unsigned releases(int order) {
  return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST ? simt::kRelease : 0u;
}
void reads(const volatile void* p, std::size_t bytes, int order, const void* pc) {
  if (!simt::in_kernel) return;
  simt::observe(const_cast<const void*>(p), bytes, simt::kRead | kAtomicAccess | acquires(order), pc);
}
void writes(const volatile void* p, std::size_t bytes, int order, const void* pc) {
  if (!simt::in_kernel) return;
  simt::observe(const_cast<const void*>(p), bytes, simt::kWrite | kAtomicAccess | releases(order), pc);
}
void updates(const volatile void* p, std::size_t bytes, int order, const void* pc) {
  reads(p, bytes, order, pc);
  writes(p, bytes, order, pc);
}

}  // namespace

#define SIMT_HERE __builtin_return_address(0)
#define SIMT_UPDATE(bits, T, operation)                                \
  T __tsan_atomic##bits##_##operation(volatile T* p, T v, int order);  \
  T __tsan_atomic##bits##_##operation(volatile T* p, T v, int order) { \
    updates(p, sizeof(T), order, SIMT_HERE);                           \
    return __atomic_##operation(p, v, __ATOMIC_SEQ_CST);               \
  }
#define SIMT_EXCHANGE(bits, T, strength, weak)                                                      \
  int __tsan_atomic##bits##_compare_exchange_##strength(volatile T* p, T* c, T v, int order, int);  \
  int __tsan_atomic##bits##_compare_exchange_##strength(volatile T* p, T* c, T v, int order, int) { \
    updates(p, sizeof(T), order, SIMT_HERE);                                                        \
    return __atomic_compare_exchange_n(p, c, v, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  }
#define SIMT_ATOMICS(bits, T)                                       \
  T __tsan_atomic##bits##_load(const volatile T* p, int order);     \
  T __tsan_atomic##bits##_load(const volatile T* p, int order) {    \
    reads(p, sizeof(T), order, SIMT_HERE);                          \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                    \
  }                                                                 \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int order);  \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int order) { \
    writes(p, sizeof(T), order, SIMT_HERE);                         \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                       \
  }                                                                 \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int order);  \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int order) { \
    updates(p, sizeof(T), order, SIMT_HERE);                        \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);             \
  }                                                                 \
  SIMT_UPDATE(bits, T, fetch_add)                                   \
  SIMT_UPDATE(bits, T, fetch_sub)                                   \
  SIMT_UPDATE(bits, T, fetch_and)                                   \
  SIMT_UPDATE(bits, T, fetch_or)                                    \
  SIMT_UPDATE(bits, T, fetch_xor)                                   \
  SIMT_EXCHANGE(bits, T, strong, false)                             \
  SIMT_EXCHANGE(bits, T, weak, true)

extern "C" {

SIMT_ATOMICS(8, std::uint8_t)
SIMT_ATOMICS(16, std::uint16_t)
SIMT_ATOMICS(32, std::uint32_t)
SIMT_ATOMICS(64, std::uint64_t)

void __tsan_atomic_thread_fence(int);
void __tsan_atomic_thread_fence(int) {
  if (simt::in_kernel) simt::observe_fence();
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int);
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"

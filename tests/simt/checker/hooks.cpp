// What the compiler calls before every load and store of code compiled with -fsanitize=thread: the names are those of
// the sanitizer's library, which is not linked. Host code calls them too, and is let through.
#include "access.hpp"
#include "engine/observer.hpp"

#define SIMT_HOOK(name, bytes, kind)                                                 \
  extern "C" void name(void* p);                                                     \
  extern "C" void name(void* p) {                                                    \
    if (simt::in_kernel) [[unlikely]]                                                \
      simt::observe(p, bytes, simt::kAligned | (kind), __builtin_return_address(0)); \
  }
#define SIMT_HOOKS(n)                                                \
  SIMT_HOOK(__tsan_read##n, n, simt::kRead)                          \
  SIMT_HOOK(__tsan_write##n, n, simt::kWrite)                        \
  SIMT_HOOK(__tsan_volatile_read##n, n, simt::kRead | simt::kStrong) \
  SIMT_HOOK(__tsan_volatile_write##n, n, simt::kWrite | simt::kStrong)

SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)

extern "C" {

void __tsan_read_range(void* p, unsigned long bytes);
void __tsan_read_range(void* p, unsigned long bytes) {
  if (simt::in_kernel && bytes) simt::observe(p, bytes, simt::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* p, unsigned long bytes);
void __tsan_write_range(void* p, unsigned long bytes) {
  if (simt::in_kernel && bytes) simt::observe(p, bytes, simt::kWrite, __builtin_return_address(0));
}

void __tsan_init();
void __tsan_init() {}
void __tsan_vptr_update(void**, void*);
void __tsan_vptr_update(void**, void*) {}

}  // extern "C"

// The one function that every access of a kernel goes through.
//
// A kernel of the checked build is compiled with -fsanitize=thread and linked without that sanitizer's library: the
// calls that the compiler puts before each load and store land in hooks.cpp and atomics.cpp, which call observe() while
// a kernel's code runs (in_kernel). cp.async, which the compiler does not see, comes from the engine and arrives here
// too. Private variables that live in registers are not seen; those on the thread's stack are, and are dropped first.
//
// Whatever counts accesses (traffic by sectors, conflicts of banks) belongs into Checker::access, behind the check of
// bounds: there the space of the address is known, and current() of the checker says which thread it is. The lanes of a
// warp come here one after another, each for itself: the accesses of one instruction have one `pc`, and for a lane that
// runs it several times the k-th belongs to the k-th of the others.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

// Bits of what an access is.
enum Kind : unsigned {
  kRead = 0,
  kWrite = 1,
  kStrong = 2,  // volatile or atomic: two of them do not race
  kAtomic = 4,  // of an atomic operation, whose read and write come here one after the other
  kAcquire = 8,
  kRelease = 16,
  kAsync = 32,    // cp.async
  kAligned = 64,  // its type is aligned to its bytes, or, of 16, to 8 at least; the processor sees to vectors of 16
};

// `bytes` at `address` are about to be read or written by the running thread, at program counter `pc`. Does not return
// when that is a mistake: it is told, and the launch ends.
void observe(const void* address, std::size_t bytes, unsigned kind, const void* pc);

// __threadfence and its like.
void observe_fence();

}  // namespace simt

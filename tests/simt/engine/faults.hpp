// Memory faults, told apart: in a kernel they end its launch, as on a device; in host code that touches device memory
// they are named before the program dies.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <string>

namespace simt {

// Where a fault of a kernel on this host thread lands: sigsetjmp(jump, 0), then arrive() ... leave().
struct Landing {
  sigjmp_buf jump;
  const void* address = nullptr;
  int signal = 0;
  void arrive();
  void leave();
  // "a thread reads or writes memory of device 1 ...", for a kernel that `device` ran.
  std::string describe(int device) const;
};

// Takes SIGSEGV, SIGBUS and SIGFPE unless they are ours already: called before device memory is closed or a kernel
// runs, since a test framework sets its own handlers for each test case. Faults of others go to the handler before.
// Under the address sanitizer, which reports faults itself, nothing is taken.
void take_faults();

}  // namespace simt

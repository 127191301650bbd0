// Kernels translated from PTX, which run in place of those that the host's compiler made. SIMT_PTX=<library> names a
// shared library of them; every kernel that is launched must then be in it.
#pragma once

#include <cstddef>
#include <vector>

namespace simt::ptx {

// A kernel as nvcc made it: body(parameters) is one thread's run, with the parameters laid out as PTX declares them.
struct Kernel {
  struct Parameter {
    unsigned offset, bytes;
  };
  const char* name;  // mangled as the host's compiler does
  void (*body)(void*);
  unsigned shared;        // bytes of static shared memory; dynamic memory follows
  unsigned most_threads;  // of __launch_bounds__, 0: no bound
  std::vector<Parameter> parameters;
};

// A translation defines one, which is known from then on.
struct Library {
  explicit Library(std::vector<Kernel> kernels);
};

// Whether kernels are to come from a library; loads that of SIMT_PTX when it is first asked.
bool in_use();
const Kernel* find(const void* kernel);  // by the name of the host's function; null if there is none

}  // namespace simt::ptx

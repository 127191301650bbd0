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
  const char* name;  // mangled
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
// By the name of the host's function and its template arguments; null if there is none. Not by the types of parameters,
// since compilers mangle those differently that depend on an expression (std::conditional_t<is_same_v<T, half>, ...>).
const Kernel* find(const void* kernel);

}  // namespace simt::ptx

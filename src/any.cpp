// A part of the archive ergo::compiled: see ergo/compiled.hpp. This one has what depends on no type, what is small,
// and every function that is ERGO_ONCE.
#define ERGO_COMPILED_EVERYTHING
#define ERGO_COMPILED_PART \
  ERGO_MOVEMENTS           \
  ERGO_OPTIMISERS(float)   \
  ERGO_OPTIMISERS(double)
#include "ergo/ergo.hpp"

#include "ergo/compiled.hpp"

// A part of the archive ergo::compiled: see ergo/compiled.hpp. This one has what depends on no type, and what is small.
#define ERGO_ONCE __attribute__((used)) inline
#define ERGO_COMPILED_PART \
  ERGO_MOVEMENTS           \
  ERGO_OPTIMISERS(float)   \
  ERGO_OPTIMISERS(double)
#include "ergo/compiled.hpp"
#include "ergo/data/glyphs.hpp"
#include "ergo/data/mnist.hpp"

// A part of the archive ergo::compiled: see ergo/compiled.hpp.
#define ERGO_COMPILED_PART \
  ERGO_COTANGENTS(float)   \
  ERGO_ARITHMETIC(float)   \
  ERGO_SMOOTH(float)       \
  ERGO_CASTS(float)
#include "ergo/compiled.hpp"

// A part of the archive ergo::compiled: see ergo/compiled.hpp.
#define ERGO_COMPILED_PART \
  ERGO_COTANGENTS(double)  \
  ERGO_ARITHMETIC(double)  \
  ERGO_SMOOTH(double)      \
  ERGO_CASTS(double)
#include "ergo/compiled.hpp"

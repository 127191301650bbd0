// A part of the archive ergo::compiled: see ergo/compiled.hpp.
#define ERGO_COMPILED_PART ERGO_SEQUENCES(float)
#include "ergo/compiled.hpp"

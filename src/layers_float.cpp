// A part of the archive ergo::compiled: see ergo/compiled.hpp.
#define ERGO_COMPILED_PART ERGO_LAYERS(float)
#include "ergo/compiled.hpp"

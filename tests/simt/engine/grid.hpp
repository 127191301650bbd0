// A launch from its first block to its last, in the order in force.
#pragma once

#include "block.hpp"

namespace simt {

// Runs the blocks of a launch one after another; what goes wrong has been reported when it returns. `device` is the
// device that runs it. Not reentrant: the caller holds the lock of the runtime.
Outcome run_grid(const Launch& launch, int device);

}  // namespace simt

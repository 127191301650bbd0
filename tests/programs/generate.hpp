// Programs at random, and the smallest one that still fails.
#pragma once

#include <functional>

#include "programs/program.hpp"

namespace programs {

// 3 to 40 steps; every number and derivative of the program is moderate, which the interpreter tells while it grows.
Program random_program(std::uint64_t seed);
// p with steps left out, inputs made plain and bodies shortened for as long as `fails` says so.
Program shrunk(Program p, const std::function<bool(const Program&)>& fails);

}  // namespace programs

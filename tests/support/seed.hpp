// Fresh random data for the tests. Each test program prints its seed as its first line; ERGO_TEST_SEED repeats a run.
#pragma once

#include <cstdint>

// The seed of this run: the number in the environment variable ERGO_TEST_SEED, else fresh. The same for every call.
std::uint64_t test_seed();

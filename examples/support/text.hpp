// Numbers as the programs print them, and the clock they go by.
#pragma once

#include <cstdint>
#include <string>

namespace examples {

// Whole numbers with a comma every three digits: 60,000.
std::string count(std::int64_t n);

// Four significant digits, without trailing zeros: 0.8913, 12.5, 3.2e-07, nan.
std::string number(double x);

// Durations: "0.8 s", "42 s", "3 min 20 s", "2 h 5 min".
std::string duration(double seconds);

// Seconds of a clock that never goes back.
double now();

}  // namespace examples

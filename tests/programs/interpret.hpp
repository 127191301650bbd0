// The independent side: one number at a time, in long double, with jets. Every result may be multiplied by 1 + noise,
// which tells how far rounding can carry the program's own numbers.
#pragma once

#include <cstring>
#include <vector>

#include "programs/jet.hpp"
#include "programs/program.hpp"

namespace programs {

template <class S>
struct Value {
  Extents shape;
  std::vector<S> at;  // row-major
};

// As rounding does, it moves equal numbers equally.
struct Noise {
  Real size = 0;
  std::uint64_t seed = 0;
  Real* peak = nullptr;  // gathers the largest number met
  Real moved(Real x) const {
    const double near = double(x);
    std::uint64_t bits;
    std::memcpy(&bits, &near, sizeof bits);
    return x * (1 + size * (Real(hash(seed, bits) >> 11) * 0x2p-53L - 1));
  }
};

// The inputs, with the two directions in their jets.
std::vector<Value<Jet>> inputs_of(const Program& p);
// What a step makes of the values before it. Numbers outside a function's domain come out as NaN.
Value<Jet> run_step(const Step& step, const std::vector<Value<Jet>>& values, const Noise& noise);

// Of the weighted sum of a program's last value: itself, its slopes in the two directions, its mixed second derivative;
// at inputs moved so far along the directions.
struct Derivatives {
  Real of[4];
};
Derivatives interpret(const Program& p, Noise noise = {}, Real along_first = 0, Real along_second = 0);

}  // namespace programs

// Data races: two accesses of one byte, one of them a write, not both atomic or volatile, neither known to come before
// the other.
#pragma once

#include <cstddef>

#include "happens_before.hpp"
#include "shadow.hpp"

namespace simt {

struct Conflict {
  Record other;  // lanes: the one it races with; 0: there is no conflict
  bool other_writes = false;
};

// Remembers an access by `record`, and says with which earlier one it races. `kind` as in access.hpp.
Conflict find_race(Shadow& shadow, const HappensBefore& order, const void* address, std::size_t bytes, unsigned kind,
                   bool shared, const Record& record, unsigned thread);
// The cp.async of `record` arrives.
void arrive(Shadow& shadow, const HappensBefore& order, const void* address, std::size_t bytes, const Record& record);

}  // namespace simt

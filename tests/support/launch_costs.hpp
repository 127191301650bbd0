// What an operation costs on a CUDA device in launches, copies to the host and waits: lines of a table, stated for each
// row of the case table. Counted by the emulated runtime; a build of nvcc has no counters.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "support/cases.hpp"

namespace cases {

// Launches of a row's `bare` (else f32) function at its first shapes, and of its first-order rule for all inputs: of
// kernels, and calls of cuBLAS.
struct LaunchLine {
  const char* row;
  int value, vjp;
  int around = 0, vjp_around = 0;  // of the launches, those of what the function puts around the operation
  const char* why = "";            // where the operation takes more than one: for what
  long counts = 0;                 // that the host copies and waits for: the data say how large the result is
};
const std::vector<LaunchLine>& launch_lines();

// Work that no row holds: `prepare` makes what it needs and gives the work itself.
struct LaunchProgram {
  std::string name;
  const char* part;
  int launches;
  std::function<std::function<void()>()> prepare;
};
std::vector<LaunchProgram> launch_programs();

struct LaunchCost {
  long launches = 0, products = 0;  // of kernels, of cuBLAS
  long copies_to_host = 0, host_waits = 0;
  std::int64_t bytes_left = 0;  // of device memory, held when the results are gone and the next wait is over
  long all() const { return launches + products; }
};
// Of one call of `work`, made `warm` times before so that tables and memory are there; its result is dropped.
LaunchCost launch_cost(const std::function<void()>& work, int warm = 1);

// Checks what any operation keeps to (no copy to the host, no wait, nothing left), and notes it for the table.
// `counts`: how many counts the host copies and waits for, as only results do whose shape depends on the data.
void check_cost(const std::string& name, const char* part, const LaunchCost& cost, long launches, long counts = 0);
void check_line(const LaunchLine& line, const Case& c);
// With ERGO_SHOW_LAUNCHES set, prints what was noted.
void show_launches();

}  // namespace cases

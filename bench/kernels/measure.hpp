// Operations on a CUDA device as rows of a table: what each moves or computes at the least, and its time by events.
//
// A row makes its inputs when its turn comes, random ones and so many sets that they exceed the L2 cache several times;
// calls take the sets in turn. A sample is as many calls as fill half a millisecond, between two events on the stream
// that the operations use; so a small operation is measured with the host's part of it, as in a program.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ergo/core/tensor.hpp"
#include "ergo/cuda/backend.hpp"

namespace bench {

using namespace ergo;

inline constexpr Device kDevice = Device::cuda(0);

struct Row {
  std::string op, shape, dtype;
  double bytes = 0;  // read and written at the least; each operand once
  double flops = 0;
  double input_bytes = 0;                                              // of one set of inputs; 0: one set will do
  std::function<std::function<void()>(std::uint64_t seed)> make = {};  // inputs, and a call that works on them
};

using Rows = std::vector<Row>;
void add_pointwise(Rows&, bool tiny);
void add_movement(Rows&, bool tiny);
void add_reductions(Rows&, bool tiny);
void add_axes(Rows&, bool tiny);
void add_norms(Rows&, bool tiny);
void add_attention(Rows&, bool tiny);
void add_scans(Rows&, bool tiny);
void add_ordering(Rows&, bool tiny);
void add_indexing(Rows&, bool tiny);
void add_spatial(Rows&, bool tiny);
void add_networks(Rows&, bool tiny);
void add_products(Rows&, bool tiny);

// "(8192, 4096)"
inline std::string text(const Shape& s) { return to_string(s); }
template <class T>
std::string dtype_name() {
  return to_string(dtype_of<T>);
}

// Random elements on the device, uniform in [-2, 2).
template <class T>
Tensor<T> random(std::uint64_t seed, const Shape& shape);

struct Timing {
  double median_us = 0, low_us = 0, high_us = 0;  // the middle and the tenths of the samples
  double host_us = 0;                             // to enqueue a call
  double launches = 0;                            // of kernels and products, a call
  int calls = 0, samples = 0;                     // calls a sample
};
// `calls` in turn. At most `samples` samples, and at least a fifth of them where a call is so slow that they would take
// more than half a second.
Timing measure(const std::vector<std::function<void()>>& calls, int samples);

// Bytes a second that a copy within the device reads and writes.
double copy_speed(std::size_t bytes, int samples);

}  // namespace bench

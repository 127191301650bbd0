// What is counted, and when: kernels and copies when they are submitted, those of a graph with each of its launches.
#include <algorithm>

#include "engine/diagnosis.hpp"
#include "state.hpp"

namespace simt {

void Runtime::count(const Traffic& t) {
  if (t.kernel) {
    auto name = names.find(t.kernel);
    if (name == names.end()) name = names.emplace(t.kernel, kernel_name(t.kernel)).first;
    ++counters.launches;
    ++counters.launches_of[name->second];
  }
  counters.library_calls += t.library;
  counters.copies_to_device += t.to_device > 0;
  counters.copies_to_host += t.to_host > 0;
  counters.copies_on_device += t.on_device > 0;
  counters.bytes_to_device += t.to_device;
  counters.bytes_to_host += t.to_host;
  counters.bytes_on_device += t.on_device;
}

Counters counters() {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  return r.counters;
}

void reset_counters() {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  const std::size_t live = r.counters.live_bytes;
  r.counters = {};
  r.counters.live_bytes = r.counters.peak_bytes = live;
}

}  // namespace simt

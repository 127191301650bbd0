// What a test reads and sets of the emulated CUDA: order of threads and streams, counters, diagnoses, fresh devices.
//
// The environment sets the first values: SIMT_ORDER=forward|reverse|random:<seed> (threads and blocks),
// SIMT_STREAMS=lazy|random:<seed>, SIMT_FAIL_ALLOC=<k> (the k-th allocation fails), SIMT_MEMORY=<bytes of a device>,
// SIMT_PROTECT=0 (host code may touch device memory: for debuggers).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace simt {

enum class Order { forward, reverse, random };
// lazy: work runs when the host waits for it, then only what it depends on, so a missing dependency shows as stale
// data. random: ready work of any stream also runs at other calls, which shows what runs too early.
enum class Streams { lazy, random };

struct Options {
  Order order = Order::forward;
  unsigned order_seed = 1;
  Streams streams = Streams::lazy;
  unsigned streams_seed = 1;
};
Options options();
void set_options(const Options&);

// The k-th allocation from now on fails (1: the next one); 0: none does. Of device memory, or of pinned host memory.
void fail_allocation(long k);
void fail_pinned_allocation(long k);

// What the process has asked of its devices. Kernels and copies count when they are submitted, those of a graph with
// each of its launches.
struct Counters {
  long launches = 0;                        // kernels
  std::map<std::string, long> launches_of;  // by name, without parameters: "ergo::cuda::map_kernel<...>"
  long graph_launches = 0;
  long library_calls = 0;  // cuBLAS products
  long copies_to_device = 0, copies_to_host = 0, copies_on_device = 0;
  std::size_t bytes_to_device = 0, bytes_to_host = 0, bytes_on_device = 0;
  long host_waits = 0;                         // calls that return only when earlier work is done
  long allocations = 0, frees = 0;             // of device memory
  std::size_t live_bytes = 0, peak_bytes = 0;  // over all devices
};
Counters counters();
void reset_counters();  // to zero; live_bytes stays, peak_bytes becomes live_bytes

// Every mistake found since the last call, in order. They are also printed on stderr, unless switched off.
std::vector<std::string> take_diagnoses();
void print_diagnoses(bool on);

// Forgets queued work, errors, captures and diagnoses, and the devices' lost contexts; memory stays as it is.
void recover();

}  // namespace simt

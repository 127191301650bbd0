// What a test reads and sets of the emulated CUDA: order of threads and streams, counters, diagnoses, fresh devices.
//
// The environment sets the first values: SIMT_ORDER=forward|reverse|random:<seed> (threads and blocks),
// SIMT_STREAMS=lazy|random:<seed>, SIMT_FAIL_ALLOC=<k> (the k-th allocation fails), SIMT_MEMORY=<bytes of a device>,
// SIMT_PROTECT=0 (host code may touch device memory: for debuggers).
#pragma once

#include <cstddef>
#include <cstdint>
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

// What one launch moved, counted by the checked build. Counts of accesses, never a speed.
struct KernelTraffic {
  std::string kernel;  // by name, as in launches_of
  // Bytes of global memory. An address counts as often as the block reads (writes) it that does so most; `least` is
  // each address once.
  std::uint64_t read = 0, written = 0, least_read = 0, least_written = 0;
  // Accesses of warps to global memory, the sectors of 32 bytes that they touch, and as few as their bytes fit in.
  std::uint64_t accesses = 0, sectors = 0, ideal_sectors = 0;
  // Accesses of warps to shared memory (those of 8 and 16 bytes are two and four), and the passes that they take for
  // bank conflicts.
  std::uint64_t shared_accesses = 0, shared_passes = 0;

  double bytes_over_least() const { return double(read + written) / double(least_read + least_written); }
  double sectors_over_ideal() const { return double(sectors) / double(ideal_sectors); }
  double passes_an_access() const { return shared_accesses ? double(shared_passes) / double(shared_accesses) : 1; }
};
void count_traffic(bool on);
std::vector<KernelTraffic> take_traffic();  // of every launch that has run since the last call, in order

// Every mistake found since the last call, in order. They are also printed on stderr, unless switched off.
std::vector<std::string> take_diagnoses();
void print_diagnoses(bool on);

// Forgets queued work, errors, captures and diagnoses, and the devices' lost contexts; memory stays as it is.
void recover();

}  // namespace simt

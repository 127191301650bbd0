// Counted traffic from made-up accesses of warps, whose sectors and passes the hardware's rules give.
// build: checked
#include "simt/checker/traffic.hpp"

#include <doctest/doctest.h>

namespace simt_checker_traffic_test {

using simt::KernelTraffic;
using simt::TrafficCounter;

namespace {

const char* const kMemory = reinterpret_cast<const char*>(std::uintptr_t{1} << 20);

// One launch of one warp: lane l of `lanes` accesses `bytes` bytes at `step` * l.
KernelTraffic of_warp(unsigned bytes, unsigned step, bool shared, bool writes = false, unsigned lanes = 32,
                      unsigned offset = 0) {
  TrafficCounter counter;
  counter.launch_begins("made up");
  counter.block_begins();
  for (unsigned l = 0; l < lanes; ++l)
    counter.access(l, kMemory + offset + std::size_t(l) * step, bytes, writes, shared, kMemory);
  return counter.take().at(0);
}

}  // namespace

TEST_CASE("sectors of a warp's access") {
  for (const unsigned bytes : {1u, 2u, 4u, 8u, 16u}) {
    CAPTURE(bytes);
    const KernelTraffic t = of_warp(bytes, bytes, false);
    CHECK(t.accesses == 1);
    CHECK(t.sectors == bytes);
    CHECK(t.ideal_sectors == bytes);
    CHECK(t.read == 32 * bytes);
    CHECK(t.least_read == 32 * bytes);
    CHECK(t.written == 0);
  }
  CHECK(of_warp(4, 8, false).sectors_over_ideal() == 2);
  CHECK(of_warp(4, 32, false).sectors_over_ideal() == 8);
  CHECK(of_warp(4, 4, false, true, 32, 4).sectors == 5);  // off by one element
  CHECK(of_warp(4, 4, false, true).written == 128);
  const KernelTraffic one = of_warp(4, 0, false);  // all lanes the same element: one sector, read once
  CHECK(one.sectors == 1);
  CHECK(one.ideal_sectors == 1);
  CHECK(one.read == 4);
}
TEST_CASE("bank conflicts") {
  CHECK(of_warp(4, 4, true).passes_an_access() == 1);
  CHECK(of_warp(4, 8, true).passes_an_access() == 2);
  CHECK(of_warp(4, 128, true).passes_an_access() == 32);
  CHECK(of_warp(4, 132, true).passes_an_access() == 1);  // rows of 33
  CHECK(of_warp(4, 0, true).passes_an_access() == 1);    // the same word: shared
  CHECK(of_warp(2, 2, true).passes_an_access() == 1);
  CHECK(of_warp(8, 8, true).shared_accesses == 2);
  CHECK(of_warp(8, 8, true).shared_passes == 2);
  CHECK(of_warp(16, 16, true).shared_accesses == 4);
  CHECK(of_warp(16, 16, true).shared_passes == 4);
  CHECK(of_warp(16, 128, true).passes_an_access() == 8);  // rows of 64 halves, not padded
  CHECK(of_warp(16, 144, true).passes_an_access() == 1);  // padded by 16 bytes
  CHECK(of_warp(4, 4, true, false, 5).shared_accesses == 1);
}
TEST_CASE("an address counts as often as the block that reads it most") {
  TrafficCounter counter;
  counter.launch_begins("made up");
  for (unsigned block = 0; block < 3; ++block) {
    counter.block_begins();
    for (unsigned warp = 0; warp <= block; ++warp)
      for (unsigned l = 0; l < 32; ++l) counter.access(warp * 32 + l, kMemory + l * 4, 4, false, false, kMemory);
  }
  const KernelTraffic t = counter.take().at(0);
  CHECK(t.read == 3 * 128);
  CHECK(t.least_read == 128);
  CHECK(t.bytes_over_least() == 3);
  CHECK(t.accesses == 6);
}
TEST_CASE("lanes that went round a loop a different number of times meet again") {
  TrafficCounter counter;
  counter.launch_begins("made up");
  counter.block_begins();
  const char* const loop = kMemory;
  for (unsigned l = 0; l < 32; ++l)  // 1 or 2 turns, then the warp meets, then one more
    for (unsigned turn = 0; turn <= l % 2; ++turn)
      counter.access(l, kMemory + turn * 128 + l * 4, 4, false, false, loop);
  counter.lanes_meet(0, ~0u);
  for (unsigned l = 0; l < 32; ++l) counter.access(l, kMemory + 256 + l * 4, 4, false, false, loop);
  const KernelTraffic t = counter.take().at(0);
  CHECK(t.accesses == 3);
  CHECK(t.sectors == 12);
  CHECK(t.ideal_sectors == 10);  // the second turn used half of its bytes
}
TEST_CASE("more than 16 bytes are several accesses") {
  const KernelTraffic t = of_warp(40, 0, false);
  CHECK(t.accesses == 3);
  CHECK(t.sectors == 3);
  CHECK(t.read == 40);
}

}  // namespace simt_checker_traffic_test

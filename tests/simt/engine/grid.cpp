#include "grid.hpp"

#include <sys/mman.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "diagnosis.hpp"
#include "faults.hpp"
#include "observer.hpp"

namespace simt {
namespace {

constexpr std::size_t kPage = 4096, kRoom = std::size_t{256} << 10, kAlign = 128;

// Dynamic shared memory ends at an inaccessible page, so what runs far past it faults; the few bytes between its last
// and the page hold a pattern that is looked at after each block.
char* shared_room() {
  static char* room = [] {
    void* p = mmap(nullptr, kRoom + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(static_cast<char*>(p) + kRoom, kPage, PROT_NONE);
    return static_cast<char*>(p);
  }();
  return room;
}
constexpr unsigned char kPattern = 0xfd;

std::size_t padded(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

std::uint64_t seed_of(const Options& options, std::uint64_t launch, std::uint64_t block) {
  return Random(options.order_seed ^ launch << 40 ^ block << 4)();
}

Outcome run_block(const Launch& launch, std::uint64_t linear, std::uint64_t number) {
  Block& block = Block::instance();
  const dim3 g = launch.grid;
  const uint3 index{static_cast<unsigned>(linear % g.x), static_cast<unsigned>(linear / g.x % g.y),
                    static_cast<unsigned>(linear / g.x / g.y)};
  // NaN in every float format, so that a read before a write shows.
  if (launch.shared) std::memset(block.shared, 0xff, launch.shared);
  if (observer) observer->block_begins(linear);
  const Outcome outcome = block.run(launch, index, seed_of(options(), number, linear));
  if (outcome != Outcome::finished) return outcome;
  for (std::size_t i = launch.shared; i < padded(launch.shared); ++i) {
    if (static_cast<unsigned char>(block.shared[i]) == kPattern) continue;
    diagnose("a thread of the block wrote byte " + std::to_string(i) + " of " + std::to_string(launch.shared) +
             " bytes of dynamic shared memory" + block.where({}));
    return Outcome::failed;
  }
  return Outcome::finished;
}

Outcome run_blocks(const Launch& launch) {
  static std::uint64_t launches = 0;
  const std::uint64_t number = ++launches;
  Block& block = Block::instance();
  block.shared_size = launch.shared;
  block.shared = launch.shared ? shared_room() + kRoom - padded(launch.shared) : nullptr;
  if (launch.shared) std::memset(block.shared + launch.shared, kPattern, padded(launch.shared) - launch.shared);
  const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const Options now = options();
  std::vector<std::uint64_t> shuffled;
  if (now.order == Order::random) {
    shuffled.resize(blocks);
    for (std::uint64_t i = 0; i < blocks; ++i) shuffled[i] = i;
    Random(seed_of(now, number, blocks)).shuffle(shuffled);
  }
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t linear = now.order == Order::random    ? shuffled[i]
                                 : now.order == Order::reverse ? blocks - 1 - i
                                                               : i;
    const Outcome outcome = run_block(launch, linear, number);
    if (outcome != Outcome::finished) return outcome;
  }
  return Outcome::finished;
}

}  // namespace

Outcome run_grid(const Launch& launch, int device) {
  Landing landing;
  if (sigsetjmp(landing.jump, 0) != 0) {
    in_kernel = false;
    Block& block = Block::instance();
    diagnose(landing.describe(device) + block.where({}));
    block.abandon();
    landing.leave();
    return Outcome::fault;
  }
  landing.arrive();
  if (observer) observer->launch_begins(launch, device);
  const Outcome outcome = run_blocks(launch);
  landing.leave();
  return outcome;
}

}  // namespace simt

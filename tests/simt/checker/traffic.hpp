// Counted traffic: what a launch moves between its blocks and global memory, in bytes and in sectors of 32, and how its
// warps meet the banks of shared memory. Counts, from every access that the checker sees; no speed follows from them.
//
// The threads of a block run one after another between two places where they meet, so an access of a warp is put
// together afterwards: the k-th executions of one instruction by its lanes since all of them last met.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "simt/control.hpp"

namespace simt {

class TrafficCounter {
 public:
  void launch_begins(std::string kernel);
  void block_begins();
  // A thread of the running block reads or writes; `instruction` tells its accesses apart.
  void access(unsigned rank, const void* address, std::size_t bytes, bool writes, bool shared, const void* instruction);
  void lanes_meet(unsigned warp, unsigned lanes);  // of a warp, at one place
  void threads_meet();                             // all of the block
  std::vector<KernelTraffic> take();               // of every launch since the last call

 private:
  struct Access {
    const void* instruction;
    std::uint32_t turn;  // how often the lane had been there
    std::uint32_t part;  // of more than 16 bytes
    std::uint8_t lane, bytes;
    bool writes, shared;
    std::uintptr_t address;
  };
  struct Warp {
    std::vector<Access> accesses;
    std::unordered_map<const void*, std::array<std::uint32_t, 32>> turns;
    unsigned lanes = 0;  // that have accessed
  };
  // How often each byte of a sector is read, and written.
  static constexpr unsigned kSector = 32;
  using Counts = std::array<std::array<std::uint16_t, kSector>, 2>;
  using Sectors = std::unordered_map<std::uintptr_t, Counts>;

  void sort_out(Warp& warp);
  void take_global(const Access* first, const Access* last);
  void take_shared(const Access* first, const Access* last);

  void end_block();
  void end_launch();

  std::vector<KernelTraffic> traffic_;  // the last is of the launch that runs, if one does
  bool running_ = false;
  std::vector<Warp> warps_;
  Sectors of_block_, of_launch_;
};

}  // namespace simt

// The memory of the emulated devices. Host code cannot touch it: a device's pages are accessible only while it works.
//
// Each device has a range of addresses of its own. A block is followed by a margin with a pattern, so that a store just
// past its end is found; it begins as 0xff (NaN in every float format), and ends as 0xfe. Freed addresses are not used
// again until kQuarantine bytes of addresses have been.
//
// All but device_of_address is called with the lock of the runtime held.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace simt {

constexpr int kDevices = 2;

class DeviceMemory {
 public:
  struct Block {
    char* begin = nullptr;
    std::size_t bytes = 0;
    std::size_t room = 0;  // bytes and margin
    bool exists = true;    // in stream order: cudaMallocAsync has been reached
    bool closing = false;  // freed in the order of the program, perhaps not yet in stream order
    bool freed = false;
  };

  static DeviceMemory& of(int device);
  // The device to whose range an address belongs, or -1. Safe in a signal handler.
  static int device_of_address(const void* address);

  Block* allocate(std::size_t bytes, bool exists);  // null: out of memory
  void begin_to_exist(Block& block);
  void release(Block& block);
  // The block that holds p, which may be one past its end: also a freed one, until its addresses are used again.
  Block* find(const void* p);
  // The block that begins last at or before p, and the first that begins behind it; null if there is none.
  const Block* last_before(const void* p) const;
  const Block* first_after(const void* p) const;
  // How a block's end was overwritten: "3 bytes from byte 200 on", or empty.
  std::string damage(const Block& block) const;

  void open();
  void close();
  const char* begin() const { return base_; }
  std::size_t used() const { return used_; }
  std::size_t peak() const { return peak_; }
  std::size_t total() const { return total_; }
  void release_all();

 private:
  static constexpr std::size_t kReserved = std::size_t{64} << 30, kQuarantine = std::size_t{1} << 30;
  static constexpr std::size_t kAlign = 256, kMargin = 256, kHugePage = std::size_t{2} << 20;

 public:
  static constexpr std::size_t kAddresses = kReserved - kHugePage;  // from begin() on

 private:
  DeviceMemory();
  void map_to(char* end);

  std::map<char*, Block> blocks_;
  std::multimap<std::size_t, char*> dead_;  // by room
  char *base_ = nullptr, *top_ = nullptr, *mapped_ = nullptr;
  std::size_t used_ = 0, peak_ = 0, total_ = std::size_t{8} << 30;
  bool open_ = false, protect_ = true;
};

}  // namespace simt

#include "device_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "faults.hpp"
#include "fiber.hpp"
#include "observer.hpp"

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#define SIMT_POISON(p, n) __asan_poison_memory_region(p, n)
#define SIMT_UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define SIMT_POISON(p, n) static_cast<void>(0)
#define SIMT_UNPOISON(p, n) static_cast<void>(0)
#endif

namespace simt {
namespace {

constexpr int kFresh = 0xff, kDead = 0xfe, kPattern = 0xfd;
std::atomic<char*> range_begin[kDevices];
constexpr std::size_t kRange = std::size_t{64} << 30;

}  // namespace

DeviceMemory& DeviceMemory::of(int device) {
  static auto* memories = [] {  // never destroyed: static destructors may still free
    auto* all = new DeviceMemory[kDevices];
    for (int d = 0; d < kDevices; ++d) range_begin[d] = all[d].base_;
    return all;
  }();
  return memories[device];
}

int DeviceMemory::device_of_address(const void* address) {
  for (int d = 0; d < kDevices; ++d) {
    const char* begin = range_begin[d];
    if (begin && address >= begin && address < begin + kRange - kHugePage) return d;
  }
  return -1;
}

DeviceMemory::DeviceMemory() {
  static_assert(kRange == kReserved);
  void* p = mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::fprintf(stderr, "simt: no address space for the emulated devices (2 x 64 GiB)\n");
    std::abort();
  }
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  base_ = static_cast<char*>(p) + ((kHugePage - address % kHugePage) % kHugePage);
  madvise(base_, kReserved - kHugePage, MADV_HUGEPAGE);  // few pages: protection changes at every launch
  mapped_ = base_;
  top_ = base_ + kMargin;
  if (const char* s = std::getenv("SIMT_PROTECT")) protect_ = *s != '0';
  if (const char* s = std::getenv("SIMT_MEMORY")) total_ = static_cast<std::size_t>(std::strtod(s, nullptr));
}

void DeviceMemory::open() {
  if (open_) return;
  open_ = true;
  take_faults();
  if (protect_ && mapped_ > base_) {
    mprotect(base_, static_cast<std::size_t>(mapped_ - base_), PROT_READ | PROT_WRITE);
  }
}

void DeviceMemory::close() {
  if (!open_) return;
  open_ = false;
  if (protect_ && mapped_ > base_) mprotect(base_, static_cast<std::size_t>(mapped_ - base_), PROT_NONE);
}

void DeviceMemory::map_to(char* end) {
  if (end <= mapped_) return;
  const std::size_t bytes = (static_cast<std::size_t>(end - base_) + kHugePage - 1) / kHugePage * kHugePage;
  mprotect(mapped_, static_cast<std::size_t>(base_ + bytes - mapped_), PROT_READ | PROT_WRITE);
  mapped_ = base_ + bytes;
}

DeviceMemory::Block* DeviceMemory::allocate(std::size_t bytes, bool exists) {
  if (bytes > total_ || used_ > total_ - bytes) return nullptr;
  std::size_t room = (bytes + kAlign - 1) / kAlign * kAlign + kMargin;
  char* p = top_;
  auto dead = dead_.end();
  if (static_cast<std::size_t>(top_ - base_) > kQuarantine) dead = dead_.lower_bound(room);
  if (dead != dead_.end() && dead->first <= 2 * room) {
    room = dead->first;
    p = dead->second;
    dead_.erase(dead);
  } else {
    if (room > static_cast<std::size_t>(base_ + kReserved - kHugePage - top_)) return nullptr;
    top_ += room;
  }
  open();
  map_to(top_);
  SIMT_UNPOISON(p, room);
  std::memset(p, kFresh, bytes);
  std::memset(p + bytes, kPattern, room - bytes);
  SIMT_POISON(p + bytes, room - bytes);
  if (!exists) SIMT_POISON(p, bytes);
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  if (observer && exists) observer->exists(p, bytes);
  Block& block = blocks_[p];
  block = {p, bytes, room, exists, false, false};
  return &block;
}

void DeviceMemory::begin_to_exist(Block& block) {
  block.exists = true;
  SIMT_UNPOISON(block.begin, block.bytes);
  if (observer) observer->exists(block.begin, block.bytes);
  std::memset(block.begin, kFresh, block.bytes);  // what was written too early is lost
}

void DeviceMemory::release(Block& block) {
  open();
  block.freed = block.closing = true;
  if (observer) observer->released(block.begin, block.bytes);
  used_ -= block.bytes;
  SIMT_UNPOISON(block.begin, block.room);
  std::memset(block.begin, kDead, block.bytes);
  // Whole pages go back to the system; the addresses stay dead.
  constexpr std::uintptr_t page = 4096;
  const auto first = (reinterpret_cast<std::uintptr_t>(block.begin) + page - 1) / page * page;
  const auto last = reinterpret_cast<std::uintptr_t>(block.begin + block.bytes) / page * page;
  if (last > first + kHugePage) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  SIMT_POISON(block.begin, block.room);
  dead_.emplace(block.room, block.begin);
}

void DeviceMemory::release_all() {
  for (auto& [begin, block] : blocks_) {
    if (!block.freed) release(block);
  }
}

DeviceMemory::Block* DeviceMemory::find(const void* p) {
  auto* address = static_cast<char*>(const_cast<void*>(p));
  if (address < base_ || address >= top_) return nullptr;
  auto it = blocks_.upper_bound(address);
  if (it == blocks_.begin()) return nullptr;
  --it;
  return address <= it->second.begin + it->second.bytes ? &it->second : nullptr;
}

const DeviceMemory::Block* DeviceMemory::last_before(const void* p) const {
  const auto it = blocks_.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  return it == blocks_.begin() ? nullptr : &std::prev(it)->second;
}
const DeviceMemory::Block* DeviceMemory::first_after(const void* p) const {
  const auto it = blocks_.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  return it == blocks_.end() ? nullptr : &it->second;
}

std::string DeviceMemory::damage(const Block& block) const {
#if !defined(SIMT_ASAN)
  for (std::size_t i = block.bytes; i < block.room; ++i) {
    if (static_cast<unsigned char>(block.begin[i]) == kPattern) continue;
    std::size_t end = i;
    while (end < block.room && static_cast<unsigned char>(block.begin[end]) != kPattern) ++end;
    return std::to_string(end - i) + " bytes from byte " + std::to_string(i) + " on";
  }
#else
  static_cast<void>(block);
#endif
  return {};
}

}  // namespace simt

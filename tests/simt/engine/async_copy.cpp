// cp.async: copies from global to shared memory that arrive at the wait for their group.
#include <cstring>

#include "block.hpp"
#include "observer.hpp"

namespace simt {

void cp_async(void* shared, const void* global, unsigned bytes, unsigned source_bytes, Place at) {
  if ((bytes != 4 && bytes != 8 && bytes != 16) || source_bytes > bytes) {
    fail("cp.async copies 4, 8 or 16 bytes, and reads at most as many", at);
  }
  if (reinterpret_cast<std::uintptr_t>(shared) % bytes || reinterpret_cast<std::uintptr_t>(global) % bytes) {
    fail("cp.async between addresses that are not multiples of the bytes copied", at);
  }
  const EngineCode here;
  if (observer) observer->copy_begins(shared, global, bytes, source_bytes, __builtin_return_address(0));
  std::memset(shared, 0xff, bytes);  // NaN in every float format, for whoever reads before the wait
  Block& b = Block::instance();
  b.copies().push_back({shared, global, bytes, source_bytes, b.copy_group()});
}

void cp_async_commit() { ++Block::instance().copy_group(); }

void cp_async_wait(unsigned groups_left) {
  const EngineCode here;
  Block& b = Block::instance();
  auto& copies = b.copies();
  std::size_t done = 0;
  for (; done < copies.size() && copies[done].group + groups_left < b.copy_group(); ++done) {
    const auto& c = copies[done];
    if (observer) observer->copy_arrives(c.to, c.bytes, __builtin_return_address(0));
    std::memcpy(c.to, c.from, c.source_bytes);
    std::memset(static_cast<char*>(c.to) + c.source_bytes, 0, c.bytes - c.source_bytes);
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace simt

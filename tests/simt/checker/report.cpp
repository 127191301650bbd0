// What the checker says of a mistake.
#include "checker.hpp"
#include "engine/diagnosis.hpp"

namespace simt {
namespace {

std::string bytes_text(std::size_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

std::size_t distance(const void* from, const void* to) {
  return static_cast<std::size_t>(static_cast<const char*>(to) - static_cast<const char*>(from));
}

std::string allocation(const DeviceMemory::Block& b) { return "an allocation of " + bytes_text(b.bytes); }

// Where p is beside the allocations of a device.
std::string beside(DeviceMemory& memory, const void* p) {
  const DeviceMemory::Block *before = memory.last_before(p), *after = memory.first_after(p);
  if (before && p < before->begin + before->bytes) {
    const std::string byte = ", byte " + std::to_string(distance(before->begin, p)) + " of " + allocation(*before);
    if (before->freed) return "device memory that has been freed" + byte;
    if (!before->exists) return "memory of cudaMallocAsync that does not exist yet in stream order" + byte;
    return "device memory past the end of " + allocation(*before) + ", from byte " +
           std::to_string(distance(before->begin, p)) + " on";
  }
  const std::size_t past = before ? distance(before->begin + before->bytes, p) : ~std::size_t{0};
  const std::size_t ahead = after ? distance(p, after->begin) : ~std::size_t{0};
  if (!before && !after) return "device memory, of which nothing is allocated";
  if (ahead < past) return "device memory " + bytes_text(ahead) + " before " + allocation(*after);
  return "device memory past the end of " + allocation(*before) + ", from byte " +
         std::to_string(distance(before->begin, p)) + " on";
}

}  // namespace

// The object that an access is in: "byte 12 of 1024 of tile in shared memory".
std::string Checker::object(const Access& a, std::size_t byte) {
  const auto* p = static_cast<const char*>(a.address) + byte;
  const auto of = [p](const void* begin, std::size_t bytes) {
    return "byte " + std::to_string(distance(begin, p)) + " of " + std::to_string(bytes);
  };
  if (a.space == static_.get()) {
    const SharedVariable* v = program_.variable(p);
    return of(v->begin, v->bytes) + " of " + v->name + " in shared memory";
  }
  const Block& block = Block::instance();
  if (a.space == dynamic_.get()) return of(block.shared, block.shared_size) + " of dynamic shared memory";
  const DeviceMemory::Block& b = *DeviceMemory::of(current_.device).last_before(p);
  return "byte " + std::to_string(distance(b.begin, p)) + " of " + allocation(b);
}

// "a thread writes 4 bytes"
std::string Checker::deed(const Access& a) const {
  const char* verb = a.kind & kWrite ? " writes " : " reads ";
  return std::string(a.kind & kAsync ? "cp.async of a thread" : "a thread") + verb + bytes_text(a.bytes);
}

void Checker::fail(const Access& a, const std::string& what, Outcome outcome) {
  Block::instance().stop(what + "\n  at " + program_.place(program_.offset(a.pc)), outcome);
}

void Checker::misaligned(const Access& a) {
  const auto rest = reinterpret_cast<std::uintptr_t>(a.address) % a.bytes;
  fail(a, deed(a) + " at an address " + bytes_text(rest) + " past a multiple of that", Outcome::fault);
}

void Checker::outside(const Access& a) {
  const Block& block = Block::instance();
  std::string where = "host memory";
  if (const int owner = DeviceMemory::device_of_address(a.address); owner == current_.device) {
    // The first byte outside.
    const std::size_t first = devices_[owner]->first_absent(a.address, a.bytes);
    where = beside(DeviceMemory::of(owner), static_cast<const char*>(a.address) + first);
  } else if (owner >= 0) {
    where = "memory of device " + std::to_string(owner) + "; the kernel runs on device " +
            std::to_string(current_.device) + ", which has no access to it";
  } else if (current_.launch->shared && dynamic_->contains(a.address)) {
    const auto offset = static_cast<const char*>(a.address) - block.shared;
    where =
        "from byte " + std::to_string(offset) + " on of " + bytes_text(block.shared_size) + " of dynamic shared memory";
  } else if (const SharedVariable* v = program_.variable(a.address)) {
    where = "from byte " + std::to_string(distance(v->begin, a.address)) + " on of the " + bytes_text(v->bytes) +
            " of " + v->name + " in shared memory";
  } else if (block.on_a_stack(a.address)) {
    where = "the stack of another thread; local variables are a thread's own";
  }
  fail(a, deed(a) + " outside its memory: " + where, Outcome::fault);
}

void Checker::unwritten_read(const Access& a, std::size_t first) {
  fail(a, deed(a) + " of which nobody has written " + object(a, first), Outcome::failed);
}

void Checker::race(const Access& a, const Conflict& c) {
  const auto lane = static_cast<unsigned>(__builtin_ctz(c.other.lanes));
  const dim3 b = current_.launch->block, g = current_.launch->grid;
  const unsigned rank = c.other.warp * 32u + lane, block = c.other.block;
  const bool same_block = block == static_cast<std::uint32_t>(current_.block);
  std::string other = "thread " + tuple(rank % b.x, rank / b.x % b.y, rank / b.x / b.y) + " of ";
  other += same_block ? "the block" : "block " + tuple(block % g.x, block / g.x % g.y, block / g.x / g.y);
  std::string what = "data race: " + deed(a) + ", " + object(a, 0) + ", which ";
  if (c.other.in_flight) {
    what += "a cp.async of " + other + " still writes: its wait, and then a barrier, must come first";
  } else {
    what += other + (c.other_writes ? " writes" : " reads");
    what +=
        same_block ? ", and no barrier lies between" : ", and neither atomics nor a flag between fences order blocks";
  }
  fail(a, what + "\n  the other at " + program_.place(c.other.pc), Outcome::failed);
}

std::string Checker::unwritten(const void* p, std::size_t bytes) const {
  const Shadow* shadow = of_device(p);
  const std::size_t first = shadow ? shadow->first_unwritten(p, bytes) : bytes;
  if (first == bytes) return {};
  const void* at = static_cast<const char*>(p) + first;
  const DeviceMemory::Block& b = *DeviceMemory::of(DeviceMemory::device_of_address(p)).last_before(at);
  return "reads " + bytes_text(bytes) + " of which nobody has written byte " + std::to_string(distance(b.begin, at)) +
         " of " + allocation(b);
}

}  // namespace simt

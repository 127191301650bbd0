// Memory beside the memory of kernels: for each byte whether it exists and has been written, and for each word who
// accessed it last.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

// An access that the checker remembers: by `lanes` of a warp, at one clock (happens_before.hpp), at `pc` (an offset in
// the program).
struct Record {
  std::uint32_t block, clock, pc, lanes;  // lanes: 0 when there is none
  std::uint8_t warp;
  bool strong, in_flight;
  std::uint8_t unused;
};

// The last write, and reads since then of which none is known to come before another: two, since that is enough to find
// any race but those that only some warps of a block avoid. Cells of an older generation are empty. A word of which
// parts were accessed is split: its four bytes have cells of their own.
struct Cell {
  std::uint32_t generation : 31, split : 1;
  Record write, reads[2];
};
static_assert(sizeof(Cell) == 64);
constexpr std::uint32_t kMostGeneration = 0x7fffffff;

// The states of a byte. What a kernel wrote by a store of 1, 2, 4 or 8 bytes says so.
enum : std::uint8_t { kNothing = 0, kUnwritten = 1, kWritten = 2 };
constexpr std::uint8_t written_by(std::size_t bytes) {
  return bytes == 1 ? 6 : bytes == 2 ? 10 : bytes == 4 ? 18 : bytes == 8 ? 34 : std::uint8_t{kWritten};
}

// The shadow of a range of addresses. It takes address space at once, and memory where it is used.
class Shadow {
 public:
  Shadow(const void* begin, std::size_t bytes);

  bool contains(const void* p) const { return offset(p) < bytes_; }
  Cell& word(std::uintptr_t address) { return words_[(address - begin_) / 4]; }
  Cell* bytes_of_word(std::uintptr_t address) { return bytes_cells_ + (address - begin_) / 4 * 4; }
  std::uint8_t* state(const void* p) { return states_ + offset(p); }

  void set(const void* p, std::size_t bytes, std::uint8_t state);
  // Of memory that has ended: its shadow's whole pages go back to the system.
  void release(const void* p, std::size_t bytes);
  // The first of the bytes that does not exist, or of those read that was not written; `bytes` if there is none.
  // Padding of a struct that was written member by member counts as written.
  std::size_t first_absent(const void* p, std::size_t bytes) const;
  std::size_t first_unwritten(const void* p, std::size_t bytes) const;

 private:
  std::size_t offset(const void* p) const { return reinterpret_cast<std::uintptr_t>(p) - begin_; }
  std::size_t skip_padding(std::size_t first) const;

  std::uintptr_t begin_;
  std::size_t bytes_;
  Cell *words_, *bytes_cells_;
  std::uint8_t* states_;
};

}  // namespace simt

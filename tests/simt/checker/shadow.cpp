#include "shadow.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace simt {
namespace {

constexpr std::uintptr_t kPage = 4096;

void* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::fprintf(stderr, "simt: no address space for the shadow of %zu bytes\n", bytes);
    std::abort();
  }
  return p;
}

void give_back(void* begin, std::size_t bytes) {
  const auto first = (reinterpret_cast<std::uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const auto last = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / kPage * kPage;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

// Whether `bytes` states, 1 to 8, all say written.
bool all_written(const std::uint8_t* states, std::size_t bytes) {
  std::uint64_t have = 0;
  std::memcpy(&have, states, bytes);
  const std::uint64_t want = ~std::uint64_t{0} >> (8 - bytes) * 8 & 0x0101010101010101u * kWritten;
  return (have & want) == want;
}

}  // namespace

Shadow::Shadow(const void* begin, std::size_t bytes)
    : begin_(reinterpret_cast<std::uintptr_t>(begin) & ~std::uintptr_t{7}),
      bytes_(bytes + (reinterpret_cast<std::uintptr_t>(begin) & 7)),
      words_(static_cast<Cell*>(reserve((bytes_ / 4 + 1) * sizeof(Cell)))),
      bytes_cells_(static_cast<Cell*>(reserve((bytes_ + 4) * sizeof(Cell)))),
      states_(static_cast<std::uint8_t*>(reserve(bytes_ + 8))) {}

void Shadow::set(const void* p, std::size_t bytes, std::uint8_t state) {
  std::memset(states_ + offset(p), state, bytes);
}

void Shadow::release(const void* p, std::size_t bytes) {
  set(p, bytes, kNothing);
  const std::size_t at = offset(p);
  give_back(words_ + at / 4, bytes / 4 * sizeof(Cell));
  give_back(bytes_cells_ + at, bytes * sizeof(Cell));
}

std::size_t Shadow::first_absent(const void* p, std::size_t bytes) const {
  const std::uint8_t* s = states_ + offset(p);
  for (std::size_t i = 0; i < bytes;) {
    const std::size_t n = bytes - i < 8 ? bytes - i : 8;
    if (!all_written(s + i, n)) {
      for (std::size_t k = i; k < i + n; ++k) {
        if (s[k] == kNothing) return k;
      }
    }
    i += n;
  }
  return bytes;
}

std::size_t Shadow::first_unwritten(const void* p, std::size_t bytes) const {
  const std::size_t at = offset(p);
  for (std::size_t i = 0; i < bytes;) {
    const std::size_t n = bytes - i < 8 ? bytes - i : 8;
    if (all_written(states_ + at + i, n)) {
      i += n;
      continue;
    }
    while (states_[at + i] & kWritten) ++i;
    const std::size_t end = skip_padding(at + i) - at;
    if (end == i || (i == 0 && end >= bytes)) return i;  // nothing but padding is no struct
    i = end < bytes ? end : bytes;
  }
  return bytes;
}

// The end of the hole that begins at `first`, or `first` if no layout of a struct explains it. Padding is shorter than
// the member for whose sake it is there, and ends at a multiple of that member's width: where it begins, or, at the end
// of a struct, one such unit behind it. A store of that width tells. So what was forgotten among stores as wide as it
// is no padding.
std::size_t Shadow::skip_padding(std::size_t first) const {
  std::size_t begin = first, end = first;
  while (begin > 0 && first - begin < 8 && states_[begin - 1] == kUnwritten) --begin;
  while (end < bytes_ && end - begin < 8 && states_[end] == kUnwritten) ++end;
  for (std::size_t width = 2; width <= 8; width *= 2) {
    if (end - begin >= width || end % width != 0) continue;
    const bool before = end > width && states_[end - width - 1] == written_by(width);
    const bool after = states_[end] == written_by(width);
    if (before || after) return end;
  }
  return first;
}

}  // namespace simt

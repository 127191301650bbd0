#include "races.hpp"

#include <algorithm>

#include "access.hpp"

namespace simt {
namespace {

bool together(const Record& a, const Record& b) {
  return a.block == b.block && a.clock == b.clock && a.warp == b.warp && a.strong == b.strong;
}

class Toucher {
 public:
  Toucher(const HappensBefore& order, const Record& record, unsigned thread)
      : order_(order), mine_(record), me_(thread) {}

  Conflict touch(Cell& c, unsigned kind) const {
    Conflict conflict = against(c.write, true);
    if (conflict.other.lanes) return conflict;
    if (!(kind & kWrite)) {
      remember_read(c);
      return conflict;
    }
    for (const Record& read : c.reads) {
      conflict = against(read, false);
      if (conflict.other.lanes) return conflict;
    }
    if (mine_.strong && together(c.write, mine_)) {
      c.write.lanes |= mine_.lanes;
      c.write.pc = mine_.pc;
    } else {
      c.write = mine_;
    }
    // What comes after this write comes after the reads too; but two strong accesses need no order.
    for (Record& read : c.reads) {
      if (!mine_.strong || !order_.unordered(read, me_)) read.lanes = 0;
    }
    return conflict;
  }

 private:
  Conflict against(const Record& r, bool writes) const {
    if (!r.lanes) return {r, writes};
    Conflict conflict{r, writes};
    conflict.other.lanes = r.in_flight ? r.lanes : r.strong && mine_.strong ? 0 : order_.unordered(r, me_);
    return conflict;
  }

  // A read that is known to come before this one need not be kept. Of more than two others, one of another warp is.
  void remember_read(Cell& c) const {
    for (Record& r : c.reads) {
      if (r.lanes && together(r, mine_) && r.pc == mine_.pc) {
        r.lanes |= mine_.lanes;
        return;
      }
    }
    for (Record& r : c.reads) {
      if (!r.lanes || (r.strong == mine_.strong && !order_.unordered(r, me_))) {
        r = mine_;
        return;
      }
    }
    for (Record& r : c.reads) {
      if (!together(r, mine_)) continue;
      r.lanes |= mine_.lanes;
      r.pc = mine_.pc;
      return;
    }
    const bool same_warp = c.reads[0].block == mine_.block && c.reads[0].warp == mine_.warp;
    c.reads[same_warp ? 0 : 1] = mine_;
  }

  const HappensBefore& order_;
  const Record& mine_;
  unsigned me_;
};

// Calls f(cell) for each cell of the bytes: those of words, or, where parts of a word are accessed, of bytes.
template <class F>
void for_cells(Shadow& shadow, std::uint32_t generation, const void* address, std::size_t bytes, F f) {
  const auto begin = reinterpret_cast<std::uintptr_t>(address), end = begin + bytes;
  for (std::uintptr_t word = begin & ~std::uintptr_t{3}; word < end; word += 4) {
    Cell& c = shadow.word(word);
    if (c.generation != generation) {
      c = {};
      c.generation = generation & kMostGeneration;
    }
    const std::uintptr_t first = std::max(word, begin), last = std::min(word + 4, end);
    if (!c.split && last - first == 4) {
      if (!f(c)) return;
      continue;
    }
    Cell* parts = shadow.bytes_of_word(word);
    if (!c.split) {
      std::fill_n(parts, 4, c);
      c.split = 1;
    }
    for (std::uintptr_t b = first; b < last; ++b) {
      if (!f(parts[b - word])) return;
    }
  }
}

}  // namespace

Conflict find_race(Shadow& shadow, const HappensBefore& order, const void* address, std::size_t bytes, unsigned kind,
                   bool shared, const Record& record, unsigned thread) {
  const Toucher toucher(order, record, thread);
  Conflict conflict{};
  for_cells(shadow, order.generation(shared), address, bytes, [&](Cell& c) {
    conflict = toucher.touch(c, kind);
    return conflict.other.lanes == 0;
  });
  return conflict;
}

void arrive(Shadow& shadow, const HappensBefore& order, const void* address, std::size_t bytes, const Record& record) {
  for_cells(shadow, order.generation(true), address, bytes, [&](Cell& c) {
    c.write = record;
    return true;
  });
}

}  // namespace simt

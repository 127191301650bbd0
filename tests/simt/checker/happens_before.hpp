// Which accesses of a launch come before which, whatever the order of threads: by barriers, by what the lanes of a warp
// do together, and by flags and counters between fences.
//
// Each thread of the running block has a clock: the number of the block's barriers above, the synchronizations since
// then below. A barrier sets all clocks of the block to one value, an operation of a warp those of its lanes: what
// carries a smaller one is known to have happened. What a thread knows beyond that, of other warps and other blocks, is
// its History. A fence or release makes it, and what it knows itself, part of the flag that is written next; who reads
// the flag, and then a fence, knows the same (PTX ISA, "Memory Consistency Model": release and acquire patterns).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "shadow.hpp"

namespace simt {

class HappensBefore {
 public:
  void launch_begins();
  void block_begins(std::uint32_t block, unsigned threads);

  void barrier();
  void lanes_meet(unsigned warp, unsigned lanes);
  void arrives(int barrier, unsigned thread);
  void opens(int barrier);
  void leaves(unsigned thread);
  void fence(unsigned thread);
  // Of a flag in shared memory or not, by an atomic or volatile access; `ordered`: it is an acquire or a release
  // itself.
  void acquire(unsigned thread, const void* flag, bool shared, bool ordered);
  void release(unsigned thread, const void* flag, bool shared, bool ordered);

  // The record of what a thread does now.
  Record now(unsigned thread) const;
  // The lanes of a record that are not known to come before what `thread` does now.
  unsigned unordered(const Record& record, unsigned thread) const;
  // Cells of an older generation are empty: of another launch, or, in shared memory, of another block.
  std::uint32_t generation(bool shared) const { return shared ? block_generation_ : launch_generation_; }

 private:
  // Of the accesses of a block's threads: those at a smaller clock. `all` holds for every thread, `more` for some.
  struct Bounds {
    std::uint32_t all = 0;
    std::map<unsigned, std::uint32_t> more;
    void join(const Bounds& other);
    std::uint32_t of(unsigned thread) const;
  };
  using Blocks = std::map<std::uint32_t, Bounds>;
  using History = std::shared_ptr<const Blocks>;  // null: nothing
  static void join(History& to, const History& from);

  struct Thread {
    std::uint32_t clock = 0;
    std::uint32_t floor = 0;        // accesses of its warp at smaller clocks are known
    std::uint32_t published = 0;    // its own at smaller clocks came before a fence of its own
    Bounds fenced;                  // what it knew of its block at its last fence,
    History fenced_history;         // and of others
    History history, pending;       // pending: read from flags, known after a fence
    std::shared_ptr<History> gate;  // where it waits
  };

  Bounds knowledge(unsigned thread) const;
  std::uint32_t known(unsigned thread, unsigned other) const;
  void tick(unsigned thread);
  void forget();

  std::uint32_t block_ = 0, epoch_ = 0;  // epoch_: the clock at the last barrier
  std::vector<Thread> threads_;
  std::vector<std::array<std::uint32_t, 32>> seen_;  // of each lane's warp, once some lanes have met without the others
  std::array<std::shared_ptr<History>, 16> gates_;   // what those have known that came to a named barrier
  std::map<const void*, History> flags_[2];          // what a flag's reader learns: [shared]
  bool fences_ = false;                              // whether the launch has any
  bool histories_ = false;                           // whether a thread of the block has any
  bool fresh_ = false;                               // whether threads_ say nothing yet
  std::uint32_t launch_generation_ = 0, block_generation_ = 0;
};

}  // namespace simt

// Instructions of translated PTX in which the threads of a warp or block take part together.
#pragma once

#include "machine.hpp"

namespace simt::ptx {

// shfl.sync: `shape` holds the highest lane of a segment (low bits) and the bits of the lane that name the segment.
// Returns whether the source lies in the segment; if not, the lane keeps its own value.
enum class Shuffle { up, down, bfly, idx };
template <Shuffle mode>
bool shuffle_lanes(u32& result, u32 value, u32 b, u32 shape, u32 mask, SIMT_AT) {
  const u32 lane = simt::lane(), segment = shape >> 8 & 31, clamp = shape & 31;
  const u32 lowest = lane & segment, highest = lowest | (clamp & ~segment);
  const u32 n = b & 31;
  const s32 from = mode == Shuffle::up     ? static_cast<s32>(lane - n)
                   : mode == Shuffle::down ? static_cast<s32>(lane + n)
                   : mode == Shuffle::bfly ? static_cast<s32>(lane ^ n)
                                           : static_cast<s32>(lowest | (n & ~segment));
  const bool inside = mode == Shuffle::up ? from >= static_cast<s32>(highest) : from <= static_cast<s32>(highest);
  result = simt::shuffle(mask, value, inside ? from : -1, at);
  return inside;
}

// vote.sync.uni: whether all lanes have one predicate.
inline bool all_equal(bool predicate, u32 mask, SIMT_AT) {
  const u32 yes = __ballot_sync(mask, predicate, at);
  return yes == 0 || yes == mask;
}

// match.all.sync: the mask and true where all its lanes have one value, 0 and false elsewhere.
template <class T>
bool match_all(u32& result, T value, u32 mask, SIMT_AT) {
  int all = 0;
  result = __match_all_sync(mask, value, &all, at);
  return all != 0;
}

// bar.sync of barrier 0 for the whole block, or of a named one.
inline void block_barrier(u32 id, SIMT_AT) {
  if (id == 0) {
    simt::barrier(Vote::none, 0, at);
  } else {
    named_barrier_sync(static_cast<int>(id), (blockDim.x * blockDim.y * blockDim.z + 31) / 32 * 32, at);
  }
}
template <Vote vote>
int block_vote(u32 id, bool predicate, SIMT_AT) {
  if (id != 0) fail("bar.red of a barrier other than 0 is not emulated", at);
  return simt::barrier(vote, predicate, at);
}

}  // namespace simt::ptx

// The generator behind every random number: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers:
// as easy as 1, 2, 3"), a keyed bijection of 128-bit counters. Block b of the stream of a key is four words that depend
// on (key, b) alone, so any thread, lane or device may compute any part of a draw. Element i of a draw is the i-th
// group of words that its type needs: 32-bit words for float, pairs of them for double.
#pragma once

#include <cstdint>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

struct Philox4x32 {
  struct Block {
    std::uint32_t word[4];
    friend constexpr bool operator==(const Block&, const Block&) = default;
    constexpr std::uint64_t low() const { return word[0] | std::uint64_t(word[1]) << 32; }
    constexpr std::uint64_t high() const { return word[2] | std::uint64_t(word[3]) << 32; }
  };

  static constexpr int kRounds = 10;
  static constexpr std::uint32_t kMultiply0 = 0xD2511F53u, kMultiply1 = 0xCD9E8D57u;  // of words 0 and 2
  static constexpr std::uint32_t kStep0 = 0x9E3779B9u, kStep1 = 0xBB67AE85u;          // of the key's halves, per round

  static constexpr Block encrypt(const Block& counter, std::uint64_t key) {
    Block c = counter;
    auto k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t p0 = std::uint64_t(kMultiply0) * c.word[0], p1 = std::uint64_t(kMultiply1) * c.word[2];
      c = {{std::uint32_t(p1 >> 32) ^ c.word[1] ^ k0, std::uint32_t(p1), std::uint32_t(p0 >> 32) ^ c.word[3] ^ k1,
            std::uint32_t(p0)}};
      k0 += kStep0;
      k1 += kStep1;
    }
    return c;
  }
};

// What a key is used for, in the counter's last word: the numbers that a key draws and the keys derived from it never
// share a counter.
enum class RandomUse : std::uint32_t { draw, split, fold };

constexpr Philox4x32::Block random_block(std::uint64_t key, std::uint64_t index, RandomUse use = RandomUse::draw) {
  return Philox4x32::encrypt({{std::uint32_t(index), std::uint32_t(index >> 32), 0, std::uint32_t(use)}}, key);
}

}  // namespace ergo::inline ERGO_BUILD

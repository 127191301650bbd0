// Philox4x32-10 against the known answers that its authors publish with Random123 (kat_vectors).
#include "ergo/core/philox.hpp"

#include <doctest/doctest.h>

namespace core_philox_test {

using ergo::Philox4x32;
using ergo::random_block;
using ergo::RandomUse;

TEST_CASE("the published known answers") {
  constexpr std::uint32_t kOnes = 0xffffffffu;
  CHECK(Philox4x32::encrypt({{0, 0, 0, 0}}, 0) ==
        Philox4x32::Block{{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}});
  CHECK(Philox4x32::encrypt({{kOnes, kOnes, kOnes, kOnes}}, ~std::uint64_t(0)) ==
        Philox4x32::Block{{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}});
  CHECK(Philox4x32::encrypt({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0x299f31d0a4093822u) ==
        Philox4x32::Block{{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}});
}

TEST_CASE("usable in constant expressions") {
  static_assert(random_block(0, 0) == Philox4x32::Block{{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}});
}

TEST_CASE("a block index takes 64 bits of the counter, the use the last word") {
  const std::uint64_t key = 0x0123456789abcdefu, index = 0xfedcba9876543210u;
  CHECK(random_block(key, index, RandomUse::fold) == Philox4x32::encrypt({{0x76543210u, 0xfedcba98u, 0, 2}}, key));
  CHECK(!(random_block(key, 7, RandomUse::draw) == random_block(key, 7, RandomUse::split)));
  CHECK(!(random_block(key, 7, RandomUse::split) == random_block(key, 7, RandomUse::fold)));
  CHECK(random_block(key, 3).low() ==
        (random_block(key, 3).word[0] | std::uint64_t(random_block(key, 3).word[1]) << 32));
  CHECK(random_block(key, 3).high() ==
        (random_block(key, 3).word[2] | std::uint64_t(random_block(key, 3).word[3]) << 32));
}

}  // namespace core_philox_test

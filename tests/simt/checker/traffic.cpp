#include "traffic.hpp"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

namespace simt {

void TrafficCounter::launch_begins(std::string kernel) {
  end_launch();
  traffic_.emplace_back().kernel = std::move(kernel);
  running_ = true;
}

void TrafficCounter::block_begins() { end_block(); }

void TrafficCounter::access(unsigned rank, const void* address, std::size_t bytes, bool writes, bool shared,
                            const void* instruction) {
  if (rank / 32 >= warps_.size()) warps_.resize(rank / 32 + 1);
  Warp& warp = warps_[rank / 32];
  const auto lane = static_cast<std::uint8_t>(rank % 32);
  warp.lanes |= 1u << lane;
  const std::uint32_t turn = warp.turns[instruction][lane]++;
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  for (unsigned part = 0; part * 16 < bytes; ++part)  // 16 bytes are the most that one instruction moves
    warp.accesses.push_back({instruction, turn, part, lane,
                             static_cast<std::uint8_t>(std::min<std::size_t>(bytes - part * 16, 16)), writes, shared,
                             begin + part * 16});
}

// Lanes that are still behind have their turns to come: what they share with these is not known yet.
void TrafficCounter::lanes_meet(unsigned warp, unsigned lanes) {
  if (warp < warps_.size() && (warps_[warp].lanes & ~lanes) == 0) sort_out(warps_[warp]);
}
void TrafficCounter::threads_meet() {
  for (Warp& w : warps_) sort_out(w);
}

// The accesses of a warp since its lanes last met.
void TrafficCounter::sort_out(Warp& warp) {
  auto& all = warp.accesses;
  const auto key = [](const Access& a) { return std::tuple(a.instruction, a.turn, a.part, a.writes, a.shared); };
  std::stable_sort(all.begin(), all.end(), [&](const Access& a, const Access& b) { return key(a) < key(b); });
  for (std::size_t first = 0, last; first < all.size(); first = last) {
    for (last = first + 1; last < all.size() && key(all[last]) == key(all[first]);) ++last;
    if (all[first].shared)
      take_shared(&all[first], &all[0] + last);
    else
      take_global(&all[first], &all[0] + last);
  }
  all.clear();
  warp.turns.clear();
  warp.lanes = 0;
}

void TrafficCounter::take_global(const Access* first, const Access* last) {
  std::array<std::pair<std::uintptr_t, std::uint32_t>, 64> touched;  // sectors, and which of their bytes
  std::size_t n = 0;
  for (const Access* a = first; a != last; ++a)
    for (std::uintptr_t at = a->address; at < a->address + a->bytes; ++at) {
      const std::uintptr_t sector = at / kSector;
      std::size_t i = n;
      while (i > 0 && touched[i - 1].first != sector) --i;
      if (i == 0) {
        touched[n++] = {sector, 0};
        i = n;
      }
      touched[i - 1].second |= 1u << at % kSector;
    }
  unsigned bytes = 0;
  for (std::size_t i = 0; i < n; ++i) {
    bytes += static_cast<unsigned>(std::popcount(touched[i].second));
    auto& counts = of_block_[touched[i].first][first->writes];
    for (std::uint32_t rest = touched[i].second; rest; rest &= rest - 1) ++counts[std::size_t(std::countr_zero(rest))];
  }
  KernelTraffic& t = traffic_.back();
  ++t.accesses;
  t.sectors += n;
  t.ideal_sectors += (bytes + kSector - 1) / kSector;
}

// 32 banks of 4 bytes. Accesses of 8 and 16 bytes are made by half and quarter warps in turn; lanes that want the same
// word of a bank share it.
void TrafficCounter::take_shared(const Access* first, const Access* last) {
  const unsigned lanes = first->bytes <= 4 ? 32 : first->bytes == 8 ? 16 : 8;
  for (unsigned from = 0; from < 32; from += lanes) {
    std::array<std::vector<std::uintptr_t>, 32> words;
    std::size_t passes = 0;
    for (const Access* a = first; a != last; ++a) {
      if (a->lane < from || a->lane >= from + lanes) continue;
      for (std::uintptr_t word = a->address / 4; word <= (a->address + a->bytes - 1) / 4; ++word) {
        auto& of_bank = words[word % 32];
        if (std::find(of_bank.begin(), of_bank.end(), word) == of_bank.end()) of_bank.push_back(word);
        passes = std::max(passes, of_bank.size());
      }
    }
    if (passes == 0) continue;
    ++traffic_.back().shared_accesses;
    traffic_.back().shared_passes += passes;
  }
}

// An address counts as often as the block reads it that reads it most: what another block has fetched may still be in
// the cache that they share.
void TrafficCounter::end_block() {
  threads_meet();
  for (const auto& [sector, counts] : of_block_) {
    Counts& most = of_launch_[sector];
    for (std::size_t w = 0; w < 2; ++w)
      for (std::size_t i = 0; i < kSector; ++i) most[w][i] = std::max(most[w][i], counts[w][i]);
  }
  of_block_.clear();
}

void TrafficCounter::end_launch() {
  if (!running_) return;
  end_block();
  KernelTraffic& t = traffic_.back();
  for (const auto& [sector, counts] : of_launch_)
    for (std::size_t i = 0; i < kSector; ++i) {
      t.read += counts[0][i];
      t.written += counts[1][i];
      t.least_read += counts[0][i] > 0;
      t.least_written += counts[1][i] > 0;
    }
  of_launch_.clear();
  running_ = false;
}

std::vector<KernelTraffic> TrafficCounter::take() {
  end_launch();
  return std::exchange(traffic_, {});
}

}  // namespace simt

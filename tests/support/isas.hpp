// What a test does once for every instruction set of this machine.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "ergo/core/device.hpp"
#include "ergo/cpu/isa.hpp"
#include "support/skip.hpp"

// Calls f under each, the one of before comes back also when f throws. On a device they mean nothing: f runs once.
template <class F>
void on_each_isa(F&& f) {
  using namespace ergo;
  struct Restored {
    cpu::Isa before = cpu::isa();
    ~Restored() { cpu::set_isa(before); }
  } restored;
  for (const cpu::Isa isa : {cpu::Isa::sse2, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!default_device().is_cpu() && isa != cpu::machine_isa()) continue;
    if (isa > cpu::machine_isa()) {
      skip(std::string("loops with ") + cpu::name(isa), "this machine lacks it");
      continue;
    }
    cpu::set_isa(isa);
    CAPTURE(std::string(cpu::name(isa)));
    f();
  }
}

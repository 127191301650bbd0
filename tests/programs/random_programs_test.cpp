// Random programs, the library against the interpreter: value, gradient and second derivatives in every mode.
// ERGO_PROGRAMS says how many (default 2000), ERGO_PROGRAM='...' runs one by its text.
// sources: programs/*.cpp
// flags: -O1
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include "ergo/core/config.hpp"
#include "programs/generate.hpp"
#include "programs/interpret.hpp"
#include "programs/library.hpp"
#include "support/seed.hpp"

namespace programs_random_programs_test {

using namespace programs;

namespace {

// What a program shows: nothing, or where the two sides differ.
struct Verdict {
  std::string difference;
  bool unstable = false;  // rounding decides a branch: nothing can be said
};

constexpr Real kNoise = 1e-13L, kUnstable = 1e-6L;

// The library runs p, the interpreter `told`: the same, but where a test of this test plants a difference.
Verdict judge(const Program& p, const Program& told) {
  Real peak = 0;
  const Derivatives expected = interpret(told, {.peak = &peak});
  Real reach[4] = {};  // how far noise of kNoise carries each number
  for (std::uint64_t k = 1; k <= 4; ++k) {
    try {
      const Derivatives moved = interpret(told, {kNoise, hash(p.seed, k)});
      for (int d = 0; d < 4; ++d) reach[d] = std::fmax(reach[d], std::fabs(moved.of[d] - expected.of[d]));
    } catch (const std::invalid_argument&) { return {"", true}; }
  }
  Verdict v;
  for (int d = 0; d < 4; ++d) v.unstable = v.unstable || !(reach[d] <= kUnstable * (1 + std::fabs(expected.of[d])));
  if (v.unstable) return v;
  try {
    for (const Found& f : run_modes(p)) {
      const Real e = expected.of[f.derivative],
                 tolerance = 4 * reach[f.derivative] + 1e-12L * (1 + std::fabs(e)) + 1e-15L * peak * peak;
      if (std::fabs(f.value - e) <= tolerance) continue;
      char line[200];
      std::snprintf(line, sizeof line, "%s: %.17g, expected %.17Lg within %.2Lg", f.mode, f.value, e, tolerance);
      v.difference = line;
      return v;
    }
  } catch (const std::exception& e) { v.difference = std::string("threw: ") + e.what(); }
  return v;
}

Verdict judge(const Program& p) { return judge(p, p); }

struct Tally {
  int unstable = 0, steps = 0, failures = 0;
  std::map<Op, int> uses;
  void count(const Program& p) {
    steps += int(p.steps.size());
    for (const Step& s : p.steps) {
      ++uses[s.op];
      if (s.body) count(*s.body);
    }
  }
};

// Programs `first`, `first + every`, ...; a failure is told with a program as short as it gets.
Tally judge_all(int first, int every, int programs) {
  Tally t;
  for (int i = first; i < programs && t.failures < 3; i += every) {
    const Program p = random_program(hash(test_seed(), 5000 + std::uint64_t(i)));
    t.count(p);
    const Verdict v = judge(p);
    t.unstable += v.unstable;
    if (v.difference.empty()) continue;
    ++t.failures;
    const Program least = shrunk(p, [](const Program& q) { return !judge(q).difference.empty(); });
    FAIL_CHECK(judge(least).difference, "\n  ERGO_PROGRAM='", text_of(least), "' repeats it (", p.steps.size(),
               " steps before it was shrunk)");
  }
  return t;
}

}  // namespace

TEST_CASE("a program is read back from its text") {
  for (std::uint64_t i = 0; i < 50; ++i) {
    const std::string text = text_of(random_program(hash(test_seed(), i)));
    CHECK(text_of(parse(text)) == text);
  }
}

TEST_CASE("the interpreter's derivatives are those of differences") {
  int compared = 0;
  for (std::uint64_t i = 0; i < 60; ++i) {
    const Program p = random_program(hash(test_seed(), 1000 + i));
    CAPTURE(text_of(p));
    const Real h = 1e-5L;
    const auto at = [&](Real s, Real t) { return interpret(p, {}, s, t); };
    try {
      const Derivatives d = at(0, 0), left = at(-h, 0), right = at(h, 0), up = at(0, h), down = at(0, -h);
      const Real first = (right.of[0] - left.of[0]) / (2 * h), second = (up.of[0] - down.of[0]) / (2 * h);
      const Real mixed = (up.of[1] - down.of[1]) / (2 * h), curve = right.of[1] - 2 * d.of[1] + left.of[1];
      if (std::fabs(curve) > 1e-6L) continue;  // a kink, or close to one
      const auto close = [](Real a, Real b) { return std::fabs(a - b) <= 1e-3L * (1 + std::fabs(b)); };
      const int agree = close(first, d.of[1]) + close(second, d.of[2]) + close(mixed, d.of[3]);
      compared += agree == 3;
    } catch (const std::invalid_argument&) {}
  }
  std::printf("%d of 60 programs with the derivatives of differences\n", compared);
  CHECK(compared >= 30);  // the others have a kink within 1e-5, or grow too fast for differences
}

TEST_CASE("a hundredth more in one step is seen") {
  int seen = 0;
  for (std::uint64_t i = 0; i < 60; ++i) {
    const Program p = random_program(hash(test_seed(), 2000 + i));
    Program more = p;
    more.steps.push_back({Op::scale, {int(p.inputs.size() + p.steps.size()) - 1}, {101}, nullptr});
    seen += !judge(p, more).difference.empty();
  }
  std::printf("a hundredth more is seen in %d of 60 programs\n", seen);
  CHECK(seen >= 40);  // the others are undecided, or end in zeros
}

TEST_CASE("random programs, from two threads: value, gradient and second derivatives in every mode") {
  if (const char* text = std::getenv("ERGO_PROGRAM")) {
    const Program p = parse(text);
    const Derivatives d = interpret(p);
    std::printf("interpreted: %.17Lg, slopes %.17Lg %.17Lg, second %.17Lg\n", d.of[0], d.of[1], d.of[2], d.of[3]);
    for (const Found& f : run_modes(p)) std::printf("%-28s %d  %.17g\n", f.mode, f.derivative, f.value);
    CHECK(judge(p).difference == "");
    return;
  }
  const char* asked = std::getenv("ERGO_PROGRAMS");
  const int programs = asked ? std::atoi(asked) : ergo::detail::kSanitized ? 300 : 2000;
  Tally t, beside;
  std::thread other([&] { beside = judge_all(1, 2, programs); });
  t = judge_all(0, 2, programs);
  other.join();
  t.unstable += beside.unstable;
  t.steps += beside.steps;
  for (const auto& [op, n] : beside.uses) t.uses[op] += n;
  std::printf("%d programs of %.1f steps, %d of them undecided: rounding takes a branch\n", programs,
              double(t.steps) / programs, t.unstable);
  CHECK(t.unstable <= programs / 5);
  if (programs >= 1000)
    for (int op = 0; op < int(Op::kCount); ++op) {
      CAPTURE(name_of(Op(op)));
      CHECK(t.uses[Op(op)] >= programs / 100);
    }
}

}  // namespace programs_random_programs_test

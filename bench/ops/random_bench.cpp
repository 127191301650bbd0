// Random draws beside the standard library's generators, one thread, in cache: nanoseconds a number (best of the
// repeats), and the peer's time over ours. Goals: 1.5 ns a normal, 20,000 glyphs a second.
//
//   --repeats=25     instead of 9
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "bench/support/contest.hpp"
#include "ergo/data/glyphs.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/truncated_normal.hpp"

namespace {

using namespace ergo;

constexpr std::int64_t kCount = 16384;

// A row: ours, and the peer's distribution over a Mersenne twister if there is one.
template <class F>
void row(const char* name, std::int64_t count, const bench::ContestOptions& options, F ours) {
  bench::Contest contest;
  contest.add(name, ours);
  contest.run(options);
  std::printf("%-32s %9.3f ns\n", name, contest.contestants()[0].minimum() / double(count) * 1e9);
  std::fflush(stdout);
}
template <class T, class F, class Distribution>
void row(const char* name, std::int64_t count, const bench::ContestOptions& options, F ours,
         Distribution distribution) {
  std::mt19937 twister(1);
  std::vector<T> out(static_cast<std::size_t>(count));
  bench::Contest contest;
  contest.add(name, ours);
  contest.add("std", [&] {
    for (T& x : out) x = T(distribution(twister));
    bench::keep(out);
  });
  contest.run(options);
  const double mine = contest.contestants()[0].minimum(), theirs = contest.contestants()[1].minimum();
  std::printf("%-32s %9.3f ns  std %9.3f  ratio %6.2f\n", name, mine / double(count) * 1e9,
              theirs / double(count) * 1e9, theirs / mine);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ContestOptions options;
  for (int i = 1; i < argc; ++i)
    if (const std::string a = argv[i]; a.rfind("--repeats=", 0) == 0) options.repeats = std::atoi(a.c_str() + 10);
  set_num_threads(1);
  const Key key{42};
  const Shape shape{kCount};
  std::printf("%s, one thread, %ld numbers a call\n", cpu::name(cpu::isa()), long(kCount));
  row<float>(
      "uniform<float>", kCount, options, [&] { bench::keep(uniform(key, shape)); },
      std::uniform_real_distribution<float>());
  row<double>(
      "uniform<double>", kCount, options, [&] { bench::keep(uniform<double>(key, shape)); },
      std::uniform_real_distribution<double>());
  row<float>(
      "normal<float>", kCount, options, [&] { bench::keep(normal(key, shape)); }, std::normal_distribution<float>());
  row<double>(
      "normal<double>", kCount, options, [&] { bench::keep(normal<double>(key, shape)); },
      std::normal_distribution<double>());
  row<std::int32_t>(
      "randint", kCount, options, [&] { bench::keep(randint(key, shape, 0, 1000)); },
      std::uniform_int_distribution<std::int32_t>(0, 999));
  row<std::uint8_t>(
      "bernoulli", kCount, options, [&] { bench::keep(bernoulli(key, shape, 0.3)); }, std::bernoulli_distribution(0.3));
  row("normal<bfloat16>", kCount, options, [&] { bench::keep(normal<bfloat16>(key, shape)); });
  row("truncated_normal<float>", kCount, options, [&] { bench::keep(truncated_normal(key, shape, -2, 2)); });
  row("permutation", kCount, options, [&] { bench::keep(permutation(key, kCount)); });
  const auto logits = normal(key, {16, kCount / 16}), x = normal(key, shape);
  row("categorical, of 1024", kCount, options, [&] { bench::keep(categorical(key, logits)); });
  row("dropout", kCount, options, [&] { bench::keep(dropout(key, x, 0.1)); });
  row("normal, 10 numbers a call", 10, options, [&] { bench::keep(normal(key, {10})); });
  row("split(key, 1024)", 1024, options, [&] { bench::keep(split(key, 1024)); });
  row("glyphs, each", 256, options, [&] { bench::keep(data::synthetic::glyphs(key, 256).images); });
}

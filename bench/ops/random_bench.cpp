// Random draws: nanoseconds of a number, beside the standard library's distributions over a Mersenne twister.
#include <random>

#include "bench/support/rows.hpp"
#include "ergo/data/glyphs.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/truncated_normal.hpp"

namespace {

using namespace ergo;
using bench::Goal;
using bench::Row;

// `count` numbers a call; times are those of one.
template <class F>
Row& add(std::vector<Row>& rows, const std::string& name, const Shape& s, std::int64_t count, Goal goal, F f) {
  rows.push_back(
      {.name = name + " " + to_string(s), .run = [f] { bench::keep(f()); }, .items = double(count), .goal = goal});
  return rows.back();
}

template <class T, class Distribution>
void beside_std(Row& row, Distribution distribution) {
  row.peers.push_back({"std", [distribution, n = std::int64_t(row.items), twister = std::mt19937(1)]() mutable {
                         std::vector<T> out(static_cast<std::size_t>(n));
                         for (T& x : out) x = T(distribution(twister));
                         bench::keep(out);
                       }});
}

void add_draws(std::vector<Row>& rows, std::int64_t n) {
  const Key key{42};
  const Shape s{n};
  beside_std<float>(add(rows, "uniform", s, n, {.ratio = 1}, [=] { return uniform(key, s); }),
                    std::uniform_real_distribution<float>());
  beside_std<double>(add(rows, "uniform<double>", s, n, {.ratio = 1}, [=] { return uniform<double>(key, s); }),
                     std::uniform_real_distribution<double>());
  beside_std<float>(add(rows, "normal", s, n, {.ratio = 3.4, .nanoseconds = 0.9}, [=] { return normal(key, s); }),
                    std::normal_distribution<float>());
  beside_std<double>(add(rows, "normal<double>", s, n, {.ratio = 1}, [=] { return normal<double>(key, s); }),
                     std::normal_distribution<double>());
  beside_std<std::int32_t>(add(rows, "randint", s, n, {.ratio = 1}, [=] { return randint(key, s, 0, 1000); }),
                           std::uniform_int_distribution<std::int32_t>(0, 999));
  beside_std<std::uint8_t>(add(rows, "bernoulli", s, n, {.ratio = 1}, [=] { return bernoulli(key, s, 0.3); }),
                           std::bernoulli_distribution(0.3));
  const auto x = normal(key, s), logits = normal(key, {16, n / 16});
  add(rows, "truncated_normal", s, n, {}, [=] { return truncated_normal(key, s, -2, 2); });
  add(rows, "permutation", s, n, {.ratio = 1}, [=] { return permutation(key, n); });
  add(rows, "dropout", s, n, {.ratio = 1}, [=] { return dropout(key, x, 0.1); });
  add(rows, "categorical", logits.shape(), n, {.ratio = 1}, [=] { return categorical(key, logits); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    for (const std::int64_t n : {10, 16384, 1000000}) {
      if (n > 10)
        add_draws(rows, n);
      else
        add(rows, "normal", {n}, n, {.ratio = 1}, [=] { return normal(Key{42}, {n}); });
    }
    add(rows, "split", {1024}, 1024, {}, [] { return split(Key{42}, 1024); });
    add(rows, "glyphs", {256}, 256, {.nanoseconds = 50000},
        [] { return data::synthetic::glyphs(Key{42}, 256).images; });
    return rows;
  });
}

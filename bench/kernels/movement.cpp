// Rows of copies, conversions, scans, random draws and gathers.
#include "bench/kernels/measure.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/ops/scan.hpp"

namespace bench {
namespace {

template <class T, class F>
void add_map(Rows& rows, const std::string& op, const Shape& s, double bytes, F f) {
  rows.push_back({.op = op,
                  .shape = text(s),
                  .dtype = dtype_name<T>(),
                  .bytes = bytes,
                  .input_bytes = double(s.numel()) * sizeof(T)});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<T>(seed, s)] { (void)f(x); };
  };
}

template <class T>
void add_draws(Rows& rows, const Shape& s) {
  const double bytes = double(s.numel()) * sizeof(T);
  const auto draw = [&](const char* op, auto f) {
    rows.push_back({.op = op, .shape = text(s), .dtype = dtype_name<T>(), .bytes = bytes});
    rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
      return [f, key = Key{seed}] { (void)f(key); };
    };
  };
  draw("uniform", [s](const Key& k) { return uniform<T>(k, s); });
  draw("normal", [s](const Key& k) { return normal<T>(k, s); });
  add_map<T>(rows, "dropout", s, 2 * bytes, [k = Key{7}](const auto& x) { return dropout(k, x, 0.1); });
  rows.push_back({.op = "dropout vjp", .shape = text(s), .dtype = dtype_name<T>(), .bytes = 2 * bytes});
  rows.back().input_bytes = bytes;
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull = vjp([k = Key{7}](const auto& x) { return dropout(k, x, 0.1); }, random<T>(seed, s)).second;
    return [pull, g = random<T>(seed + 1, s)] { (void)pull(g); };
  };
}

template <class T>
void add_embedding(Rows& rows, std::int64_t n, std::int64_t d, std::int64_t count) {
  const double bytes = double(count * d) * sizeof(T);
  const Shape table{n, d};
  const auto ids = [=](std::uint64_t seed) {
    const DeviceScope scope(kDevice);
    return randint(Key{seed}, {count}, 0, int(n));
  };
  rows.push_back({.op = "embedding",
                  .shape = text(table) + " at " + text({count}),
                  .dtype = dtype_name<T>(),
                  .bytes = 2 * bytes + 4 * double(count),
                  .input_bytes = double(table.numel()) * sizeof(T)});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [x = random<T>(seed, table), i = ids(seed + 1)] { (void)embedding(x, i); };
  };
  rows.push_back(rows.back());
  rows.back().op = "embedding vjp";
  rows.back().bytes = bytes + double(table.numel()) * sizeof(T) + 4 * double(count);
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull = vjp([i = ids(seed + 1)](const auto& x) { return embedding(x, i); }, random<T>(seed, table)).second;
    return [pull, g = random<T>(seed + 2, {count, d})] { (void)pull(g); };
  };
}

template <class T>
void add_all(Rows& rows, std::int64_t n, bool tiny) {
  const Shape s{n, n};
  const double bytes = double(s.numel()) * sizeof(T);
  add_map<T>(rows, "transpose", s, 2 * bytes, [](const auto& x) { return transpose(x).contiguous(); });
  add_map<T>(rows, "cumsum", s, 2 * bytes, [](const auto& x) { return cumsum(x); });
  add_map<T>(rows, "cumsum", {n * n}, 2 * bytes, [](const auto& x) { return cumsum(x); });
  add_draws<T>(rows, s);
  add_embedding<T>(rows, tiny ? 30 : 50257, tiny ? 16 : 768, tiny ? 20 : 65536);
}

}  // namespace

void add_movement(Rows& rows, bool tiny) {
  const std::int64_t n = tiny ? 24 : 8192;
  const double elements = double(n * n);
  add_map<float>(rows, "cast to bfloat16", {n, n}, 6 * elements, [](const auto& x) { return cast<bfloat16>(x); });
  add_map<bfloat16>(rows, "cast to float32", {n, n}, 6 * elements, [](const auto& x) { return cast<float>(x); });
  add_all<float>(rows, n, tiny);
  add_all<bfloat16>(rows, n, tiny);
}

}  // namespace bench

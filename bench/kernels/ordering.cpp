// Rows of what orders, searches and counts elements, and of integer and categorical draws.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/compaction.hpp"
#include "ergo/ops/order_statistics.hpp"
#include "ergo/ops/searching.hpp"
#include "ergo/ops/segment.hpp"
#include "ergo/ops/sorting.hpp"

namespace bench {
namespace {

template <class T>
void add_sorts(Rows& rows, bool tiny) {
  using P = Operands<T>;
  const auto add = [&](const std::string& op, const Shape& s, double moved, bool with_vjp, auto f) {
    const double n = elements(s), width = sizeof(T);
    // Back: the cotangent and the places are read, the gradient is written.
    add_function<T>(
        rows, {.op = op, .operands = {s}, .bytes = n * moved, .vjp_bytes = with_vjp ? n * (2 * width + 4) : 0}, f);
  };
  const auto values = [](const P& p) { return sort(p[0]); };
  const double w = sizeof(T);
  const Shape narrow = tiny ? Shape{9, 7} : Shape{524288, 32}, middle = tiny ? Shape{6, 20} : Shape{65536, 256},
              long_rows = tiny ? Shape{2, 2100} : Shape{256, 65536}, all = tiny ? Shape{3000} : Shape{1 << 24};
  add("sort", narrow, 2 * w, false, values);
  add("sort", middle, 2 * w, true, values);
  add("sort", tiny ? Shape{2, 100} : Shape{8192, 2048}, 2 * w, false, values);
  add("sort", long_rows, 2 * w, false, values);
  add("sort", all, 2 * w, true, values);
  add("sort columns", tiny ? Shape{20, 6} : Shape{256, 65536}, 2 * w, false, [](const P& p) { return sort(p[0], 0); });
  for (const Shape& s : {middle, long_rows}) {
    add("argsort", s, w + 4, false, [](const P& p) { return argsort(p[0]); });
    add("median rows", s, w, false, [](const P& p) { return median(p[0], {-1}); });
    add("quantile rows", s, w, false, [](const P& p) { return quantile(p[0], 0.9, {-1}); });
  }
  add("median all", all, w, false, [](const P& p) { return median(p[0]); });
  for (const Shape& s : {narrow, middle, long_rows, all}) {
    const double bytes = elements(s) * w;
    add_function<T>(rows, {.op = "topk", .operands = {s}, .more = "(5)", .bytes = bytes, .vjp_bytes = bytes},
                    [](const P& p) { return topk(p[0], 5).values; });
  }
}

// The mask is made with the inputs. Half of the elements are taken.
void add_selections(Rows& rows, std::int64_t n) {
  using X = Tensor<float>;
  const double taken = double(n * n) / 2;
  Row row{.op = "nonzero", .shape = text({n, n}), .dtype = "bool", .bytes = 2 * taken + 8 * taken};
  row.input_bytes = 2 * taken;
  row.make = [=](std::uint64_t seed) -> std::function<void()> {
    return [mask = random<float>(seed, {n, n}) > 0] { (void)nonzero(mask); };
  };
  rows.push_back(row);
  row = {.op = "mask_select", .shape = text({n, n}), .dtype = "float", .bytes = (2 + 8 + 4) * taken};
  row.input_bytes = (2 + 8) * taken;
  row.make = [=](std::uint64_t seed) -> std::function<void()> {
    return
        [x = random<float>(seed, {n, n}), mask = random<float>(seed + 1, {n, n}) > 0] { (void)mask_select(x, mask); };
  };
  rows.push_back(row);
  row.op += " vjp";
  row.make = [=](std::uint64_t seed) -> std::function<void()> {
    const Tensor<bool> mask = random<float>(seed + 1, {n, n}) > 0;
    auto [y, pull] = vjp([mask](const X& x) { return mask_select(x, mask); }, random<float>(seed, {n, n}));
    return [pull = pull, g = random<float>(seed + 2, y.shape())] { (void)pull(g); };
  };
  rows.push_back(row);
}

void add_counts(Rows& rows, bool tiny) {
  const std::int64_t n = tiny ? 500 : 1 << 24, many = tiny ? 100 : 65536, few = tiny ? 10 : 256;
  const double bytes = 4 * double(n);
  using P = Operands<std::int32_t>;
  for (const std::int64_t below : {many, few}) {
    add_function<std::int32_t>(rows,
                               {.op = "unique", .more = text({below}), .bytes = 2 * bytes, .ids = {n}, .below = below},
                               [](const P&, const Ids& x) { return unique(x).values; });
    add_function<std::int32_t>(rows,
                               {.op = "bincount", .more = text({below}), .bytes = bytes, .ids = {n}, .below = below},
                               [=](const P&, const Ids& x) { return bincount(x, below); });
  }
}

// Elements among evenly spaced, sorted edges from -2 to 2.
template <class F>
void add_among_edges(Rows& rows, const std::string& op, std::int64_t n, std::int64_t edges, double bytes, F f) {
  Row row{.op = op, .shape = text({n}) + " " + text({edges}), .dtype = "float", .bytes = bytes * double(n)};
  row.input_bytes = 4 * double(n);
  row.make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<float>(seed, {n}), e = linspace<float>(-2, 2, edges, kDevice)] { (void)f(x, e); };
  };
  rows.push_back(row);
}

void add_draws(Rows& rows, bool tiny) {
  const std::int64_t n = tiny ? 500 : 1 << 24;
  const auto draw = [&](const std::string& op, const char* dtype, auto f) {
    rows.push_back({.op = op, .shape = text({n}), .dtype = dtype, .bytes = 4 * double(n)});
    rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
      return [f, key = Key{seed}] {
        const DeviceScope scope(kDevice);
        (void)f(key);
      };
    };
  };
  draw("randint", "int32", [n](const Key& k) { return randint(k, {n}, 0, 1000); });
  draw("permutation", "int32", [n](const Key& k) { return permutation(k, n); });
  const Shape narrow = tiny ? Shape{9, 7} : Shape{524288, 32}, wide = tiny ? Shape{2, 90} : Shape{512, 32768};
  for (const Shape& s : {narrow, wide})
    add_function<float>(rows, {.op = "categorical", .operands = {s}, .bytes = 4 * elements(s)},
                        [](const Operands<float>& p) { return categorical(Key{7}, p[0]); });
}

}  // namespace

void add_ordering(Rows& rows, bool tiny) {
  add_sorts<float>(rows, tiny);
  add_function<bfloat16>(
      rows,
      {.op = "sort", .operands = {tiny ? Shape{6, 20} : Shape{65536, 256}}, .bytes = 4.0 * (tiny ? 120 : 1 << 24)},
      [](const Operands<bfloat16>& p) { return sort(p[0]); });
  add_selections(rows, tiny ? 20 : 4096);
  add_counts(rows, tiny);
  const std::int64_t n = tiny ? 500 : 1 << 24;
  const auto search = [](const auto& x, const auto& edges) { return searchsorted(edges, x); };
  add_among_edges(rows, "searchsorted", n, tiny ? 9 : 257, 8, search);
  add_among_edges(rows, "searchsorted", n, tiny ? 99 : 1 << 20, 8, search);
  const auto count = [](const auto& x, const auto& edges) { return histogram(x, edges); };
  add_among_edges(rows, "histogram", n, tiny ? 9 : 257, 4, count);
  add_draws(rows, tiny);
}

}  // namespace bench

// Rows of gathers, scatters and segments, whole rows at random places and single elements.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/scattering.hpp"
#include "ergo/ops/segment.hpp"

namespace bench {
namespace {

template <class T>
void add_gathers(Rows& rows, bool tiny) {
  using P = Operands<T>;
  const double w = sizeof(T);
  // Of a table the bytes count only what is read; its gradient is written whole.
  const auto add = [&](const std::string& op, const Shape& s, const Shape& ids, std::int64_t below, double taken,
                       auto f) {
    add_function<T>(rows,
                    {.op = op,
                     .operands = {s},
                     .bytes = 2 * taken * w + 4 * elements(ids),
                     .vjp_bytes = taken * w + elements(s) * w + 4 * elements(ids),
                     .ids = ids,
                     .below = below},
                    f);
  };
  const auto rows_of = [](const P& p, const Ids& i) { return take(p[0], i); };
  const Shape wide = tiny ? Shape{50, 8} : Shape{1 << 20, 64};
  const std::int64_t many = tiny ? 20 : 1 << 18;
  add("take", wide, {many}, wide[0], double(many * wide[1]), rows_of);
  const Shape flat = tiny ? Shape{300} : Shape{1 << 24};
  add("take", flat, {flat[0] / 4}, flat[0], double(flat[0] / 4), rows_of);
  const Shape square = tiny ? Shape{12, 10} : Shape{4096, 4096};
  add("take columns", square, {square[1]}, square[1], elements(square),
      [](const P& p, const Ids& i) { return take(p[0], i, 1); });
  add("take_along_axis", square, square, square[1], elements(square),
      [](const P& p, const Ids& i) { return take_along_axis(p[0], i); });
}

// Rows y at random places of x.
void add_scatters(Rows& rows, bool tiny) {
  using P = Operands<float>;
  const std::int64_t n = tiny ? 30 : 65536, d = tiny ? 8 : 256;
  const double bytes = 4 * double(n * d), ids = 4 * double(n);
  const auto add = [&](const std::string& op, double back, auto f) {
    add_function<float>(rows,
                        {.op = op,
                         .operands = {{n, d}, {n, d}},
                         .bytes = 3 * bytes + ids,
                         .vjp_bytes = back * bytes + ids,
                         .ids = {n},
                         .below = n},
                        f);
  };
  add("scatter_add", 2, [](const P& p, const Ids& i) { return scatter_add(p[0], i, p[1]); });
  add("scatter", 3, [](const P& p, const Ids& i) { return scatter(p[0], i, p[1]); });
  add("scatter_max", 6, [](const P& p, const Ids& i) { return scatter_max(p[0], i, p[1]); });
  const std::int64_t many = tiny ? 400 : 1 << 24;
  add_function<float>(
      rows, {.op = "scatter_add", .operands = {{n}, {many}}, .bytes = 8 * double(many + n), .ids = {many}, .below = n},
      [](const P& p, const Ids& i) { return scatter_add(p[0], i, p[1]); });
  add_function<float>(rows, {.op = "one_hot", .more = text({d}), .bytes = bytes + ids, .ids = {n}, .below = d},
                      [d](const P&, const Ids& i) { return one_hot(i, d); });
}

void add_segments(Rows& rows, bool tiny) {
  using P = Operands<float>;
  const std::int64_t n = tiny ? 7 : 4096;
  const auto add = [&](const Shape& s, const std::string& op, double back, auto f) {
    const double bytes = 4 * elements(s), ids = 4 * double(s[0]);
    add_function<float>(rows,
                        {.op = op,
                         .operands = {s},
                         .more = text({n}),
                         .bytes = bytes + ids,
                         .vjp_bytes = back * bytes + ids,
                         .ids = {s[0]},
                         .below = n},
                        f);
  };
  for (const Shape& s : {tiny ? Shape{30, 8} : Shape{65536, 256}, tiny ? Shape{400} : Shape{1 << 24}}) {
    add(s, "segment_sum", 1, [n](const P& p, const Ids& i) { return segment_sum(p[0], i, n); });
    add(s, "segment_mean", 1, [n](const P& p, const Ids& i) { return segment_mean(p[0], i, n); });
    add(s, "segment_max", 2, [n](const P& p, const Ids& i) { return segment_max(p[0], i, n); });
  }
}

}  // namespace

void add_indexing(Rows& rows, bool tiny) {
  add_gathers<float>(rows, tiny);
  add_gathers<bfloat16>(rows, tiny);
  add_scatters(rows, tiny);
  add_segments(rows, tiny);
}

}  // namespace bench

// take gather_rows embedding take_along_axis scatter_add one_hot.
// label: threads
#include <algorithm>

#include "movement_support.hpp"

#include "ergo/ops/indexing.hpp"
#include "ergo/ops/movement.hpp"

namespace ops_indexing_test {

using namespace ergo;
using namespace movement;

namespace {

template <class I = std::int32_t>
Tensor<I> draw_indices(const Shape& s, std::int64_t n) {
  Tensor<I> r = zeros<I>(s);
  std::uniform_int_distribution<std::int64_t> pick(0, n - 1);
  for (std::int64_t i = 0; i < s.numel(); ++i) detail::data_of<I>(r.array())[i] = I(pick(generator()));
  return r;
}

// The order of SEMANTICS section 6, written another way: the terms of one destination in order, cut into runs of 128,
// the runs' sums added in pairs, then pairs of pairs.
template <class T>
T ordered_sum(const std::vector<T>& terms) {
  std::vector<T> sums;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (i % 128 == 0)
      sums.push_back(terms[i]);
    else
      sums.back() = T(sums.back() + terms[i]);
  }
  while (sums.size() > 1) {
    std::vector<T> half_of_them;
    for (std::size_t i = 0; i < sums.size(); i += 2)
      half_of_them.push_back(i + 1 < sums.size() ? T(sums[i] + sums[i + 1]) : sums[i]);
    sums = half_of_them;
  }
  return sums.empty() ? T(0) : sums[0];
}

}  // namespace

TEST_CASE("take: values, every dtype and layout") {
  const Shape s{3, 5, 2};
  const auto at = [](std::int64_t i, std::int64_t j, std::int64_t k) { return (i * 5 + j) * 2 + k; };
  static const auto grid = draw_indices({2, 2}, 5);
  static const auto row = draw_indices<std::uint8_t>({4}, 2);
  static const auto one = draw_indices<std::int64_t>({}, 3);
  const auto id = FROM(std::int64_t(grid.at({p[1], p[2]})));
  check_moves(s, OP(take(x, grid, 1)), {3, 2, 2, 2}, FROM(at(p[0], id(p), p[3])));
  check_moves(s, OP(take(x, row, -1)), {3, 5, 4}, FROM(at(p[0], p[1], row.at({p[2]}))));
  check_moves(s, OP(take(x, one)), {5, 2}, FROM(at(one.item(), p[0], p[1])));
  check_moves({5, 3}, OP(embedding(x, transpose(grid))), {2, 2, 3},
              FROM(std::int64_t(grid.at({p[1], p[0]})) * 3 + p[2]));
  check_moves({5, 3, 2}, OP(gather_rows(x, grid)), {2, 2, 3, 2},
              FROM((std::int64_t(grid.at({p[0], p[1]})) * 3 + p[2]) * 2 + p[3]));

  static const auto along = draw_indices({3, 4, 2}, 5), wide = draw_indices({1, 5, 3}, 2);
  check_moves(s, OP(take_along_axis(x, along, 1)), {3, 4, 2}, FROM(at(p[0], along.at({p[0], p[1], p[2]}), p[2])));
  check_moves(s, OP(take_along_axis(x, wide)), {3, 5, 3}, FROM(at(p[0], p[1], wide.at({0, p[1], p[2]}))));
}

TEST_CASE("scatter_add: values of every dtype, layouts") {
  const auto check = [&]<class T>(T) {
    const auto base = draw<T>({4, 3}), rows = draw<T>({5, 3}), columns = draw<T>({4, 2, 2});
    const auto ids = draw_indices({5}, 4);
    const auto grid = draw_indices<std::int64_t>({2, 2}, 3);
    for (const auto& strided : layouts(base)) {
      const Tensor<T> x(strided);
      const auto by_row = scatter_add(x, ids, rows), by_column = scatter_add(x, grid, columns, 1);
      for (std::int64_t i = 0; i < 4; ++i) {
        for (std::int64_t j = 0; j < 3; ++j) {
          auto expected = double(base.at({i, j})), across = expected;
          for (std::int64_t k = 0; k < 5; ++k) expected += ids.at({k}) == i ? double(rows.at({k, j})) : 0;
          for (std::int64_t k = 0; k < 4; ++k)
            across += grid.at({k / 2, k % 2}) == j ? double(columns.at({i, k / 2, k % 2})) : 0;
          REQUIRE(by_row.at({i, j}) == convert<T>(std::int64_t(expected)));  // uint8 wraps
          REQUIRE(by_column.at({i, j}) == convert<T>(std::int64_t(across)));
        }
      }
    }
  };
  check(std::uint8_t{}), check(std::int32_t{}), check(std::int64_t{});
  check(half{}), check(bfloat16{}), check(float{}), check(double{});
}

TEST_CASE("scatter_add: the order of the sums, for every width of row, number of threads and instruction set") {
  std::vector<std::int64_t> id(9, 40);
  for (const auto& [destination, count] :
       {std::pair{0, 127}, {1, 128}, {2, 129}, {3, 256}, {4, 257}, {6, 1}, {9, 1999}})
    id.insert(id.end(), std::size_t(count), destination);
  std::shuffle(id.begin(), id.end(), generator());
  const auto n = std::int64_t(id.size());
  const auto ids = from_span<std::int64_t>(id, {n});
  std::vector<std::vector<std::size_t>> positions(41);
  for (std::size_t k = 0; k < id.size(); ++k) positions[std::size_t(id[k])].push_back(k);

  const auto check = [&]<class T>(T) {
    for (std::int64_t d : {1, 2, 16, 17, 31, 37, 100}) {
      const auto rows = cast<T>(100.0 * draw_normal({n, d})), x = cast<T>(100.0 * draw_normal({41, d}));
      const auto r = rows.to_vector(), base = x.to_vector(), y = scatter_add(x, ids, rows).to_vector();
      int wrong = 0;
      for (std::size_t i = 0; i < 41; ++i) {
        for (std::size_t c = 0; c < std::size_t(d); ++c) {
          std::vector<T> terms;
          for (std::size_t k : positions[i]) terms.push_back(r[k * std::size_t(d) + c]);
          const T b = base[i * std::size_t(d) + c];
          wrong += (terms.empty() ? b : T(b + ordered_sum(terms))) != y[i * std::size_t(d) + c];
        }
      }
      CHECK(wrong == 0);
      const auto threads = num_threads();
      for (int t : {1, 2, 3, 8}) {
        set_num_threads(t);
        CHECK(scatter_add(x, ids, rows).to_vector() == y);
      }
      set_num_threads(threads);
      const auto best = cpu::isa();
      for (auto isa : {cpu::Isa::sse2, cpu::Isa::avx2, cpu::Isa::avx512}) {
        cpu::set_isa(isa);
        if (cpu::isa() == isa)
          CHECK(scatter_add(x, ids, rows).to_vector() == y);
        else if (d == 1)
          std::printf("SKIPPED scatter_add with %s: this machine lacks it\n", cpu::name(isa));
      }
      cpu::set_isa(best);
      // The gradient of an embedding is the same sums.
      if constexpr (Floating<T>) {
        const auto pulled = vjp([&](const auto& table) { return embedding(table, ids); }, x).second(rows);
        CHECK(array_equal(pulled, scatter_add(zeros<T>({41, d}), ids, rows)));
      }
    }
  };
  check(float{}), check(double{}), check(std::int32_t{}), check(std::uint8_t{});

  // 16-bit sums are made in float and rounded once.
  const auto rows = cast<bfloat16>(draw_normal({n, 20}));
  const auto sum = scatter_add(zeros<bfloat16>({41, 20}), ids, rows);
  CHECK(array_equal(sum, cast<bfloat16>(scatter_add(zeros<float>({41, 20}), ids, cast<float>(rows)))));
}

TEST_CASE("corners") {
  const auto x = draw<float>({4, 3});
  const auto nobody = zeros<std::int32_t>({0});
  CHECK(take(x, nobody).shape() == Shape{0, 3});
  CHECK(take(x, nobody, 1).shape() == Shape{4, 0});
  CHECK(take(zeros<float>({4, 0}), draw_indices({2}, 4)).shape() == Shape{2, 0});
  CHECK(array_equal(scatter_add(x, nobody, zeros<float>({0, 3})), x));
  CHECK(take_along_axis(x, zeros<std::int32_t>({4, 0})).shape() == Shape{4, 0});
  CHECK(
      array_equal(vjp([&](const auto& t) { return take(t, nobody); }, x).second(zeros<float>({0, 3})), zeros_like(x)));
  // Places that are not hit keep their bits.
  const auto negative_zero = full<float>({3}, -0.0f);
  CHECK(std::signbit(scatter_add(negative_zero, zeros<std::int32_t>({1}), ones<float>({1})).at({2})));
  // y broadcasts: counting.
  const auto counts =
      scatter_add(zeros<std::int64_t>({3}), tensor<std::int32_t>({2, 0, 2, 2}), Tensor<std::int64_t>(1));
  CHECK(array_equal(counts, tensor<std::int64_t>({1, 0, 3})));
  // A table that is a transposed view is not copied, nor read elsewhere.
  const auto tall = draw<float>({3, 1000});
  CHECK(array_equal(take(transpose(tall), tensor<std::int32_t>({999, 0})),
                    transpose(take(tall, tensor<std::int32_t>({999, 0}), 1))));
}

TEST_CASE("one_hot") {
  const auto ids = tensor<std::int32_t>({{2, 0}, {1, 1}});
  CHECK(array_equal(one_hot(ids, 3), tensor<float>({{{0, 0, 1}, {1, 0, 0}}, {{0, 1, 0}, {0, 1, 0}}})));
  CHECK(one_hot<bool>(ids, 3).at({0, 0, 2}));
  CHECK(float(one_hot<bfloat16>(ids, std::size_t(4)).at({1, 1, 1})) == 1.0f);
  CHECK(one_hot<std::int64_t>(zeros<std::uint8_t>({}), 2).to_vector() == std::vector<std::int64_t>{1, 0});
  CHECK(one_hot(zeros<std::int64_t>({0}), 0).shape() == Shape{0, 0});
  const auto mapped = vmap([](const auto& row) { return one_hot(row, 3); })(ids);
  CHECK(array_equal(mapped, one_hot(ids, 3)));
}

TEST_CASE("transforms") {
  static const auto few = draw_indices<std::uint8_t>({2}, 2);
  static const auto grid = draw_indices({2, 3}, 4), ids = draw_indices({5}, 3);
  static const auto along = draw_indices({3, 6}, 4), down = draw_indices({5, 1}, 3), big = draw_indices({3, 300}, 4);
  const Shape s{3, 4};
  check_transforms("take", OP(take(x, ids)), s);
  check_transforms("take", OP(take(x, grid, 1)), s);
  check_transforms("take", OP(take(x, few, 1)), {2, 3, 2});
  check_transforms("embedding", OP(embedding(x, ids)), s);
  check_transforms("take_along_axis", OP(take_along_axis(x, along)), s);
  check_transforms("take_along_axis", OP(take_along_axis(x, down, 0)), s);
  check_transforms("scatter_add of x", OP(scatter_add(x, ids, ones<double>({5, 4}))), s);
  check_transforms("scatter_add of y", OP(scatter_add(ones<double>({3, 2}), ids, x)), {5, 2});
  check_transforms("scatter_add of both", OP(scatter_add(x, grid, take(x, grid, 1), 1)), s);
  check_transforms("many to one", OP(scatter_add(zeros<double>({3, 4}), big, x, 1)), {3, 3, 300});
}

TEST_CASE("vmap: each operand mapped, or not") {
  const auto tables = draw_normal({4, 6, 3}), ys = draw_normal({4, 5, 3}), xs = draw_normal({4, 6, 3});
  const auto ids = draw_indices({4, 5}, 6);
  const auto both = vmap([](const auto& t, const auto& i) { return take(t, i); })(tables, ids);
  const auto by_ids = vmap([&](const auto& i) { return take(tables[0], i); })(ids);
  const auto by_table = vmap([&](const auto& t) { return take(t, ids[0]); })(tables);
  const auto columns = draw_indices({4, 2}, 3);
  const auto inner = vmap([&](const auto& i) { return take(tables[1], i, 1); })(columns);
  const auto along = draw_indices({4, 6, 2}, 3);
  const auto picked = vmap([&](const auto& i) { return take_along_axis(tables[2], i); })(along);
  const auto added =
      vmap([](const auto& x, const auto& i, const auto& y) { return scatter_add(x, i, y); })(xs, ids, ys);
  const auto onto_one = vmap([&](const auto& i) { return scatter_add(xs[0], i, ys[0]); })(ids);
  const auto at_same = vmap([&](const auto& y) { return scatter_add(xs[0], ids[0], y); })(ys);
  for (int b = 0; b < 4; ++b) {
    CHECK(array_equal(both[b], take(tables[b], ids[b])));
    CHECK(array_equal(by_ids[b], take(tables[0], ids[b])));
    CHECK(array_equal(by_table[b], take(tables[b], ids[0])));
    CHECK(array_equal(inner[b], take(tables[1], columns[b], 1)));
    CHECK(array_equal(picked[b], take_along_axis(tables[2], along[b])));
    CHECK(array_equal(added[b], scatter_add(xs[b], ids[b], ys[b])));
    CHECK(array_equal(onto_one[b], scatter_add(xs[0], ids[b], ys[0])));
    CHECK(array_equal(at_same[b], scatter_add(xs[0], ids[0], ys[b])));
  }
  // A table that is shared by the batch gets its gradient at once; one for each example through per-example gradients.
  const auto loss = [](const Tensor<double>& table, const auto& i, const Tensor<double>& y) {
    const auto rows = take(table, i);
    return tree::dot(rows * rows, y);
  };
  const auto shared = grad([&](const Tensor<double>& table) {
    const auto all = vmap([&](const auto& i, const Tensor<double>& y) { return loss(table, i, y); })(ids, ys);
    return tree::dot(all, ones<double>({4}));
  })(tables[0]);
  const auto own = per_sample_grad(loss)(tables[0], ids, ys);
  auto sum = zeros<double>({6, 3});
  for (int b = 0; b < 4; ++b) {
    const auto one = grad(loss)(tables[0], ids[b], ys[b]);
    CHECK(gap(own[b], one) < 1e-15);
    sum = sum + one;
  }
  CHECK(gap(shared, sum) < 1e-14);
  // Tangents of one operand while the other is mapped.
  const auto dx = draw_normal({6, 3});
  const auto tangent =
      jvp([&](const Tensor<double>& x) {
        return vmap([&](const auto& i, const Tensor<double>& y) { return scatter_add(x, i, y); })(ids, ys);
      })(xs[0], dx)
          .second;
  for (int b = 0; b < 4; ++b) CHECK(array_equal(tangent[b], dx));
}

TEST_CASE("errors") {
  const auto x = zeros<float>({5, 3});
  const auto bad = tensor<std::int32_t>({{0, 4}, {5, 6}});
  CHECK(ERROR_OF(embedding(x, bad)) == "[embedding] ids (2, 2), table (5, 3): id 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(take(x, tensor<std::int64_t>({0, -1}))) ==
        "[take] indices (2,), x (5, 3): index -1 at (1,) is not in [0, 5)");
  CHECK(ERROR_OF(take(x, full<std::uint8_t>({}, 3), 1)) ==
        "[take] indices (), x (5, 3): index 3 at () is not in [0, 3)");
  CHECK(ERROR_OF(gather_rows(x, bad)) == "[gather_rows] indices (2, 2), x (5, 3): index 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(take_along_axis(x, tensor<std::int32_t>({{0, 0, 9}}), 0)) ==
        "[take_along_axis] indices (1, 3), x (5, 3): index 9 at (0, 2) is not in [0, 5)");
  CHECK(ERROR_OF(scatter_add(x, bad, zeros<float>({2, 2, 3}))) ==
        "[scatter_add] indices (2, 2), x (5, 3): index 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(one_hot(bad, 5)) == "[one_hot] ids (2, 2): id 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(one_hot(bad, -1)) == "[one_hot] (2, 2): a negative number of classes");
  CHECK(ERROR_OF(take(zeros<float>({0}), zeros<std::int32_t>({1}))) ==
        "[take] indices (1,), x (0,): index 0 at (0,) is not in [0, 0)");
  const auto loss = [&](const Tensor<float>& t) { return tree::dot(embedding(t, bad), embedding(t, bad)); };
  CHECK(ERROR_OF(grad(loss)(x)) == "[embedding] ids (2, 2), table (5, 3): id 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(embedding(zeros<float>({5}), bad)) == "[embedding] (5,): a table has two axes, (number, size)");
  CHECK(ERROR_OF(take(x, bad, 2)) == "[take] (5, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(take_along_axis(x, tensor<std::int32_t>({0}))) == "[take_along_axis] (5, 3) x (1,): ranks differ");
  CHECK(ERROR_OF(take_along_axis(x, zeros<std::int32_t>({4, 1}))) ==
        "[take_along_axis] (5, 3) x (4, 1): shapes do not broadcast on axes other than 1");
  CHECK(ERROR_OF(scatter_add(x, bad, zeros<float>({2, 3})[0])) ==
        "[scatter_add] indices (2, 2), x (5, 3): index 5 at (1, 0) is not in [0, 5)");
  CHECK(ERROR_OF(scatter_add(x, bad, zeros<float>({2, 4}))) ==
        "[scatter_add] (5, 3) x (2, 2) x (2, 4): the last does not broadcast to the places of the first, (2, 2, 3)");
  CHECK(ERROR_OF(take(zeros<float>({1, 1, 1, 1, 1, 1}), zeros<std::int32_t>({1, 1, 1, 1}))) ==
        "[take] (1, 1, 1, 1, 1, 1) x (1, 1, 1, 1): the result's 9 axes are more than 8");
  // The lowest bad position is named, however many threads look.
  auto many = zeros<std::int32_t>({200000});
  for (std::int64_t i = 150001; i < 200000; i += 7) detail::data_of<std::int32_t>(many.array())[i] = 5;
  CHECK(ERROR_OF(take(x, many)) == "[take] indices (200000,), x (5, 3): index 5 at (150001,) is not in [0, 5)");
}

}  // namespace ops_indexing_test

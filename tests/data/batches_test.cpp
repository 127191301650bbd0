// Mini-batches: every row once, reproducible epochs, rows that stay together, options, errors.
#include "ergo/data/batches.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "../support/seed.hpp"

namespace data_batches_test {

using namespace ergo;

namespace {

const Key root{test_seed()};

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}
std::vector<std::int64_t> rows_of(const data::Batches<std::int64_t>& batches, int epoch) {
  std::vector<std::int64_t> all;
  for (const auto& [rows] : batches.epoch(epoch))
    for (const std::int64_t i : rows.to_vector()) all.push_back(i);
  return all;
}

}  // namespace

TEST_CASE("an epoch has every row once, in an order of its own that the key decides") {
  for (const std::int64_t n : {1, 5, 64, 1000}) {
    const data::Batches batches(root, n, {.batch_size = 7});
    CHECK(batches.rows() == n);
    CHECK(batches.batches_per_epoch() == (n + 6) / 7);
    auto first = rows_of(batches, 0), again = rows_of(data::Batches(root, n, {.batch_size = 7}), 0),
         second = rows_of(batches, 1);
    CHECK(first == again);
    if (n > 50) CHECK(first != second);
    if (n > 50) CHECK(first != rows_of(data::Batches(fold_in(root, 1), n, {.batch_size = 7}), 0));
    CHECK(first ==
          rows_of(data::Batches(root, n, {.batch_size = 3}), 0));  // the order is that of the rows, not of the batches
    std::sort(first.begin(), first.end());
    CHECK(first == arange<std::int64_t>(n).to_vector());
  }
}

TEST_CASE("rows of several columns of any dtype stay together") {
  const std::int64_t n = 103;
  const auto x = normal<float>(root, {n, 4, 3});
  const auto label = arange<std::int32_t>(n);
  const auto flag = cast<bool>(arange<std::uint8_t>(n));
  const auto target = normal<double>(root, {n});
  const data::Batches batches(root, x, label, flag, target, {.batch_size = 10});
  std::int64_t seen = 0;
  for (const auto& [a, b, c, d] : batches.epoch(3)) {
    CHECK(a.shape() == Shape{seen < 100 ? 10 : 3, 4, 3});
    for (std::int64_t i = 0; i < b.numel(); ++i) {
      const std::int64_t row = b.at({i});
      CHECK(array_equal(a[i], x[row]));
      CHECK(c.at({i}) == flag.at({row}));
      CHECK(d.at({i}) == target.at({row}));
    }
    seen += b.numel();
  }
  CHECK(seen == n);
  const std::int8_t order[] = {1, 0};
  const Tensor<double> turned(detail::permute(normal<double>(root, {3, 50}).ref(), order));  // strided rows
  for (const auto& [a, b] : data::Batches(root, turned, arange<std::int32_t>(50)).epoch(0))
    for (std::int64_t i = 0; i < b.numel(); ++i) CHECK(array_equal(a[i], turned[b.at({i})]));
}

TEST_CASE("options") {
  const data::Batches dropped(root, 23, {.batch_size = 5, .drop_last = true});
  CHECK(dropped.batches_per_epoch() == 4);
  CHECK(rows_of(dropped, 0).size() == 20);
  const data::Batches drawn(root, 10, {.batch_size = 64, .sampling = data::Sampling::with_replacement});
  CHECK(drawn.batches_per_epoch() == 1);
  CHECK(rows_of(drawn, 0).size() == 64);
  CHECK(rows_of(drawn, 0) == rows_of(drawn, 0));
  CHECK(rows_of(drawn, 0) != rows_of(drawn, 1));
  const data::Batches many(root, 1000, {.batch_size = 100, .sampling = data::Sampling::with_replacement});
  const auto rows = rows_of(many, 0);
  const auto different = std::set<std::int64_t>(rows.begin(), rows.end()).size();
  CHECK(rows.size() == 1000);
  CHECK(different > 550);  // about 632 of 1000
  CHECK(different < 710);
  CHECK(data::Batches(root, 0).batches_per_epoch() == 0);
  const auto epoch = data::Batches(root, 20, {.batch_size = 6}).epoch(2);
  CHECK(epoch.size() == 4);
  CHECK(std::get<0>(epoch[3]).numel() == 2);
}

TEST_CASE("a steady loop takes no further memory") {
  const auto x = normal<float>(root, {2000, 784});
  const data::Batches batches(root, x, arange<std::int32_t>(2000), {.batch_size = 64});
  const auto sweep = [&](int epoch) {
    float sum = 0;
    for (const auto& [a, b] : batches.epoch(epoch)) sum += a.at({0, 0}) + float(b.at({0}));
    return sum;
  };
  sweep(0);
  const auto before = memory_info(Device::cpu());
  for (int e = 1; e < 5; ++e) sweep(e);
  const auto after = memory_info(Device::cpu());
  CHECK(after.live == before.live);
  CHECK(after.live + after.cached == before.live + before.cached);
}

TEST_CASE("errors") {
  const auto x = zeros<float>({10, 2});
  CHECK(error_of([&] { data::Batches(root, x, zeros<float>({9})); }) ==
        "[batches] (10, 2) x (9,): the columns' numbers of rows differ");
  CHECK(error_of([&] { data::Batches(root, x, Tensor<float>(1.0f)); }) ==
        "[batches] (10, 2) x (): a column of rank 0 has no rows");
  CHECK(error_of([&] { data::Batches(root, x, {.batch_size = 0}); }) ==
        "[batches] 10 rows: batch_size is 0, where at least 1 is needed");
  CHECK(error_of([&] { data::Batches(root, x, {.batch_size = 11, .drop_last = true}); }) ==
        "[batches] 10 rows: batch_size 11 with drop_last leaves no batch");
  CHECK(error_of([&] { data::Batches(root, 0, {.sampling = data::Sampling::with_replacement}); }) ==
        "[batches] 0 rows: there is nothing to sample from");
  CHECK(error_of([&] { data::Batches(Key{}, x); }) == "[batches] this key is empty: make one, Key{seed}");
  CHECK(error_of([&] { data::Batches(root, x).epoch(0)[1]; }) == "[batches] batch 1 is not in [0, 1) of the epoch");
}

}  // namespace data_batches_test

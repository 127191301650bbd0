// Mini-batches: rows of one or several tensors, in an order that a key decides. An epoch is a function of (key,
// number), so a run continues where it stopped, bit for bit, from the number alone.
//
//   const data::Batches batches(key, images, labels, {.batch_size = 64});
//   for (const auto& [x, y] : batches.epoch(0)) ...
#pragma once

#include <tuple>

#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD::data {

// Each row once an epoch; or each row of a batch drawn from all of them, alike and independently.
enum class Sampling { shuffled, with_replacement };

struct BatchOptions {
  std::int64_t batch_size = 32;
  Sampling sampling = Sampling::shuffled;
  bool drop_last = false;  // leaves out the last, shorter batch of an epoch
};

namespace detail {

// Rows `index[0..n)` of x, row-major on the CPU.
inline ergo::detail::Ref<ergo::detail::Array> gather_rows(const ergo::detail::Array& x, const std::int64_t* index,
                                                          std::int64_t n) {
  Shape s = x.shape;
  s[0] = n;
  auto y = ergo::detail::Array::make(x.dtype, s);
  const std::int64_t bytes = x.shape[0] ? size_of(x.dtype) * (x.numel() / x.shape[0]) : 0;
  const std::byte* from = x.data;
  std::byte* to = y->data;
  parallel_for(n, 1 + 65536 / (bytes + 1), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) std::memcpy(to + i * bytes, from + index[i] * bytes, std::size_t(bytes));
  });
  return y;
}

// How many batches, and which rows; the part that does not depend on the columns.
class BatchPlan {
 public:
  BatchPlan(Key key, std::int64_t rows, const BatchOptions& options)
      : key_(std::move(key)), rows_(rows), options_(options) {
    ergo::detail::check_one_key("batches", key_);
    if (rows < 0) fail("the number of rows is negative");
    const std::int64_t size = options.batch_size;
    if (size < 1) fail({"batch_size is ", size, ", where at least 1 is needed"});
    if (options.sampling == Sampling::with_replacement && rows == 0) fail("there is nothing to sample from");
    batches_ = rows / size + (!options.drop_last && rows % size > 0);
    if (batches_ == 0 && rows > 0) fail({"batch_size ", size, " with drop_last leaves no batch"});
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t batches() const { return batches_; }

  // The order of an epoch; empty where each batch is drawn by itself.
  Tensor<std::int64_t> order(std::int64_t epoch) const {
    if (options_.sampling == Sampling::with_replacement) return {};
    const DeviceScope here(Device::cpu());  // where rows are gathered
    return permutation<std::int64_t>(fold_in(key_, epoch), rows_);
  }
  Tensor<std::int64_t> batch(const Tensor<std::int64_t>& order, std::int64_t epoch, std::int64_t number) const {
    const std::int64_t size = options_.batch_size, from = number * size;
    if (!order.defined()) {
      const DeviceScope here(Device::cpu());
      return randint<std::int64_t>(fold_in(fold_in(key_, epoch), number), {size}, 0, rows_);
    }
    const ergo::detail::SliceOp part(1, from, rows_ - from < size ? rows_ - from : size, 1, false);
    return Tensor<std::int64_t>(part.view(order.array()));
  }

 private:
  [[noreturn, gnu::cold]] void fail(const Message& why) const { throw_error({"[batches] ", rows_, " rows: ", why}); }
  Key key_;
  std::int64_t rows_, batches_ = 0;
  BatchOptions options_;
};

}  // namespace detail

// Batches of rows of the columns given, whose leading axes agree. An iteration gives a tuple of tensors, one for each
// column, on its column's device.
template <class... T>
class Batches {
  static_assert(sizeof...(T) > 0);

 public:
  using Batch = std::tuple<Tensor<T>...>;

  Batches(Key key, const Tensor<T>&... columns, BatchOptions options = {})
      : plan_(std::move(key), rows_of(columns...), options),
        columns_(columns...),
        dense_{ergo::detail::readable("batches", columns.array())...} {}
  // The row numbers below n themselves, for what is gathered elsewhere.
  Batches(Key key, AnyInteger n,
          BatchOptions options = {}) requires(sizeof...(T) == 1 && (std::is_same_v<T, std::int64_t> && ...))
      : Batches(std::move(key), arange<std::int64_t>(std::int64_t(n)), options) {}

  std::int64_t rows() const { return plan_.rows(); }
  std::int64_t batches_per_epoch() const { return plan_.batches(); }

  // The batches of one epoch: iterated, or by number.
  class Epoch {
   public:
    class Iterator {
     public:
      Iterator(const Epoch* epoch, std::int64_t number) : epoch_(epoch), number_(number) {}
      Batch operator*() const { return (*epoch_)[number_]; }
      Iterator& operator++() {
        ++number_;
        return *this;
      }
      bool operator!=(const Iterator& o) const { return number_ != o.number_; }

     private:
      const Epoch* epoch_;
      std::int64_t number_;
    };
    std::int64_t size() const { return of_.batches_per_epoch(); }
    Iterator begin() const { return {this, 0}; }
    Iterator end() const { return {this, size()}; }
    Batch operator[](std::int64_t number) const {
      if (number < 0 || number >= size())
        throw_error({"[batches] batch ", number, " is not in [0, ", size(), ") of the epoch"});
      return of_.gather(of_.plan_.batch(order_, epoch_, number), std::index_sequence_for<T...>{});
    }

   private:
    friend class Batches;
    Epoch(const Batches& of, std::int64_t epoch) : of_(of), epoch_(epoch), order_(of.plan_.order(epoch)) {}
    Batches of_;
    std::int64_t epoch_;
    Tensor<std::int64_t> order_;
  };
  Epoch epoch(AnyInteger number) const { return Epoch(*this, number); }

 private:
  static std::int64_t rows_of(const Tensor<T>&... columns) {
    ergo::detail::Array* in[] = {&columns.array()...};
    for (const ergo::detail::Array* x : in) {
      if (x->shape.rank() == 0) ergo::detail::fail("batches", in, int(sizeof...(T)), "a column of rank 0 has no rows");
      if (x->shape[0] != in[0]->shape[0])
        ergo::detail::fail("batches", in, int(sizeof...(T)), "the columns' numbers of rows differ");
    }
    return in[0]->shape[0];
  }
  template <std::size_t... I>
  Batch gather(const Tensor<std::int64_t>& rows, std::index_sequence<I...>) const {
    const auto* index = ergo::detail::data_of<std::int64_t>(rows.array());
    return Batch(Tensor<T>(detail::gather_rows(*dense_[I], index, rows.numel())).to(std::get<I>(columns_).device())...);
  }

  detail::BatchPlan plan_;
  Batch columns_;
  ergo::detail::Ref<ergo::detail::Array> dense_[sizeof...(T)];
};

template <class A>
Batches(Key, Tensor<A>, BatchOptions = {}) -> Batches<A>;
template <class A, class B>
Batches(Key, Tensor<A>, Tensor<B>, BatchOptions = {}) -> Batches<A, B>;
template <class A, class B, class C>
Batches(Key, Tensor<A>, Tensor<B>, Tensor<C>, BatchOptions = {}) -> Batches<A, B, C>;
template <class A, class B, class C, class D>
Batches(Key, Tensor<A>, Tensor<B>, Tensor<C>, Tensor<D>, BatchOptions = {}) -> Batches<A, B, C, D>;
template <Integer I>
Batches(Key, I, BatchOptions = {}) -> Batches<std::int64_t>;

}  // namespace ergo::inline ERGO_BUILD::data

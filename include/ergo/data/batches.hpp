// Mini-batches: rows of one or several tensors, in an order that a key decides. An epoch is a function of (key,
// number), so a run continues where it stopped, bit for bit, from the number alone.
//
//   const data::Batches batches(key, images, labels, {.batch_size = 64});
//   for (const auto& [x, y] : batches.epoch(0)) ...
//
// Rows are gathered on the CPU. Batches for a CUDA device are prefetched: while it computes on one, the next is
// gathered and copied beside it, with the same bits as if nothing ran beside anything. The host stays ahead of the
// device only as long as the loop reads no result: a loss read in each step lets the device wait while the next batch
// is gathered.
#pragma once

#include <algorithm>
#include <optional>
#include <tuple>

#include "ergo/data/prefetch.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD::data {

// Each row once an epoch; or each row of a batch drawn from all of them, alike and independently.
enum class Sampling { shuffled, with_replacement };

struct BatchOptions {
  std::int64_t batch_size = 32;
  Sampling sampling = Sampling::shuffled;
  bool drop_last = false;             // leaves out the last, shorter batch of an epoch
  std::optional<Device> device = {};  // of the batches; none: that of each column
};

namespace detail {

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
  std::int64_t batch_size() const { return options_.batch_size; }

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
// column.
template <class... T>
class Batches {
  static_assert(sizeof...(T) > 0);

  static constexpr int kColumns = sizeof...(T);
  using Columns = std::index_sequence_for<T...>;

 public:
  using Batch = std::tuple<Tensor<T>...>;

 private:
  // A batch on its way to a device.
  struct Sent {
    std::int64_t number;
    detail::SentColumn columns[kColumns];

    template <std::size_t... I>
    Batch receive(std::index_sequence<I...>) {
      return Batch(Tensor<T>(columns[I].receive())...);
    }
  };

 public:
  Batches(Key key, const Tensor<T>&... columns, BatchOptions options = {})
      : plan_(std::move(key), rows_of(columns...), options),
        columns_{ergo::detail::readable("batches", columns.array())...},
        device_{options.device.value_or(columns.device())...} {}
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
      Batch operator*() {
        std::optional<Sent> now = std::move(ahead_);
        ahead_.reset();
        if (!now || now->number != number_) now = epoch_->send(number_);
        ahead_ = epoch_->send(number_ + 1);
        return now ? now->receive(Columns{}) : (*epoch_)[number_];
      }
      Iterator& operator++() {
        ++number_;
        return *this;
      }
      bool operator!=(const Iterator& o) const { return number_ != o.number_; }

     private:
      const Epoch* epoch_;
      std::int64_t number_;
      std::optional<Sent> ahead_;
    };
    std::int64_t size() const { return of_.batches_per_epoch(); }
    Iterator begin() const { return {this, 0}; }
    Iterator end() const { return {this, size()}; }
    Batch operator[](std::int64_t number) const {
      if (number < 0 || number >= size())
        throw_error({"[batches] batch ", number, " is not in [0, ", size(), ") of the epoch"});
      return of_.gather(of_.plan_.batch(order_, epoch_, number), Columns{});
    }

   private:
    friend class Batches;
    Epoch(const Batches& of, std::int64_t epoch) : of_(of), epoch_(epoch), order_(of.plan_.order(epoch)) {}
    // Nothing if there is no such batch, a column of it stays on the CPU, or memory for one more is not to be had.
    std::optional<Sent> send(std::int64_t number) const {
      if (number >= size() || !of_.feeds_devices()) return {};
      try {
        return of_.send(number, of_.plan_.batch(order_, epoch_, number), Columns{});
      } catch (const OutOfMemory&) { return {}; }
    }
    Batches of_;
    std::int64_t epoch_;
    Tensor<std::int64_t> order_;
  };
  Epoch epoch(AnyInteger number) const { return Epoch(*this, number); }

 private:
  static std::int64_t rows_of(const Tensor<T>&... columns) {
    ergo::detail::Array* in[] = {&columns.array()...};
    for (const ergo::detail::Array* x : in) {
      if (x->shape.rank() == 0) ergo::detail::fail("batches", in, kColumns, "a column of rank 0 has no rows");
      if (x->shape[0] != in[0]->shape[0])
        ergo::detail::fail("batches", in, kColumns, "the columns' numbers of rows differ");
    }
    return in[0]->shape[0];
  }
  bool feeds_devices() const {
    return std::all_of(device_, device_ + kColumns, [](Device d) { return d.is_cuda(); });
  }
  template <std::size_t... I>
  Batch gather(const Tensor<std::int64_t>& rows, std::index_sequence<I...>) const {
    const auto* index = ergo::detail::data_of<std::int64_t>(rows.array());
    return Batch(Tensor<T>(detail::gathered_rows(*columns_[I], index, rows.numel())).to(device_[I])...);
  }
  template <std::size_t... I>
  Sent send(std::int64_t number, const Tensor<std::int64_t>& rows, std::index_sequence<I...>) const {
    const auto* index = ergo::detail::data_of<std::int64_t>(rows.array());
    const std::int64_t n = rows.numel(), most = plan_.batch_size();
    return {number, {detail::SentColumn(*columns_[I], index, n, most, device_[I])...}};
  }

  detail::BatchPlan plan_;
  ergo::detail::Ref<ergo::detail::Array> columns_[kColumns];  // on the CPU, row-major
  Device device_[kColumns];                                   // of the batches
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

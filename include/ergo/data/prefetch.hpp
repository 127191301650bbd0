// A column of a batch on its way to a device: its rows, gathered into pinned memory by the host, and a copy of them
// that runs beside the device's other work and the host's.
#pragma once

#include <memory>

#include "ergo/core/array.hpp"
#include "ergo/core/parallel.hpp"

namespace ergo::inline ERGO_BUILD::data::detail {

using ergo::detail::Array;
using ergo::detail::backend;
using ergo::detail::Ref;

inline std::int64_t row_bytes(const Array& x) { return x.shape[0] ? size_of(x.dtype) * (x.numel() / x.shape[0]) : 0; }

// Rows `index[0..n)` of x, row-major on the CPU, one behind the other.
inline void gather_rows(const Array& x, const std::int64_t* index, std::int64_t n, std::byte* to) {
  const std::int64_t bytes = row_bytes(x);
  const std::byte* from = x.data;
  parallel_for(n, 1 + 65536 / (bytes + 1), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) std::memcpy(to + i * bytes, from + index[i] * bytes, std::size_t(bytes));
  });
}
inline Shape with_rows(Shape s, std::int64_t n) {
  s[0] = n;
  return s;
}
ERGO_ONCE Ref<Array> gathered_rows(const Array& x, const std::int64_t* index, std::int64_t n) {
  auto y = Array::make(x.dtype, with_rows(x.shape, n));
  gather_rows(x, index, n, y->data);
  return y;
}

// Rows of x sent to a device. Its life may end, and that of x, while the copy is pending: it waits for nothing then.
class SentColumn {
 public:
  // Rows `index[0..n)`, where `most` is what other batches may have: memory is taken for as many.
  SentColumn(const Array& x, const std::int64_t* index, std::int64_t n, std::int64_t most, Device d)
      : staging_(&backend(d).take_staging(d, std::size_t(most * row_bytes(x))), GiveBack{&backend(d)}),
        y_(Array::husk(x.dtype, with_rows(x.shape, n), d)) {
    gather_rows(x, index, n, staging_->data);
    y_->set_row_major();
    y_->buffer = backend(d).send(*staging_, std::size_t(n * row_bytes(x)));
    y_->data = y_->buffer->data;
  }
  // The rows; what this thread does from now on comes after their copy.
  const Ref<Array>& receive() {
    backend(y_->device).receive(*staging_, *y_->buffer);
    return y_;
  }

 private:
  struct GiveBack {
    const ergo::detail::Backend* to;
    void operator()(ergo::detail::Staging* s) const noexcept { to->give_staging(*s); }
  };
  std::unique_ptr<ergo::detail::Staging, GiveBack> staging_;
  Ref<Array> y_;
};

}  // namespace ergo::inline ERGO_BUILD::data::detail

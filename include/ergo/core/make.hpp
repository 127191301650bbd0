// Makers of tensors: constants, ranges, nested lists, and memory copied or borrowed.
#pragma once

#include <initializer_list>

#include "ergo/core/handle.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

inline AnyTensor on_device(Ref<Array> a, Device d) { return AnyTensor(d.is_cpu() ? std::move(a) : to_device(*a, d)); }
template <class T>
Tensor<T> filled(const Shape& s, T value, Device d) {
  Ref<Array> a = Array::make(dtype_of<T>, s, d);
  fill_bytes(*a, &value);
  return Tensor<T>(std::move(a));
}
// Element i is make(i).
template <class T, class Make>
Tensor<T> generated(const Shape& s, Device d, Make make) {
  Ref<Array> a = Array::make(dtype_of<T>, s);
  T* p = data_of<T>(*a);
  for (std::int64_t i = 0, n = a->numel(); i < n; ++i) p[i] = make(i);
  return Tensor<T>(on_device(std::move(a), d));
}
[[noreturn, gnu::cold]] ERGO_ONCE void fail_make(const char* op, const Message& why) {
  throw_error({"[", op, "] ", why});
}
template <Integer I>
std::int64_t bound_of(I n) {
  if (!std::in_range<std::int64_t>(n)) fail_make("arange", {"the number ", n, " is beyond 2^63 - 1"});
  return std::int64_t(n);
}

// A number or a list of such, to depth 4: the argument of `tensor<T>({{1, 2}, {3, 4}})`.
template <class T>
class Nested {
 public:
  template <class N>
  requires(ScalarFor<T, N> || std::is_same_v<N, T>) Nested(N n) {
    if constexpr (std::is_same_v<N, T>)
      values_.push_back(n);
    else
      values_.push_back(scalar_of<T>("tensor", n));
  }
  Nested(std::initializer_list<Nested> parts) {
    shape_ = Shape{parts.size()};
    bool first = true;
    for (const Nested& p : parts) {
      if (first) shape_ = shape_ + p.shape_;
      if (shape_.last(shape_.rank() - 1) != p.shape_)
        fail_make("tensor", {"a ragged list: parts of shapes ", shape_.last(shape_.rank() - 1), " and ", p.shape_});
      values_.insert(values_.end(), p.values_.begin(), p.values_.end());
      first = false;
    }
    if (shape_.rank() > 4) fail_make("tensor", "lists nest at most 4 deep");
  }
  const Shape& shape() const { return shape_; }
  T operator[](std::int64_t i) const { return values_[std::size_t(i)]; }

 private:
  Shape shape_;
  std::vector<T> values_;
};

}  // namespace detail

template <TensorScalar T>
Tensor<T> zeros(const Shape& shape, Device device = default_device()) {
  return detail::filled<T>(shape, convert<T>(0), device);
}
template <TensorScalar T>
Tensor<T> ones(const Shape& shape, Device device = default_device()) {
  return detail::filled<T>(shape, convert<T>(1), device);
}
template <TensorScalar T, class N>
requires(detail::ScalarFor<T, N> || std::is_same_v<N, T>) Tensor<T> full(const Shape& shape, N value,
                                                                         Device device = default_device()) {
  if constexpr (std::is_same_v<N, T>)
    return detail::filled<T>(shape, value, device);
  else
    return detail::filled<T>(shape, detail::scalar_of<T>("full", value), device);
}
template <TensorScalar T>
Tensor<T> zeros_like(const Tensor<T>& x) {
  return zeros<T>(x.shape(), x.device());
}
template <TensorScalar T>
Tensor<T> ones_like(const Tensor<T>& x) {
  return ones<T>(x.shape(), x.device());
}
// The identity matrix (n, n).
template <TensorScalar T, Integer I>
Tensor<T> eye(I n, Device device = default_device()) {
  const auto m = std::int64_t(n);
  return detail::generated<T>({m, m}, device, [m](std::int64_t i) { return convert<T>(int(i / m == i % m)); });
}
// begin, begin + step, ... short of end.
template <TensorScalar T, Number B, Number E, Number S>
requires(!std::is_same_v<T, bool>) Tensor<T> arange(B begin, E end, S step, Device device = default_device()) {
  if (step == S(0) || step != step) detail::fail_make("arange", "the step is zero or not a number");
  if constexpr (Integer<B> && Integer<E> && Integer<S>) {
    const std::int64_t b = detail::bound_of(begin), e = detail::bound_of(end), s = detail::bound_of(step);
    // Distances as unsigned numbers: from the least to the greatest bound is more than an int64 holds.
    const auto distance = s > 0 ? std::uint64_t(e) - std::uint64_t(b) : std::uint64_t(b) - std::uint64_t(e);
    const auto stride = s > 0 ? std::uint64_t(s) : -std::uint64_t(s);
    const std::uint64_t n = (s > 0 ? e > b : e < b) ? (distance - 1) / stride + 1 : 0;
    return detail::generated<T>(Shape{n}, device, [=](std::int64_t i) {
      return detail::scalar_of<T>("arange", std::int64_t(std::uint64_t(b) + std::uint64_t(i) * std::uint64_t(s)));
    });
  } else {
    static_assert(Floating<T>, "arange<T> of an integer T takes integers");
    const double b = double(begin), s = double(step), count = (double(end) - b) / s;
    if (!(count < 9e18)) detail::fail_make("arange", "too many or undefined elements");
    const auto whole = std::int64_t(count > 0 ? count : 0);
    const std::int64_t n = double(whole) < count ? whole + 1 : whole;
    return detail::generated<T>({n}, device, [=](std::int64_t i) { return convert<T>(b + double(i) * s); });
  }
}
template <TensorScalar T, Number B, Number E>
Tensor<T> arange(B begin, E end) {
  return arange<T>(begin, end, 1);
}
// 0, 1, ..., n - 1.
template <TensorScalar T, Number N>
Tensor<T> arange(N n) {
  return arange<T>(0, n, 1);
}
// n values from a to b, both included.
template <Floating T, Number A, Number B, Integer I>
Tensor<T> linspace(A a, B b, I n, Device device = default_device()) {
  const double from = double(a), to = double(b);
  const auto count = std::int64_t(n);
  if (count < 0) detail::fail_make("linspace", "a negative number of values");
  return detail::generated<T>({count}, device, [=](std::int64_t i) {
    return convert<T>(i + 1 == count && count > 1 ? to
                      : count > 1                 ? from + (to - from) * (double(i) / double(count - 1))
                                                  : from);
  });
}
// From nested lists of numbers to depth 4: `tensor<float>({{1, 2}, {3, 4}})`. Ragged lists are an Error.
template <TensorScalar T>
Tensor<T> tensor(const detail::Nested<T>& list, Device device = default_device()) {
  return detail::generated<T>(list.shape(), device, [&](std::int64_t i) { return list[i]; });
}

// A copy of row-major elements.
template <TensorScalar T>
Tensor<T> from_span(std::span<const std::type_identity_t<T>> elements, const Shape& shape,
                    Device device = default_device()) {
  if (std::int64_t(elements.size()) != shape.numel())
    detail::fail_make("from_span", {elements.size(), " elements for a shape ", shape, " of ", shape.numel()});
  detail::Ref<detail::Array> a = detail::Array::make(dtype_of<T>, shape);
  if (!elements.empty()) std::memcpy(a->data, elements.data(), elements.size_bytes());
  return Tensor<T>(detail::on_device(std::move(a), device));
}

namespace detail {
struct KeepNothing {
  void operator()() const {}
};
template <class Release>
struct BorrowedBuffer : Buffer {
  explicit BorrowedBuffer(Release r) : then(std::move(r)) {}
  Release then;
  static void end(Buffer* b) {
    auto* self = static_cast<BorrowedBuffer*>(b);
    Release then = std::move(self->then);
    self->~BorrowedBuffer();
    deallocate(self, sizeof(BorrowedBuffer));
    then();
  }
};
}  // namespace detail

// A tensor on somebody else's row-major memory, not copied and never written. The memory must outlive the last tensor
// on it, after which `release()` runs (it must not throw).
template <TensorScalar T, class Release = detail::KeepNothing>
Tensor<T> borrow(std::span<const std::type_identity_t<T>> elements, const Shape& shape, Release release = {}) {
  if (std::int64_t(elements.size()) != shape.numel())
    detail::fail_make("borrow", {elements.size(), " elements for a shape ", shape, " of ", shape.numel()});
  if (reinterpret_cast<std::uintptr_t>(elements.data()) % alignof(T) != 0)
    detail::fail_make("borrow", {"memory that is not aligned for ", dtype_of<T>});
  using Borrowed = detail::BorrowedBuffer<Release>;
  auto a = detail::Array::husk(dtype_of<T>, shape, Device::cpu());
  auto* b = new (detail::allocate(sizeof(Borrowed))) Borrowed(std::move(release));
  b->borrowed = true;
  b->bytes = elements.size_bytes();
  b->data = reinterpret_cast<std::byte*>(const_cast<T*>(elements.data()));
  b->release = &Borrowed::end;
  a->buffer = detail::Ref<detail::Buffer>::adopt(b);
  a->data = b->data;
  a->set_row_major();
  return Tensor<T>(std::move(a));
}

}  // namespace ergo::inline ERGO_BUILD

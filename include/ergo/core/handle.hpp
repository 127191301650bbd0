// The handles: AnyTensor, whose dtype is known at run time (movement and the dispatcher use it), and Tensor<T>.
#pragma once

#include <span>
#include <vector>

#include "ergo/core/slice.hpp"

namespace ergo::inline ERGO_BUILD {

template <class T>
concept Number = std::is_arithmetic_v<T>;  // a C++ number beside tensors

namespace detail {
// A C++ number as an element of a Tensor<T>. A floating number for integers, and numbers for bool, do not compile; an
// integer that T cannot hold is an Error.
template <class T, class N>
concept ScalarFor = TensorScalar<T> && Number<N> &&
    (std::is_same_v<T, bool> == std::is_same_v<N, bool>)&&(Floating<T> || !std::is_floating_point_v<N>);
template <TensorScalar T, class N>
requires ScalarFor<T, N>
constexpr T scalar_of(const char* op, N n) {
  if constexpr (Integer<N> && Integer<T>) {
    if (!std::in_range<T>(n)) throw_error({"[", op, "] the number ", n, " does not fit ", dtype_of<T>});
  }
  return convert<T>(n);
}

}  // namespace detail

class AnyTensor {
 public:
  AnyTensor() = default;
  explicit AnyTensor(detail::Ref<detail::Array> a) : array_(std::move(a)) {}

  const Shape& shape() const { return array().shape; }
  int rank() const { return shape().rank(); }
  std::int64_t numel() const { return shape().numel(); }
  Device device() const { return array().device; }
  DType dtype() const { return array().dtype; }
  bool defined() const { return bool(array_); }  // false: default-constructed, or moved from

  // The erased array, for operations; an empty handle has none.
  detail::Array& array() const {
    if (!array_) [[unlikely]]
      fail_empty();
    return *array_;
  }
  const detail::Ref<detail::Array>& ref() const { return array_; }
  detail::Ref<detail::Array>& ref() { return array_; }

 private:
  [[noreturn, gnu::cold, gnu::noinline]] static void fail_empty() {
    throw_error("[tensor] this tensor is empty: default-constructed, moved from, or a value that `uses` did not keep");
  }
  detail::Ref<detail::Array> array_;
};

template <TensorScalar T>
class Tensor : public AnyTensor {
 public:
  using value_type = T;
  using AnyTensor::AnyTensor;
  Tensor() = default;
  explicit Tensor(const AnyTensor& x) : AnyTensor(x) { check_dtype(); }
  explicit Tensor(AnyTensor&& x) : AnyTensor(std::move(x)) { check_dtype(); }
  // Rank 0, on the default device.
  template <class N>
  requires(detail::ScalarFor<T, N> || std::is_same_v<N, T>) explicit Tensor(N value) : AnyTensor(make_scalar(value)) {}

  // The one element; an Error if there are more or none.
  T item() const {
    if (numel() != 1) detail::fail("item", array(), {numel(), " elements, where one is needed"});
    return *read("item")->data_as();
  }
  // The element at one index per axis; negative ones count from the back.
  T at(const Indices& index) const {
    const detail::Array& a = array();
    if (index.rank() != a.shape.rank()) detail::fail("at", a, {index.rank(), " indices for ", a.shape.rank(), " axes"});
    std::int64_t offset = 0;
    const detail::Array& c = detail::concrete("at", a);
    for (int d = 0; d < index.rank(); ++d) {
      const std::int64_t n = a.shape[d], i = index[d] < 0 ? index[d] + n : index[d];
      if (i < 0 || i >= n) detail::fail("at", a, {"index ", index[d], " on axis ", d, " is out of range"});
      offset += i * c.stride[d];
    }
    if (!c.device.is_cpu()) return Tensor(AnyTensor(detail::readable("at", c))).at(index);
    T value;
    std::memcpy(&value, c.data + offset, sizeof(T));
    return value;
  }
  // One of the leading axis, a view; negative counts from the back.
  Tensor operator[](AnyInteger i) const { return Tensor(AnyTensor(detail::select(array(), i))); }
  // All elements in row-major order.
  std::vector<T> to_vector() const {
    const auto a = detail::readable("to_vector", array());
    const T* p = reinterpret_cast<const T*>(a->data);
    return std::vector<T>(p, p + a->numel());
  }
  // The elements where they lie: contiguous on the CPU, else an Error.
  std::span<const T> span() const {
    const detail::Array& c = detail::concrete("span", array());
    if (!c.device.is_cpu() || !c.contiguous)
      detail::fail("span", c, "only a contiguous tensor on the CPU can be looked at in place: x.cpu().contiguous()");
    return {reinterpret_cast<const T*>(c.data), std::size_t(c.numel())};
  }

  Tensor to(Device d) const { return Tensor(AnyTensor(detail::moved(array(), d))); }
  Tensor cpu() const { return to(Device::cpu()); }
  Tensor contiguous() const { return Tensor(AnyTensor(detail::contiguous(array()))); }

 private:
  struct Bytes {
    detail::Ref<detail::Array> array;
    const Bytes* operator->() const { return this; }
    const T* data_as() const { return reinterpret_cast<const T*>(array->data); }
  };
  Bytes read(const char* op) const { return {detail::readable(op, array())}; }
  template <class N>
  static detail::Ref<detail::Array> make_scalar(N value) {
    T v;
    if constexpr (std::is_same_v<N, T>)
      v = value;
    else
      v = detail::scalar_of<T>("tensor", value);
    auto a = detail::Array::make(dtype_of<T>, Shape{}, default_device());
    if (a->device.is_cpu())
      std::memcpy(a->data, &v, sizeof(T));
    else
      detail::fill_bytes(*a, &v);
    return a;
  }
  void check_dtype() const {
    if (ref() && ref()->dtype != dtype_of<T>)
      throw_error({"[tensor] a tensor of ", ref()->dtype, " used as one of ", dtype_of<T>});
  }
};

template <class X>
inline constexpr bool is_tensor = false;
template <class T>
inline constexpr bool is_tensor<Tensor<T>> = true;

namespace detail {
// The elements of a tensor at depth 0 that a kernel reads or writes; row-major on the CPU.
template <class T>
T* data_of(const Array& a) {
  return reinterpret_cast<T*>(a.data);
}
template <class T>
Tensor<T> make_tensor(const Shape& s) {
  return Tensor<T>(Array::make(dtype_of<T>, s));
}
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD

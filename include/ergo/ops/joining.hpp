// Joining and parting along an axis: concatenate stack unstack split. Parts are views of the whole.
#pragma once

#include "ergo/autograd/concatenate.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
using Arrays = std::vector<Ref<Array>>;
AnyTensor concatenated(const Arrays& parts, std::int64_t axis);
AnyTensor stacked(const Arrays& parts, std::int64_t axis);
Arrays unstacked(const AnyTensor& x, std::int64_t axis);
Arrays split_evenly(const AnyTensor& x, std::int64_t pieces, std::int64_t axis);
Arrays split_by_sizes(const AnyTensor& x, const std::vector<std::int64_t>& sizes, std::int64_t axis);

template <class Tensors>
Arrays arrays_of(const Tensors& x) {
  Arrays r;
  r.reserve(x.size());
  for (const auto& t : x) {
    t.array();  // an Error if it is empty
    r.push_back(t.ref());
  }
  return r;
}
template <class T>
std::vector<Tensor<T>> tensors_of(Arrays&& x) {
  std::vector<Tensor<T>> r;
  r.reserve(x.size());
  for (auto& a : x) r.push_back(Tensor<T>(AnyTensor(std::move(a))));
  return r;
}
}  // namespace detail

// The tensors end to end along an axis; they agree in all other extents.
template <class T>
Tensor<T> concatenate(std::initializer_list<Tensor<T>> parts, AnyInteger axis = 0) {
  return Tensor<T>(detail::concatenated(detail::arrays_of(parts), axis));
}
template <class T>
Tensor<T> concatenate(const std::vector<Tensor<T>>& parts, AnyInteger axis = 0) {
  return Tensor<T>(detail::concatenated(detail::arrays_of(parts), axis));
}
// Tensors of one shape along a new axis, whose place in the result is `axis`.
template <class T>
Tensor<T> stack(std::initializer_list<Tensor<T>> parts, AnyInteger axis = 0) {
  return Tensor<T>(detail::stacked(detail::arrays_of(parts), axis));
}
template <class T>
Tensor<T> stack(const std::vector<Tensor<T>>& parts, AnyInteger axis = 0) {
  return Tensor<T>(detail::stacked(detail::arrays_of(parts), axis));
}
// The inverse of stack: one view for each place along the axis, which they lack.
template <class T>
std::vector<Tensor<T>> unstack(const Tensor<T>& x, AnyInteger axis = 0) {
  return detail::tensors_of<T>(detail::unstacked(x, axis));
}
// Views of consecutive parts of an axis: n of equal size, or of the sizes given, which add up to the extent.
template <class T, Integer I>
std::vector<Tensor<T>> split(const Tensor<T>& x, I n, AnyInteger axis = 0) {
  return detail::tensors_of<T>(detail::split_evenly(x, AnyInteger(n), axis));
}
template <class T>
std::vector<Tensor<T>> split(const Tensor<T>& x, std::initializer_list<AnyInteger> sizes, AnyInteger axis = 0) {
  return detail::tensors_of<T>(detail::split_by_sizes(x, {sizes.begin(), sizes.end()}, axis));
}
template <class T, Integer I>
std::vector<Tensor<T>> split(const Tensor<T>& x, const std::vector<I>& sizes, AnyInteger axis = 0) {
  return detail::tensors_of<T>(detail::split_by_sizes(x, {sizes.begin(), sizes.end()}, axis));
}

namespace detail {

[[noreturn, gnu::cold]] ERGO_ONCE void fail_parts(const char* op, const Arrays& parts, std::size_t i,
                                                  const Message& why) {
  Array* in[] = {parts[0].get(), parts[i].get()};
  fail(op, in, 2, {"tensors 0 and ", i, " ", why});
}
inline void check_parts(const char* op, const Arrays& parts) {
  if (parts.empty()) throw_error({"[", op, "] no tensors are given"});
  for (std::size_t i = 1; i < parts.size(); ++i) {
    Array* in[] = {parts[0].get(), parts[i].get()};
    same_device(op, in, 2);
    if (in[0]->shape.rank() != in[1]->shape.rank()) fail_parts(op, parts, i, "differ in rank");
  }
}
ERGO_ONCE AnyTensor concatenated(const Arrays& parts, std::int64_t axis) {
  check_parts("concatenate", parts);
  const int at = resolve_axis("concatenate", *parts[0], axis), rank = parts[0]->shape.rank();
  std::int64_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (int d = 0; d < rank; ++d)
      if (d != at && parts[i]->shape[d] != parts[0]->shape[d])
        fail_parts("concatenate", parts, i, {"differ on axis ", d, " (only axis ", at, " may)"});
    if (__builtin_add_overflow(total, parts[i]->shape[at], &total))
      fail_parts("concatenate", parts, i, "have more than 2^63 - 1 elements together");
  }
  return AnyTensor(concatenate(parts, rank - at));
}
ERGO_ONCE AnyTensor stacked(const Arrays& parts, std::int64_t axis) {
  check_parts("stack", parts);
  const Shape& s = parts[0]->shape;
  if (s.rank() == kMaxRank) fail("stack", *parts[0], "9 axes are more than 8");
  const std::int64_t at = axis < 0 ? axis + s.rank() + 1 : axis;
  if (at < 0 || at > s.rank())
    fail("stack", *parts[0], {"axis ", axis, " is out of range for a result of rank ", s.rank() + 1});
  const Shape row = s.first(int(at)) + Shape{1} + s.last(s.rank() - int(at));
  Arrays rows;
  rows.reserve(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]->shape != s) fail_parts("stack", parts, i, "differ in shape");
    rows.push_back(reshape(parts[i], row));
  }
  return AnyTensor(concatenate(rows, row.rank() - int(at)));
}

// A list of more tensors than this is a mistake: one alone takes some 200 bytes.
inline constexpr std::int64_t kMostPieces = std::int64_t(1) << 24;
[[noreturn, gnu::cold]] ERGO_ONCE void fail_pieces(const char* op, const Array& x, std::int64_t pieces) {
  fail(op, x, {pieces, " tensors: at most 2^24 are made"});
}
ERGO_ONCE Arrays unstacked(const AnyTensor& x, std::int64_t axis) {
  Array* in[] = {&x.array()};
  const int at = resolve_axis("unstack", *in[0], axis);
  if (in[0]->shape[at] > kMostPieces) fail_pieces("unstack", *in[0], in[0]->shape[at]);
  Arrays r;
  r.reserve(std::size_t(in[0]->shape[at]));
  for (std::int64_t i = 0; i < in[0]->shape[at]; ++i)
    r.push_back(dispatch1(SliceOp(in[0]->shape.rank() - at, i, 1, 1, true), in));
  return r;
}
inline Arrays split_at(Array& x, const std::vector<std::int64_t>& sizes, int axis) {
  Array* in[] = {&x};
  Arrays r;
  r.reserve(sizes.size());
  std::int64_t begin = 0;
  for (std::int64_t n : sizes) {
    r.push_back(dispatch1(SliceOp(x.shape.rank() - axis, begin, n, 1, false), in));
    begin += n;
  }
  return r;
}
ERGO_ONCE Arrays split_evenly(const AnyTensor& x, std::int64_t pieces, std::int64_t axis) {
  Array& a = x.array();
  const int at = resolve_axis("split", a, axis);
  if (pieces < 1 || a.shape[at] % pieces)
    fail("split", a, {"axis ", at, " does not divide into ", pieces, " equal pieces (sizes go in braces)"});
  if (pieces > kMostPieces) fail_pieces("split", a, pieces);
  return split_at(a, std::vector<std::int64_t>(std::size_t(pieces), a.shape[at] / pieces), at);
}
inline Arrays split_by_sizes(const AnyTensor& x, const std::vector<std::int64_t>& sizes, std::int64_t axis) {
  Array& a = x.array();
  const int at = resolve_axis("split", a, axis);
  std::int64_t total = 0;
  for (std::int64_t n : sizes) {
    if (n < 0) fail("split", a, {"a piece of size ", n});
    if (__builtin_add_overflow(total, n, &total)) fail("split", a, "sizes beyond 2^63 - 1 together");
  }
  if (total != a.shape[at]) fail("split", a, {"sizes add up to ", total, ", axis ", at, " has extent ", a.shape[at]});
  return split_at(a, sizes, at);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD

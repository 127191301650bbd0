// Gathering by integer indices, any dtype and strides; and the check of indices, before anything is read or written by
// them.
#pragma once

#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// What an operation calls its parts in the message about a bad index.
struct IndexNames {
  const char *op, *indices, *of, *one;  // [embedding] ids (64, 128), table (50257, 768): id 50300 at (3, 17) ...
};

namespace detail {

[[noreturn, gnu::cold]] ERGO_ONCE void fail_index(const IndexNames& names, const Array& indices, const Array* of,
                                                  std::int64_t position, std::int64_t index, std::int64_t extent) {
  Shape at = indices.shape;
  for (int d = at.rank() - 1; d >= 0; --d) {
    const std::int64_t n = at[d];
    at[d] = position % n;
    position /= n;
  }
  throw_error({"[", names.op, "] ", names.indices, " ", indices.shape,
               (of ? std::string(", ") + names.of + " " + to_string(of->shape) : std::string()), ": ", names.one, " ",
               index, " at ", at, " is not in [0, ", extent, ")"});
}

template <class I>
void check_run(const I* from, std::int64_t* to, std::int64_t begin, std::int64_t end, std::int64_t extent,
               const IndexNames& names, const Array& indices, const Array* of) {
  for (std::int64_t i = begin; i < end; ++i) {
    const auto index = std::int64_t(from[i]);
    if (std::uint64_t(index) >= std::uint64_t(extent)) [[unlikely]]
      fail_index(names, indices, of, i, index, extent);
    if (to) to[i] = index;
  }
}

template <class Unit>
void gather_run(std::byte* y, const std::byte* x, const std::int64_t* index, std::int64_t stride, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    __builtin_memcpy(y + i * std::int64_t(sizeof(Unit)), x + index[i] * stride, sizeof(Unit));
}

}  // namespace detail

// The indices as a dense array of int64; the first outside [0, extent) is an Error. `of`, what they point into, is for
// the message and may be null.
inline Ref<Array> checked_indices(const IndexNames& names, const Array& indices, const Array* of, std::int64_t extent) {
  const Ref<Array> from = ergo::detail::dense(indices);
  const bool copies = indices.dtype != DType::int64;
  const Ref<Array> r = copies ? Array::make(DType::int64, indices.shape) : from;
  auto* to = copies ? reinterpret_cast<std::int64_t*>(r->data) : nullptr;
  parallel_for(indices.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
    const std::byte* p = from->data;
    if (indices.dtype == DType::int32)
      detail::check_run(reinterpret_cast<const std::int32_t*>(p), to, begin, end, extent, names, indices, of);
    else if (indices.dtype == DType::uint8)
      detail::check_run(reinterpret_cast<const std::uint8_t*>(p), to, begin, end, extent, names, indices, of);
    else
      detail::check_run(reinterpret_cast<const std::int64_t*>(p), to, begin, end, extent, names, indices, of);
  });
  return r;
}

// The leading axes of up to N operands, which broadcast to `lead`: byte strides and the offset of each operand at place
// i.
template <int N>
struct LeadingAxes {
  Shape lead;
  std::int64_t stride[N][kMaxRank];

  explicit LeadingAxes(const Shape& s) : lead(s) {}
  // `own` leading axes of a, aligned at the last of `lead`.
  void operand(int i, const Array& a, int own) {
    const int gained = lead.rank() - own;
    for (int d = 0; d < lead.rank(); ++d)
      stride[i][d] = d < gained || a.shape[d - gained] == 1 ? 0 : a.stride[d - gained];
  }
  std::int64_t offset(int i, std::int64_t place) const {
    std::int64_t at = 0;
    for (int d = lead.rank() - 1; d >= 0 && place; --d) {
      at += place % lead[d] * stride[i][d];
      place /= lead[d];
    }
    return at;
  }
};

// y (lead..., places..., rest...) = x (lead..., n, rest...)[..., indices (lead..., places...), ...]: `axis` counts x's
// axes from the back, `places` the indices' own. Leading axes broadcast. `indices` come from checked_indices.
inline Ref<Array> gather(const Array& x, const Array& indices, int axis, int places) {
  const int x_lead = x.shape.rank() - axis, i_lead = indices.shape.rank() - places;
  Shape lead = x.shape.first(x_lead);
  ergo::detail::broadcast(lead, indices.shape.first(i_lead));
  const Ref<Array> y = Array::make(x.dtype, lead + indices.shape.last(places) + x.shape.last(axis - 1));
  if (y->numel() == 0) return y;
  const std::int64_t per_lead = indices.shape.last(places).numel(), rows = lead.numel() * per_lead;
  const std::int64_t width = size_of(x.dtype), inner = y->numel() / rows, stride = x.stride[x_lead];
  LeadingAxes<2> at(lead);
  at.operand(0, x, x_lead);
  at.operand(1, indices, i_lead);
  ergo::detail::Walk<2> row;
  std::int64_t step = width;
  for (int d = x.shape.rank() - 1; d > x_lead; --d) step *= x.shape[d];
  for (int d = x_lead + 1; d < x.shape.rank(); ++d) {
    step /= x.shape[d];
    const std::int64_t steps[2] = {step, x.stride[d]};
    row.add(x.shape[d], steps);
  }
  row.finish();
  const int last = row.rank - 1;
  const bool plain = inner == 1 || (row.rank == 1 && row.stride[1][0] == width);
  const auto copy = ergo::detail::copy_run_of(width);
  const auto single = width == 1   ? &detail::gather_run<std::uint8_t>
                      : width == 2 ? &detail::gather_run<std::uint16_t>
                      : width == 4 ? &detail::gather_run<std::uint32_t>
                                   : &detail::gather_run<std::uint64_t>;
  parallel_for(rows, 1 + 16384 / inner, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end;) {
      const std::int64_t place = r / per_lead, m = r % per_lead;
      const std::int64_t n = per_lead - m < end - r ? per_lead - m : end - r;
      const std::byte* from = x.data + at.offset(0, place);
      const auto* index = reinterpret_cast<const std::int64_t*>(indices.data + at.offset(1, place)) + m;
      std::byte* to = y->data + r * inner * width;
      if (inner == 1) {
        single(to, from, index, stride, n);
      } else if (plain) {
        for (std::int64_t i = 0; i < n; ++i)
          std::memcpy(to + i * inner * width, from + index[i] * stride, std::size_t(inner * width));
      } else {
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t k = 0, runs = row.rows(); k < runs; ++k)
            copy(to + i * inner * width + row.offset(0, k), from + index[i] * stride + row.offset(1, k), width,
                 row.stride[1][last], row.extent[last]);
      }
      r += n;
    }
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu

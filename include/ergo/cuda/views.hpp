// Arrays on a device as the streams and views that launchers take, in the order of this thread's stream there; results;
// and memory that a kernel needs for the time of its launch.
#pragma once

#include "ergo/core/handle.hpp"
#include "ergo/cuda/backend.hpp"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

using ergo::detail::Array;
using ergo::detail::Ref;

// Where the kernels of one operation run: this thread's stream on the operands' device, the current one meanwhile.
class Work {
 public:
  explicit Work(Device d) : device_(d), on_(d.index()), stream_(current_stream(d)) {}
  Device device() const { return device_; }
  Stream& stream() const { return stream_; }
  // An operand is read by what comes on this stream.
  void reads(const Array& x) const { detail::read_on(stream_, *x.buffer); }
  // The elements of an operand, a stride for each of its Rank axes.
  template <class T, int Rank>
  View<const T, Rank> operand(const Array& x) const {
    reads(x);
    return view<const T, Rank>(x);
  }
  // Fresh memory for a result, and how a kernel writes it.
  Ref<Array> make(DType t, const Shape& s) const { return Array::make(t, s, device_); }
  template <class T, int Rank>
  View<T, Rank> result(const Array& y) const {
    return view<T, Rank>(y);
  }

 private:
  template <class T, int Rank>
  static View<T, Rank> view(const Array& x) {
    View<T, Rank> v{reinterpret_cast<T*>(x.data), {}, {}};
    for (int d = 0; d < Rank; ++d) {
      v.shape[d] = x.shape[d];
      v.stride[d] = x.stride[d] / std::int64_t(sizeof(T));
    }
    return v;
  }
  Device device_;
  OnDevice on_;
  Stream& stream_;
};

// Work on the device of the first operand that lies on one.
template <class... X>
Work work_on(const X&... x) {
  Device d;
  (void)((!x.device().is_cpu() && (d = x.device(), true)) || ...);
  return Work(d);
}

// Scratch of so many bytes, given back in the order of the stream.
class Workspace {
 public:
  Workspace(const Work& w, std::size_t bytes) {
    if (bytes) buffer_ = ergo::detail::Buffer::make(bytes, w.device());
  }
  std::byte* data() const { return buffer_ ? buffer_->data : nullptr; }

 private:
  Ref<ergo::detail::Buffer> buffer_;
};

// x (..., n) as rows (m, n): the leading axes merged where strides allow, else a copy that is row-major.
ERGO_ONCE Ref<Array> as_rows(const Array& x) {
  const int rank = x.shape.rank();
  const std::int64_t n = rank ? x.shape[-1] : 1;
  ergo::detail::Walk<1> lead;
  for (int d = 0; d + 1 < rank; ++d) {
    const std::int64_t step[1] = {x.stride[d]};
    lead.add(x.shape[d], step);
  }
  lead.finish();
  const bool merges = lead.rank == 1 && x.numel() > 0;  // of nothing, strides mean nothing
  const Ref<Array> from = merges ? Ref<Array>::share(const_cast<Array*>(&x)) : ergo::detail::dense(x);
  const Shape s{x.shape.first(rank ? rank - 1 : 0).numel(), n};
  Ref<Array> r = Array::view(*from, s);
  r->set_row_major();
  if (merges) {
    r->stride[0] = lead.stride[0][0];
    if (rank) r->stride[1] = x.stride[rank - 1];
    r->settle();
  }
  return r;
}

// x, whose last axes are `groups` of so many axes each, as one leading axis and one a group: (L, g0, g1, ...). The
// leading axes are broadcast to `lead`. A copy where axes that become one have strides that do not allow it.
inline Ref<Array> grouped(const Array& x, const Shape& lead, std::initializer_list<int> groups) {
  int own = 0;
  for (const int n : groups) own += n;
  Shape all = lead + x.shape.last(own), s{lead.product()};
  const Ref<Array> wide = Array::view(x, all);
  const int gained = all.rank() - x.shape.rank();
  for (int d = 0; d < all.rank(); ++d)
    wide->stride[d] = d < gained || x.shape[d - gained] != all[d] ? 0 : x.stride[d - gained];
  wide->settle();
  std::int64_t stride[kMaxRank];
  bool merged = true;
  int d = 0, k = 0;
  const auto merge = [&](int axes) {
    ergo::detail::Walk<1> w;
    for (const int end = d + axes; d < end; ++d) {
      const std::int64_t step[1] = {wide->stride[d]};
      w.add(all[d], step);
    }
    w.finish();
    merged = merged && w.rank == 1;
    stride[k++] = w.stride[0][0];
  };
  merge(lead.rank());
  for (const int n : groups) {
    s.push(all.first(d + n).last(n).product());
    merge(n);
  }
  const bool empty = all.product() == 0;
  const Ref<Array> from = merged || empty ? wide : ergo::detail::dense(*wide);
  Ref<Array> r = Array::view(*from, s);
  r->set_row_major();
  if (merged && !empty)
    for (int i = 0; i < s.rank(); ++i) r->stride[i] = stride[i];
  r->settle();
  return r;
}
// x on the device of w: a number that lies on the CPU moves there.
inline Ref<Array> on_device_of(const Work& w, const Array& x) {
  if (x.device == w.device()) return Ref<Array>::share(const_cast<Array*>(&x));
  if (!x.device.is_cpu() || x.numel() != 1) return ergo::detail::to_device(x, w.device());
  Ref<Array> r = Array::make(x.dtype, x.shape, w.device());
  ergo::detail::fill_bytes(*r, x.data);
  return r;
}

}  // namespace ergo::inline ERGO_BUILD::cuda

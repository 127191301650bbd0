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
inline Ref<Array> as_rows(const Array& x) {
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

}  // namespace ergo::inline ERGO_BUILD::cuda

// The 16-bit types are storage: whatever is computed on them is computed in float and rounded once. So the loops of the
// library exist for float alone; these few convert what goes in and what comes out, in blocks or as whole arrays.
#pragma once

#include "ergo/core/copy.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

using ergo::detail::Array;
using ergo::detail::Ref;

constexpr bool is_storage_only(DType d) { return d == DType::half || d == DType::bfloat16; }
constexpr DType compute_dtype(DType d) { return is_storage_only(d) ? DType::float32 : d; }

namespace detail {
template <class From, class To>
struct ConvertBody {
  template <Isa I>
  static ERGO_INLINE void run(const From* x, To* y, std::int64_t n) {
    constexpr int W = kRegisterBytes<I> / 4;
    std::int64_t i = 0;
    for (; i + W <= n; i += W) store_as(y + i, load_as<Pack<float, W>>(x + i));
    if (i < n) store_part_as(y + i, load_part_as<Pack<float, W>>(x + i, int(n - i)), int(n - i));
  }
};
template <class From, class To>
void convert_run(const std::byte* x, std::byte* y, std::int64_t n) {
  for_isa<ConvertBody<From, To>>(reinterpret_cast<const From*>(x), reinterpret_cast<To*>(y), n);
}
}  // namespace detail

// n dense 16-bit numbers of type d as floats, and floats as such.
inline void widen_run(DType d, const std::byte* x, std::byte* y, std::int64_t n) {
  (d == DType::half ? &detail::convert_run<half, float> : &detail::convert_run<bfloat16, float>)(x, y, n);
}
inline void narrow_run(DType d, const std::byte* x, std::byte* y, std::int64_t n) {
  (d == DType::half ? &detail::convert_run<float, half> : &detail::convert_run<float, bfloat16>)(x, y, n);
}

// A row-major array (depth 0) of floats from one of 16 bits, and back.
inline Ref<Array> widened(const Array& x) {
  const Ref<Array> from = ergo::detail::dense(x);
  Ref<Array> y = Array::make(DType::float32, x.shape);
  parallel_for(x.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
    widen_run(x.dtype, from->data + 2 * begin, y->data + 4 * begin, end - begin);
  });
  return y;
}
inline Ref<Array> narrowed(const Array& x, DType d) {
  const Ref<Array> from = ergo::detail::dense(x);
  Ref<Array> y = Array::make(d, x.shape);
  parallel_for(x.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
    narrow_run(d, from->data + 4 * begin, y->data + 2 * begin, end - begin);
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu

// The erased tensor: bytes with a dtype, a shape and strides, or the trace of such a value under an open transform. All
// that does not depend on a scalar type (views, recording, broadcasting) works on it and is compiled once.
#pragma once

#include <cstring>

#include "ergo/core/dtype.hpp"
#include "ergo/core/memory.hpp"
#include "ergo/core/shape.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// The bytes under one or more arrays. Few bytes lie behind this header, many in a block of their own size; borrowed
// ones belong to somebody else, are never written, and `release` says when the last array on them is gone.
struct Buffer {
  int refs = 1;
  Device device;
  bool borrowed = false;
  bool ones = false;         // every element is 1 and stays so: borrowed, too
  std::uint16_t before = 0;  // bytes of the array in front, when one block holds both
  std::size_t bytes = 0;
  std::byte* data = nullptr;
  void (*release)(Buffer*) = nullptr;  // null: memory of the allocators
  void* stream = nullptr;              // the back end's: where the bytes were last written

  static constexpr std::size_t kHeader = 64, kBehind = 1024 - kHeader;
  static Ref<Buffer> make(std::size_t n, Device device) {
    const bool behind = n <= kBehind && device.is_cpu();
    void* block = allocate(behind ? kHeader + n : kHeader);
    auto* b = new (block) Buffer;
    b->device = device;
    b->bytes = n;
    if (behind) {
      b->data = static_cast<std::byte*>(block) + kHeader;
      return Ref<Buffer>::adopt(b);
    }
    try {
      if (device.is_cpu())
        b->data = static_cast<std::byte*>(allocate(n));
      else
        backend(device).allocate(*b);
    } catch (...) {
      deallocate(block, kHeader);
      throw;
    }
    return Ref<Buffer>::adopt(b);
  }
  ERGO_ONCE static void destroy(Buffer* b) noexcept {
    const std::size_t n = b->bytes;
    if (b->release) [[unlikely]] {
      b->release(b);
    } else if (!b->device.is_cpu()) [[unlikely]] {
      if (const Backend* back = backend_or_null()) back->deallocate(*b);
      deallocate(b, kHeader);
    } else if (b->before) {
      deallocate_inline(reinterpret_cast<std::byte*>(b) - b->before, b->before + kHeader + n);
    } else if (n <= kBehind) {
      deallocate(b, kHeader + n);
    } else {
      deallocate(b->data, n);
      deallocate(b, kHeader);
    }
  }
};
static_assert(sizeof(Buffer) <= Buffer::kHeader);

struct Slot;  // where the cotangent of a recorded value gathers (autograd/trace.hpp)

// One value. Depth 0: bytes with strides (in bytes, may be 0 or negative). Depth d > 0: traced by the d-th open
// transform, whose identity is `level`; `shape` is what the function sees, `value` the same thing one level down, with
// a slot (reverse), a tangent (forward, null is zero), or a leading axis in `value` that `shape` hides (batch).
struct Array {
  int refs = 1;
  DType dtype;
  std::uint8_t depth = 0;
  bool contiguous = true;  // row-major without gaps; extents of 1 and empty arrays do not matter
  Device device;
  std::byte* data = nullptr;
  Ref<Buffer> buffer;
  std::uint64_t level = 0;
  Ref<Array> value, tangent;
  Slot* slot = nullptr;
  Shape shape;
  std::int64_t stride[kMaxRank];

  static constexpr std::size_t kTogether = 256;  // bytes up to this lie behind their array

  Array(DType t, const Shape& s, Device d) : dtype(t), device(d), shape(s) {}

  // Shape and dtype without bytes.
  ERGO_ONCE static Ref<Array> husk(DType t, const Shape& s, Device d) {
    return Ref<Array>::adopt(new (allocate_inline(sizeof(Array))) Array(t, s, d));
  }
  // Row-major, not initialised. Few bytes share one block with their array; the buffer, which never dies first, frees
  // it.
  ERGO_ONCE static Ref<Array> make(DType t, const Shape& s, Device d = Device::cpu()) {
    std::int64_t n = s.numel();  // throws when the count overflows
    if (__builtin_mul_overflow(n, size_of(t), &n)) fail_shape({s, ": more than 2^63 - 1 bytes"});
    if (std::size_t(n) <= kTogether && d.is_cpu()) {
      void* block = allocate_inline(sizeof(Array) + Buffer::kHeader + std::size_t(n));
      auto* a = new (block) Array(t, s, d);
      auto* b = new (a + 1) Buffer;
      b->before = sizeof(Array);
      b->bytes = std::size_t(n);
      b->data = reinterpret_cast<std::byte*>(b) + Buffer::kHeader;
      a->set_row_major();
      a->buffer = Ref<Buffer>::adopt(b);
      a->data = b->data;
      return Ref<Array>::adopt(a);
    }
    Ref<Array> a = husk(t, s, d);
    a->set_row_major();
    a->buffer = Buffer::make(std::size_t(n), d);
    a->data = a->buffer->data;
    return a;
  }
  // The same bytes under another shape; the caller sets strides and offset, then calls `settle`.
  ERGO_ONCE static Ref<Array> view(const Array& x, const Shape& s) {
    s.numel();  // throws when the count overflows
    Ref<Array> a = husk(x.dtype, s, x.device);
    a->data = x.data;
    a->buffer = x.buffer;
    return a;
  }
  void set_row_major() {
    std::int64_t n = size_of(dtype);
    for (int i = shape.rank(); i-- > 0;) {
      stride[i] = n;
      if (shape[i]) __builtin_mul_overflow(n, shape[i], &n);  // too large only beside an extent of 0: never used
    }
    contiguous = true;
  }
  void settle() {
    std::int64_t n = size_of(dtype);
    bool dense = true, empty = false;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      empty |= shape[i] == 0;
      if (shape[i] != 1 && stride[i] != n) dense = false;
      __builtin_mul_overflow(n, shape[i], &n);
    }
    contiguous = dense || empty;
  }
  std::int64_t numel() const { return shape.product(); }
  ERGO_ONCE static void destroy(Array* a) noexcept {
    const bool together = static_cast<const void*>(a->buffer.get()) == a + 1;
    a->~Array();
    if (!together) deallocate_inline(a, sizeof(Array));
  }
};

// Whether a is known to be all ones: the seed of a gradient, and views of it.
inline bool is_ones(const Array& a) { return a.depth == 0 && a.buffer && a.buffer->ones; }

using Args = Array* const*;  // operands, borrowed; an entry may be null

// "[op] (3, 4) x (5, 2): why". Cold, so that checks cost a comparison.
[[noreturn, gnu::cold]] ERGO_ONCE void fail(const char* op, Args in, int n, const Message& why) {
  std::string text = std::string("[") + op + "]";
  bool first = true;
  for (int i = 0; i < n; ++i) {
    if (!in[i]) continue;
    text += (first ? " " : " x ") + to_string(in[i]->shape);
    first = false;
  }
  throw_error({text, (first ? " " : ": "), why});
}
[[noreturn, gnu::cold]] ERGO_ONCE void fail(const char* op, const Array& x, const Message& why) {
  Array* in[] = {const_cast<Array*>(&x)};
  fail(op, in, 1, why);
}

// The bytes under any number of levels. A value mapped by vmap is many values and has none.
inline const Array& concrete(const char* op, const Array& a) {
  const Array* p = &a;
  for (; p->depth; p = p->value.get())
    if (p->value->shape.rank() != p->shape.rank())
      fail(op, a, "a value mapped by vmap is many values; return it from the mapped function");
  return *p;
}

}  // namespace ergo::inline ERGO_BUILD::detail

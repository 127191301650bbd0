// CUDA's vector types: the names, sizes and alignments of the toolkit's header.
#pragma once

#define SIMT_VECTORS(T, B, ALIGN4)                                \
  struct T##1 {                                                   \
    B x;                                                          \
  };                                                              \
  struct alignas(2 * sizeof(B)) T##2 {                            \
    B x, y;                                                       \
  };                                                              \
  struct T##3 {                                                   \
    B x, y, z;                                                    \
  };                                                              \
  struct alignas(ALIGN4) T##4 {                                   \
    B x, y, z, w;                                                 \
  };                                                              \
  constexpr T##1 make_##T##1(B x) { return {x}; }                 \
  constexpr T##2 make_##T##2(B x, B y) { return {x, y}; }         \
  constexpr T##3 make_##T##3(B x, B y, B z) { return {x, y, z}; } \
  constexpr T##4 make_##T##4(B x, B y, B z, B w) { return {x, y, z, w}; }

SIMT_VECTORS(char, signed char, 4)
SIMT_VECTORS(uchar, unsigned char, 4)
SIMT_VECTORS(short, short, 8)
SIMT_VECTORS(ushort, unsigned short, 8)
SIMT_VECTORS(int, int, 16)
SIMT_VECTORS(uint, unsigned, 16)
SIMT_VECTORS(longlong, long long, 16)
SIMT_VECTORS(ulonglong, unsigned long long, 16)
SIMT_VECTORS(float, float, 16)
SIMT_VECTORS(double, double, 16)
#undef SIMT_VECTORS

// A size of a grid or a block; a missing extent is 1.
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

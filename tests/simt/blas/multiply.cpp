// The loops of a product, compiled for speed.
#include <bit>
#include <cmath>
#include <vector>

#include "product.hpp"

namespace simt {
namespace {

template <class A>
A load(const Matrix& m, std::int64_t i) {
  switch (m.type) {
    case CUDA_R_64F:
      return static_cast<A>(reinterpret_cast<const double*>(m.p)[i]);
    case CUDA_R_32F:
      return static_cast<A>(reinterpret_cast<const float*>(m.p)[i]);
    case CUDA_R_16F:
      return static_cast<A>(f16_to_float(reinterpret_cast<const std::uint16_t*>(m.p)[i]));
    default:
      return static_cast<A>(bf16_to_float(reinterpret_cast<const std::uint16_t*>(m.p)[i]));
  }
}
template <class A>
void store(const Matrix& m, std::int64_t i, A value) {
  const auto f = static_cast<float>(value);
  switch (m.type) {
    case CUDA_R_64F:
      reinterpret_cast<double*>(m.p)[i] = static_cast<double>(value);
      break;
    case CUDA_R_32F:
      reinterpret_cast<float*>(m.p)[i] = f;
      break;
    case CUDA_R_16F:
      reinterpret_cast<std::uint16_t*>(m.p)[i] = float_to_f16(f);
      break;
    default:
      reinterpret_cast<std::uint16_t*>(m.p)[i] = float_to_bf16(f);
  }
}
std::int64_t at(const Matrix& m, std::int64_t r, std::int64_t c) { return m.row_major ? r * m.ld + c : r + c * m.ld; }
Matrix of_batch(Matrix m, int z) {
  m.p += z * m.batch_stride * static_cast<std::int64_t>(size_of(m.type));
  return m;
}

// 10 bits of mantissa, as a tensor core takes float operands in TF32 mode.
float tf32(float x) {
  const auto u = std::bit_cast<std::uint32_t>(x);
  return (u & 0x7f800000u) == 0x7f800000u ? x : std::bit_cast<float>((u + 0x1000u) & ~0x1fffu);
}

template <class A>
A gelu_tanh(A x) {
  return A(0.5) * x * (1 + std::tanh(A(0.79788456080286535588) * (x + A(0.044715) * x * x * x)));
}
template <class A>
A gelu_tanh_slope(A x) {
  const A s = A(0.79788456080286535588), t = std::tanh(s * (x + A(0.044715) * x * x * x));
  return A(0.5) * (1 + t) + A(0.5) * x * (1 - t * t) * s * (1 + 3 * A(0.044715) * x * x);
}

}  // namespace

template <class A>
void multiply(const Product& p, int z, A alpha, A beta, std::vector<A>& sums) {
  const Matrix a = of_batch(p.a, z), b = of_batch(p.b, z), c = of_batch(p.c, z), d = of_batch(p.d, z);
  const Matrix aux = of_batch(p.aux, z);
  const std::int64_t m = d.rows, n = d.cols, k = p.k;
  const bool rounds = p.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a.type == CUDA_R_32F;
  const int e = p.epilogue;
  std::vector<A> left(static_cast<std::size_t>(m * k)), right(static_cast<std::size_t>(k * n));
  std::vector<A> row(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t q = 0; q < k; ++q) {
      const A x = load<A>(a, p.transpose_a ? at(a, q, i) : at(a, i, q));
      left[static_cast<std::size_t>(i * k + q)] = rounds ? static_cast<A>(tf32(static_cast<float>(x))) : x;
      if (e & kSumA) sums[static_cast<std::size_t>(i)] += x;
    }
  }
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t q = 0; q < k; ++q) {
      const A x = load<A>(b, p.transpose_b ? at(b, j, q) : at(b, q, j));
      right[static_cast<std::size_t>(q * n + j)] = rounds ? static_cast<A>(tf32(static_cast<float>(x))) : x;
      if (e & kSumB) sums[static_cast<std::size_t>(j)] += x;
    }
  }
  for (std::int64_t i = 0; i < m; ++i) {
    row.assign(row.size(), A(0));
    for (std::int64_t q = 0; q < k; ++q) {
      const A x = left[static_cast<std::size_t>(i * k + q)];
      const A* y = right.data() + q * n;
      for (std::int64_t j = 0; j < n; ++j) row[static_cast<std::size_t>(j)] += x * y[j];
    }
    for (std::int64_t j = 0; j < n; ++j) {
      A v = alpha * row[static_cast<std::size_t>(j)];
      if (beta != 0) v += beta * load<A>(c, at(c, i, j));
      if (e & kBias) v += load<A>(p.bias, i);
      if ((e & kAux) && !(e & kGradient)) store(aux, at(aux, i, j), v);
      if (e & kGelu) v = gelu_tanh(v);
      if (e & kRelu) v = v > 0 || v != v ? v : A(0);
      if (e & kGradient) v *= gelu_tanh_slope(load<A>(aux, at(aux, i, j)));
      if (e & kBiasGradient) sums[static_cast<std::size_t>(i)] += v;
      store(d, at(d, i, j), v);
    }
  }
}
template <class A>
void store_column(const Matrix& column, const std::vector<A>& values) {
  for (std::int64_t i = 0; i < column.rows; ++i) store(column, i, values[static_cast<std::size_t>(i)]);
}

template void store_column(const Matrix&, const std::vector<float>&);
template void store_column(const Matrix&, const std::vector<double>&);
template void multiply(const Product&, int, float, float, std::vector<float>&);
template void multiply(const Product&, int, double, double, std::vector<double>&);

}  // namespace simt

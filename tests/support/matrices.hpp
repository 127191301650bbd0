// Plain matrices for the tests of decompositions: made from Fresh numbers, judged in long double.
#pragma once

#include <cmath>
#include <vector>

#include "support/fresh.hpp"

struct Matrix {  // row-major
  std::int64_t rows = 0, columns = 0;
  std::vector<double> at;
  double& operator()(std::int64_t i, std::int64_t j) { return at[std::size_t(i * columns + j)]; }
  double operator()(std::int64_t i, std::int64_t j) const { return at[std::size_t(i * columns + j)]; }
  Matrix transposed() const {
    Matrix t{columns, rows, std::vector<double>(at.size())};
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) t(j, i) = (*this)(i, j);
    return t;
  }
};

inline Matrix random_matrix(Fresh& fresh, std::int64_t rows, std::int64_t columns) {
  Matrix m{rows, columns, std::vector<double>(std::size_t(rows * columns))};
  for (double& x : m.at) x = fresh.uniform(-1, 1) + fresh.uniform(-1, 1);
  return m;
}
template <class T>
ergo::Tensor<T> tensor_of(const Matrix& m) {
  ergo::Tensor<T> x = ergo::detail::make_tensor<T>({m.rows, m.columns});
  for (std::int64_t i = 0; i < x.numel(); ++i) ergo::detail::data_of<T>(x.array())[i] = T(m.at[std::size_t(i)]);
  return x;
}
template <class T>
Matrix matrix_of(const ergo::Tensor<T>& x) {
  Matrix m{x.shape()[0], x.shape()[1], {}};
  for (T e : x.to_vector()) m.at.push_back(double(e));
  return m;
}

// a b with the rows of b scaled by d, if given; sums in long double.
inline Matrix product(const Matrix& a, const Matrix& b, const std::vector<double>& d = {}) {
  Matrix c{a.rows, b.columns, std::vector<double>(std::size_t(a.rows * b.columns))};
  std::vector<long double> row(std::size_t(b.columns));
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (auto& x : row) x = 0;
    for (std::int64_t k = 0; k < a.columns; ++k) {
      const long double x = d.empty() ? (long double)a(i, k) : (long double)a(i, k) * d[std::size_t(k)];
      for (std::int64_t j = 0; j < b.columns; ++j) row[std::size_t(j)] += x * b(k, j);
    }
    for (std::int64_t j = 0; j < b.columns; ++j) c(i, j) = double(row[std::size_t(j)]);
  }
  return c;
}
// |a - b| over |a|, Frobenius norms.
inline double distance(const Matrix& a, const Matrix& b) {
  if (a.rows != b.rows || a.columns != b.columns) return 1e9;
  long double off = 0, size = 0;
  for (std::size_t i = 0; i < a.at.size(); ++i) {
    off += ((long double)a.at[i] - b.at[i]) * ((long double)a.at[i] - b.at[i]);
    size += (long double)a.at[i] * a.at[i];
  }
  return size > 0 ? double(std::sqrt(off / size)) : double(std::sqrt(off));
}
// The largest entry of |columns' columns - 1|.
inline double skewness(const Matrix& a) {
  const Matrix gram = product(a.transposed(), a);
  double worst = 0;
  for (std::int64_t i = 0; i < gram.rows; ++i)
    for (std::int64_t j = 0; j < gram.columns; ++j) worst = std::fmax(worst, std::fabs(gram(i, j) - (i == j ? 1 : 0)));
  return worst;
}

// label: simt
// ptx: yes
// The norm of many tensors and their clipping, against sums in long double and products one by one.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include "ergo/kernels/clip.cuh"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace kernels_clip_test {

using namespace ergo::cuda;
using test::DeviceArray;

namespace {

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// Tensors in device memory, each array `offset` elements off its allocation, and where they are clipped to.
template <class T>
class Tensors {
 public:
  Tensors(const std::vector<std::vector<T>>& x, std::size_t offset) : offset_(offset) {
    std::vector<UpdateTensor<T>> list;
    std::vector<std::int64_t> elements;
    for (const auto& from : x) {
      std::vector<T> padded(offset, T(0.0f));
      padded.insert(padded.end(), from.begin(), from.end());
      in_.push_back(std::make_unique<DeviceArray<T>>(padded));
      out_.push_back(std::make_unique<DeviceArray<T>>(padded.size()));
      UpdateTensor<T> t{};
      t.gradient = in_.back()->data() + offset;
      t.out = out_.back()->data() + offset;
      t.n = std::int64_t(from.size());
      list.push_back(t);
      elements.push_back(t.n);
    }
    list_ = std::make_unique<DeviceArray<UpdateTensor<T>>>(list);
    chunks_ = std::make_unique<DeviceArray<UpdateChunk>>(chunks_of(elements));
  }
  std::int64_t n_chunks() const { return std::int64_t(chunks_->size()); }
  void sum(SquareSums* sums) const {
    launch_square_sums(stream(), "test", list_->data(), chunks_->data(), n_chunks(), sums);
  }
  template <class R>
  void clip(const SquareSums* sums, int parts, double most, R* norm) const {
    launch_clip(stream(), "test", list_->data(), chunks_->data(), n_chunks(), sums, parts, most, norm);
  }
  std::vector<T> clipped(std::size_t i) const { return out_[i]->host(offset_); }

 private:
  std::size_t offset_;
  std::vector<std::unique_ptr<DeviceArray<T>>> in_, out_;
  std::unique_ptr<DeviceArray<UpdateTensor<T>>> list_;
  std::unique_ptr<DeviceArray<UpdateChunk>> chunks_;
};

// The norm by both launches that know it, which agree; `tensors` are clipped.
template <class R, class T>
R clip(const Tensors<T>& tensors, double most) {
  const int parts = norm_parts(tensors.n_chunks());
  const DeviceArray<SquareSums> sums(std::size_t(parts) + 1);
  const DeviceArray<R> alone(1), beside(1);
  tensors.sum(sums.data());
  launch_norm_of_parts<R>(stream(), "test", sums.data(), parts, alone.data());
  tensors.template clip<R>(sums.data(), parts, most, beside.data());
  const R norm = alone.host()[0];
  if (tensors.n_chunks() > 0) {
    const R other = beside.host()[0];
    CHECK(std::memcmp(&norm, &other, sizeof(R)) == 0);
  }
  return norm;
}

template <class T>
std::vector<std::vector<T>> random_tensors(const std::vector<std::int64_t>& elements, double scale, Fresh& fresh) {
  std::vector<std::vector<T>> x;
  for (const std::int64_t n : elements) {
    auto& to = x.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) to.push_back(ergo::convert<T>(scale * fresh.uniform(-1, 1)));
  }
  return x;
}

// R: the type of the norm.
template <class R, class T>
void check_clip(const std::vector<std::int64_t>& elements, double scale) {
  using A = ergo::Compute<T>;
  CAPTURE(scale);
  Fresh fresh(elements.size());
  const auto x = random_tensors<T>(elements, scale, fresh);
  long double squares = 0;
  for (const auto& part : x)
    for (const T e : part) squares += (long double)(double(e)) * (long double)(double(e));
  const double norm = double(std::sqrt(squares));
  const bool many = x[0].size() > 100000;
  double first = -1;
  for (const std::size_t offset : {0, 1, 2})
    for (const double share : {0.3, 1.5}) {
      if (many && (offset > 0 || share > 1)) continue;
      const Tensors<T> tensors(x, offset);
      const double most = double(R(share * norm));
      const R got = clip<R>(tensors, most);
      CHECK(std::abs(double(got) - norm) <= double(std::numeric_limits<R>::epsilon()) * norm);
      if (first < 0) first = double(got);
      CHECK(double(got) == first);  // the same bits wherever the tensors lie
      const R factor = share > 1 ? R(1) : R(most) / got;
      std::int64_t wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto y = tensors.clipped(i);
        for (std::size_t k = 0; k < y.size(); ++k) {
          const T want = ergo::convert<T>(A(A(x[i][k]) * A(ergo::convert<T>(factor))));
          wrong += std::memcmp(&want, &y[k], sizeof(T)) != 0;
        }
      }
      CHECK(wrong == 0);
    }
}

template <class T>
void check_special_norms() {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T largest = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::denorm_min();
  const auto norm_of = [](const std::vector<T>& x) { return clip<T>(Tensors<T>({x}, 0), 1); };
  const auto clipped = [](const std::vector<T>& x, double most) {
    const Tensors<T> tensors({x}, 0);
    clip<T>(tensors, most);
    return tensors.clipped(0);
  };
  CHECK(norm_of({}) == 0);
  CHECK(norm_of({0, T(-0.0)}) == 0);
  CHECK(clipped({0, T(-0.0)}, 1) == std::vector<T>{0, T(-0.0)});
  CHECK(norm_of({3, 4}) == 5);
  CHECK(clipped({3, 4}, 1e308) == std::vector<T>{3, 4});
  CHECK(norm_of({largest}) == largest);
  CHECK(norm_of({least}) == least);
  CHECK(norm_of({3 * least, 4 * least}) == 5 * least);
  for (const std::vector<T>& x : {std::vector<T>{1, inf}, {-inf, least}, {largest, largest}}) {
    CHECK(norm_of(x) == inf);
    CHECK(std::isnan(clipped(x, 1)[0]));
  }
  for (const std::vector<T>& x : {std::vector<T>{1, nan}, {nan, inf}, {largest, nan}, {least, nan}}) {
    CHECK(std::isnan(norm_of(x)));
    CHECK(std::isnan(clipped(x, 1)[1]));
  }
}

}  // namespace

TEST_CASE("clipping by the global norm") {
  CAPTURE(test_seed());
  const std::vector<std::int64_t> some = {8192 * 3 + 11, 5, 0, 1000};
  check_clip<float, float>(some, 1);
  check_clip<float, float>(some, 1e20);
  check_clip<float, float>(some, 1e-25);
  check_clip<float, ergo::half>(some, 1);
  check_clip<float, ergo::bfloat16>(some, 1e19);
  check_clip<double, float>(some, 1);
  check_clip<double, double>(some, 1);
  check_clip<double, double>(some, 1e200);
  check_clip<double, double>(some, 1e-200);
  check_clip<double, double>(some, 0x1p486);  // on both sides of where squares are scaled
  check_clip<double, double>(some, 0x1p-511);
}
TEST_CASE("more chunks than parts, than blocks") {
  CAPTURE(test_seed());
  check_clip<float, float>({kUpdateChunk * (kClipBlocks + 3) + 5, 9}, 1);
}
TEST_CASE("norms of nothing, of the largest, the least, infinities and NaN") {
  check_special_norms<float>();
  check_special_norms<double>();
}

}  // namespace kernels_clip_test

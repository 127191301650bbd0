// Texts printed by NumPy 2.4 for the same arrays.
#include "ergo/core/print.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "ergo/autograd/structural.hpp"
#include "ergo/core/make.hpp"

namespace core_print_test {

using namespace ergo;

namespace {
template <class T>
Tensor<T> reshaped(const Tensor<T>& x, const Shape& s) {
  return Tensor<T>(detail::reshape(x.ref(), s));
}
template <class Make>
auto generated(std::int64_t n, Make make) {
  using T = decltype(make(0.0));
  return detail::generated<T>({n}, Device::cpu(), [&](std::int64_t i) { return make(double(i)); });
}
}  // namespace

TEST_CASE("rows and columns are aligned") {
  CHECK(to_string(zeros<float>({3})) == R"([0. 0. 0.])");
  CHECK(to_string(reshaped(arange<float>(6), {2, 3})) ==
        R"([[0. 1. 2.]
 [3. 4. 5.]])");
  CHECK(to_string(tensor<float>({{1.5, 2}, {3, 4.25}})) ==
        R"([[1.5  2.  ]
 [3.   4.25]])");
  CHECK(to_string(tensor<float>({-1, 0.5, 100})) == R"([ -1.    0.5 100. ])");
  CHECK(to_string(tensor<float>({-1.5, -2.25})) == R"([-1.5  -2.25])");
  CHECK(to_string(tensor<float>({-0.0, 0})) == R"([-0.  0.])");
  CHECK(to_string(reshaped(arange<float>(8), {2, 2, 2})) ==
        R"([[[0. 1.]
  [2. 3.]]

 [[4. 5.]
  [6. 7.]]])");
  CHECK(to_string(zeros<float>({1, 2, 1, 2})) ==
        R"([[[[0. 0.]]

  [[0. 0.]]]])");
}
TEST_CASE("digits: as many as tell the elements apart, at most eight decimals") {
  CHECK(to_string(tensor<float>({1 / 3.0f, 2 / 3.0f, 1})) == R"([0.33333334 0.6666667  1.        ])");
  CHECK(to_string(tensor<double>({1 / 3.0, 2 / 3.0, 1})) == R"([0.33333333 0.66666667 1.        ])");
  CHECK(to_string(tensor<double>({314.1592653589793})) == R"([314.15926536])");
  CHECK(to_string(tensor<float>({0.1})) == R"([0.1])");
  CHECK(to_string(tensor<double>({0.1, 0.123456789012})) == R"([0.1        0.12345679])");
}
TEST_CASE("16-bit digits tell 16-bit values apart") {
  CHECK(to_string(tensor<half>({0.1, 1000})) == R"([1.e-01 1.e+03])");
  CHECK(to_string(tensor<half>({65504, 1})) == R"([6.55e+04 1.00e+00])");
}
TEST_CASE("integers and bools") {
  CHECK(to_string(reshaped(arange<std::int32_t>(12), {3, 4})) ==
        R"([[ 0  1  2  3]
 [ 4  5  6  7]
 [ 8  9 10 11]])");
  CHECK(to_string(tensor<std::int64_t>({{-1, 10}, {100, -1000}})) ==
        R"([[   -1    10]
 [  100 -1000]])");
  CHECK(to_string(tensor<std::uint8_t>({1, 20, 255})) == R"([  1  20 255])");
  CHECK(to_string(tensor<bool>({{true, false}, {false, false}})) ==
        R"([[ True False]
 [False False]])");
}
TEST_CASE("NaN and infinities") {
  CHECK(to_string(tensor<float>({1, NAN, INFINITY, -INFINITY})) == R"([  1.  nan  inf -inf])");
  CHECK(to_string(tensor<float>({NAN, NAN})) == R"([nan nan])");
  CHECK(to_string(tensor<float>({INFINITY, -INFINITY})) == R"([ inf -inf])");
  CHECK(to_string(tensor<float>({0.001, NAN})) == R"([0.001   nan])");
  CHECK(to_string(tensor<double>({-1e-10, NAN, 1e10})) == R"([-1.e-10     nan  1.e+10])");
  CHECK(to_string(tensor<double>({1e-10, -INFINITY, 1e10})) == R"([1.e-10   -inf 1.e+10])");
}
TEST_CASE("exponents where magnitudes differ widely") {
  CHECK(to_string(tensor<double>({1e-10, 1, 1e10})) == R"([1.e-10 1.e+00 1.e+10])");
  CHECK(to_string(tensor<float>({1e-5f, 2e-5f})) == R"([1.e-05 2.e-05])");
  CHECK(to_string(tensor<float>({1e8, 1})) == R"([1.e+08 1.e+00])");
  CHECK(to_string(tensor<double>({123456.789, 0.5})) == R"([1.23456789e+05 5.00000000e-01])");
  CHECK(to_string(tensor<double>({1000, 1})) == R"([1000.    1.])");
  CHECK(to_string(tensor<double>({1001, 1})) == R"([1.001e+03 1.000e+00])");
  CHECK(to_string(tensor<double>({5e-324})) == R"([5.e-324])");
  CHECK(to_string(tensor<float>({std::numeric_limits<float>::max()})) == R"([3.4028235e+38])");
  CHECK(to_string(tensor<double>({1e100, 1})) == R"([1.e+100 1.e+000])");
  CHECK(to_string(tensor<float>({0.0001f, 0.1f})) == R"([1.e-04 1.e-01])");
  CHECK(to_string(tensor<float>({0, 1e-9f})) == R"([0.e+00 1.e-09])");
}
TEST_CASE("nothing, and one number") {
  CHECK(to_string(zeros<float>({0})) == R"([])");
  CHECK(to_string(zeros<float>({2, 0})) == R"([])");
  CHECK(to_string(zeros<float>({0, 3})) == R"([])");
  CHECK(to_string(Tensor<float>(2.5f)) == R"(2.5)");
  CHECK(to_string(Tensor<float>(1)) == R"(1.0)");
  CHECK(to_string(Tensor<float>(1e-7f)) == R"(1e-07)");
  CHECK(to_string(Tensor<float>(1e20f)) == R"(1e+20)");
  CHECK(to_string(Tensor<double>(1 / 3.0)) == R"(0.3333333333333333)");
  CHECK(to_string(Tensor<float>(NAN)) == R"(nan)");
  CHECK(to_string(Tensor<std::int32_t>(7)) == R"(7)");
  CHECK(to_string(Tensor<bool>(true)) == R"(True)");
}
TEST_CASE("long lines break at 75 columns") {
  CHECK(to_string(generated(20, [](double i) { return float(i) / 7; })) ==
        R"([0.         0.14285715 0.2857143  0.42857143 0.5714286  0.71428573
 0.85714287 1.         1.1428572  1.2857143  1.4285715  1.5714285
 1.7142857  1.8571428  2.         2.142857   2.2857144  2.4285715
 2.5714285  2.7142856 ])");
  CHECK(to_string(generated(40, [](double i) { return std::int32_t(i) * 1000; })) ==
        R"([    0  1000  2000  3000  4000  5000  6000  7000  8000  9000 10000 11000
 12000 13000 14000 15000 16000 17000 18000 19000 20000 21000 22000 23000
 24000 25000 26000 27000 28000 29000 30000 31000 32000 33000 34000 35000
 36000 37000 38000 39000])");
  CHECK(to_string(full<bool>({20}, true)) ==
        R"([ True  True  True  True  True  True  True  True  True  True  True  True
  True  True  True  True  True  True  True  True])");
}
TEST_CASE("more than a thousand elements are summarised") {
  CHECK(to_string(arange<float>(1001)) == R"([   0.    1.    2. ...  998.  999. 1000.])");
  CHECK(to_string(reshaped(arange<std::int32_t>(2000), {40, 50})) ==
        R"([[   0    1    2 ...   47   48   49]
 [  50   51   52 ...   97   98   99]
 [ 100  101  102 ...  147  148  149]
 ...
 [1850 1851 1852 ... 1897 1898 1899]
 [1900 1901 1902 ... 1947 1948 1949]
 [1950 1951 1952 ... 1997 1998 1999]])");
  CHECK(to_string(reshaped(arange<float>(1002), {334, 3})) ==
        R"([[0.000e+00 1.000e+00 2.000e+00]
 [3.000e+00 4.000e+00 5.000e+00]
 [6.000e+00 7.000e+00 8.000e+00]
 ...
 [9.930e+02 9.940e+02 9.950e+02]
 [9.960e+02 9.970e+02 9.980e+02]
 [9.990e+02 1.000e+03 1.001e+03]])");
  CHECK(to_string(reshaped(generated(1200, [](double i) { return std::uint8_t(int(i) % 256); }), {2, 600})) ==
        R"([[  0   1   2 ...  85  86  87]
 [ 88  89  90 ... 173 174 175]])");
  CHECK(to_string(reshaped(generated(4000, [](double i) { return float(i) / 3; }), {10, 20, 20})) ==
        R"([[[0.00000000e+00 3.33333343e-01 6.66666687e-01 ... 5.66666651e+00
   6.00000000e+00 6.33333349e+00]
  [6.66666651e+00 7.00000000e+00 7.33333349e+00 ... 1.23333330e+01
   1.26666670e+01 1.30000000e+01]
  [1.33333330e+01 1.36666670e+01 1.40000000e+01 ... 1.90000000e+01
   1.93333340e+01 1.96666660e+01]
  ...
  [1.13333336e+02 1.13666664e+02 1.14000000e+02 ... 1.19000000e+02
   1.19333336e+02 1.19666664e+02]
  [1.20000000e+02 1.20333336e+02 1.20666664e+02 ... 1.25666664e+02
   1.26000000e+02 1.26333336e+02]
  [1.26666664e+02 1.27000000e+02 1.27333336e+02 ... 1.32333328e+02
   1.32666672e+02 1.33000000e+02]]

 [[1.33333328e+02 1.33666672e+02 1.34000000e+02 ... 1.39000000e+02
   1.39333328e+02 1.39666672e+02]
  [1.40000000e+02 1.40333328e+02 1.40666672e+02 ... 1.45666672e+02
   1.46000000e+02 1.46333328e+02]
  [1.46666672e+02 1.47000000e+02 1.47333328e+02 ... 1.52333328e+02
   1.52666672e+02 1.53000000e+02]
  ...
  [2.46666672e+02 2.47000000e+02 2.47333328e+02 ... 2.52333328e+02
   2.52666672e+02 2.53000000e+02]
  [2.53333328e+02 2.53666672e+02 2.54000000e+02 ... 2.59000000e+02
   2.59333344e+02 2.59666656e+02]
  [2.60000000e+02 2.60333344e+02 2.60666656e+02 ... 2.65666656e+02
   2.66000000e+02 2.66333344e+02]]

 [[2.66666656e+02 2.67000000e+02 2.67333344e+02 ... 2.72333344e+02
   2.72666656e+02 2.73000000e+02]
  [2.73333344e+02 2.73666656e+02 2.74000000e+02 ... 2.79000000e+02
   2.79333344e+02 2.79666656e+02]
  [2.80000000e+02 2.80333344e+02 2.80666656e+02 ... 2.85666656e+02
   2.86000000e+02 2.86333344e+02]
  ...
  [3.80000000e+02 3.80333344e+02 3.80666656e+02 ... 3.85666656e+02
   3.86000000e+02 3.86333344e+02]
  [3.86666656e+02 3.87000000e+02 3.87333344e+02 ... 3.92333344e+02
   3.92666656e+02 3.93000000e+02]
  [3.93333344e+02 3.93666656e+02 3.94000000e+02 ... 3.99000000e+02
   3.99333344e+02 3.99666656e+02]]

 ...

 [[9.33333313e+02 9.33666687e+02 9.34000000e+02 ... 9.39000000e+02
   9.39333313e+02 9.39666687e+02]
  [9.40000000e+02 9.40333313e+02 9.40666687e+02 ... 9.45666687e+02
   9.46000000e+02 9.46333313e+02]
  [9.46666687e+02 9.47000000e+02 9.47333313e+02 ... 9.52333313e+02
   9.52666687e+02 9.53000000e+02]
  ...
  [1.04666663e+03 1.04700000e+03 1.04733337e+03 ... 1.05233337e+03
   1.05266663e+03 1.05300000e+03]
  [1.05333337e+03 1.05366663e+03 1.05400000e+03 ... 1.05900000e+03
   1.05933337e+03 1.05966663e+03]
  [1.06000000e+03 1.06033337e+03 1.06066663e+03 ... 1.06566663e+03
   1.06600000e+03 1.06633337e+03]]

 [[1.06666663e+03 1.06700000e+03 1.06733337e+03 ... 1.07233337e+03
   1.07266663e+03 1.07300000e+03]
  [1.07333337e+03 1.07366663e+03 1.07400000e+03 ... 1.07900000e+03
   1.07933337e+03 1.07966663e+03]
  [1.08000000e+03 1.08033337e+03 1.08066663e+03 ... 1.08566663e+03
   1.08600000e+03 1.08633337e+03]
  ...
  [1.18000000e+03 1.18033337e+03 1.18066663e+03 ... 1.18566663e+03
   1.18600000e+03 1.18633337e+03]
  [1.18666663e+03 1.18700000e+03 1.18733337e+03 ... 1.19233337e+03
   1.19266663e+03 1.19300000e+03]
  [1.19333337e+03 1.19366663e+03 1.19400000e+03 ... 1.19900000e+03
   1.19933337e+03 1.19966663e+03]]

 [[1.20000000e+03 1.20033337e+03 1.20066663e+03 ... 1.20566663e+03
   1.20600000e+03 1.20633337e+03]
  [1.20666663e+03 1.20700000e+03 1.20733337e+03 ... 1.21233337e+03
   1.21266663e+03 1.21300000e+03]
  [1.21333337e+03 1.21366663e+03 1.21400000e+03 ... 1.21900000e+03
   1.21933337e+03 1.21966663e+03]
  ...
  [1.31333337e+03 1.31366663e+03 1.31400000e+03 ... 1.31900000e+03
   1.31933337e+03 1.31966663e+03]
  [1.32000000e+03 1.32033337e+03 1.32066663e+03 ... 1.32566663e+03
   1.32600000e+03 1.32633337e+03]
  [1.32666663e+03 1.32700000e+03 1.32733337e+03 ... 1.33233337e+03
   1.33266663e+03 1.33300000e+03]]])");
}

TEST_CASE("exactly a thousand elements are printed in full") {
  const std::string text = to_string(arange<float>(1000));
  CHECK(text.starts_with("[  0.   1.   2.   3.   4.   5.   6.   7.   8.   9.  10.  11.  12.  13.\n  14.  15."));
  CHECK(text.ends_with("\n 994. 995. 996. 997. 998. 999.]"));
}

TEST_CASE("views print what they show, streams print the same text") {
  const Tensor<float> x = reshaped(arange<float>(6), {2, 3});
  CHECK(to_string(x[1]) == "[3. 4. 5.]");
  const std::int8_t swap[] = {1, 0};
  CHECK(to_string(Tensor<float>(detail::permute(x.ref(), swap))) == "[[0. 3.]\n [1. 4.]\n [2. 5.]]");
  std::ostringstream out;
  out << x << " " << x.shape() << " " << Shape{} << " " << Shape{7};
  CHECK(out.str() == to_string(x) + " (2, 3) () (7,)");
}

TEST_CASE("lines end with room for all brackets that may close") {
  CHECK(to_string(full<std::int32_t>({1, 1, 24}, 10)) ==
        R"([[[10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10
   10]]])");
  CHECK(to_string(full<std::int32_t>({25}, 10)) ==
        R"([10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10
 10])");
}

TEST_CASE("what the ellipsis hides has no say in the format") {
  const auto x = generated(2000, [](double i) { return i == 1000 ? 1e9f : 1.0f; });
  CHECK(to_string(x) == "[1. 1. 1. ... 1. 1. 1.]");
}

TEST_CASE("a view of more elements than memory holds is printed") {
  const Tensor<float> x(detail::broadcast_to(full<float>({}, 2.5).ref(), Shape{std::int64_t(1) << 40, 1 << 20}));
  const std::string row = "[2.5 2.5 2.5 ... 2.5 2.5 2.5]";
  const std::string three = row + "\n " + row + "\n " + row;
  CHECK(to_string(x) == "[" + three + "\n ...\n " + three + "]");
}

}  // namespace core_print_test

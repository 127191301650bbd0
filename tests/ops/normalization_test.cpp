// again: cuda
// Corners of rms_norm, group_norm and batch_norm: numbers worked by hand, offsets, constant and special data, 16 bits,
// statistics as results, what is refused.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/batch_norm.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/rms_norm.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/statistics.hpp"
#include "support/fresh.hpp"
#include "support/isas.hpp"
#include "support/message.hpp"

namespace ops_normalization_test {

using namespace ergo;

namespace {

// On the device that this source is compiled for.
template <class T>
Tensor<T> test_tensor(const Tensor<T>& x) {
  return x.to(default_device());
}
Tensor<float> about(Fresh& fresh, const Shape& s, double offset) {
  return fresh.tensor<float>(s, offset - 2, offset + 2);
}
template <class T>
double largest_difference(const Tensor<T>& a, const Tensor<double>& b) {
  const auto p = a.to_vector();
  const auto q = b.to_vector();
  REQUIRE(p.size() == q.size());
  double most = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double d = std::abs(double(p[i]) - q[i]);
    most = d <= most ? most : d;  // a NaN stays
  }
  return most;
}
template <class T>
bool all_finite(const Tensor<T>& x) {
  for (const auto v : x.to_vector())
    if (!std::isfinite(double(v))) return false;
  return true;
}

}  // namespace

TEST_CASE("numbers worked by hand") {
  const auto one = test_tensor(ones<double>({2})), none = test_tensor(zeros<double>({2}));
  // Columns (1, 3), (2, 6): means 2 and 4, variances 1 and 4.
  const auto x = test_tensor(tensor<double>({{1, 2}, {3, 6}}));
  const auto [y, mean, variance] = batch_norm(x, one, none, {.eps = 0});
  CHECK(y.to_vector() == std::vector<double>{-1, -1, 1, 1});
  CHECK(mean.to_vector() == std::vector<double>{2, 4});
  CHECK(variance.to_vector() == std::vector<double>{1, 4});
  CHECK(batch_norm(x, one, one, mean, variance, {.eps = 0}).to_vector() == std::vector<double>{0, 0, 2, 2});
  CHECK(batch_norm(x, one, none, none, variance, {.eps = 12}).at({1, 1}) == 1.5);
  CHECK(rms_norm(test_tensor(tensor<double>({{3, 4}, {-1, 1}})), one * std::sqrt(12.5), {.eps = 0}).to_vector() ==
        std::vector<double>{3, 4, -std::sqrt(12.5), std::sqrt(12.5)});
  // Neighbouring channels are a group: (1, 3), (2, 6), and (10, 30), (20, 60) of the second example.
  const auto four = test_tensor(ones<double>({4})), zero = test_tensor(zeros<double>({4}));
  CHECK(group_norm(test_tensor(tensor<double>({{1, 3, 2, 6}, {10, 30, 20, 60}})), 2, four, zero, {.eps = 0})
            .to_vector() == std::vector<double>{-1, 1, -1, 1, -1, 1, -1, 1});
}

TEST_CASE("PyTorch 2.15's numbers in double: torch.nn.functional.group_norm (2 groups), batch_norm, rms_norm") {
  std::vector<double> v, u;
  for (int i = 0; i < 16; ++i) {
    v.push_back((i * 7 % 11 - 4) / 4.0);
    u.push_back((i * 5 % 7 - 3) / 2.0);
  }
  const auto x = test_tensor(from_span<double>(v, {2, 2, 4})), g = test_tensor(from_span<double>(u, {2, 2, 4})),
             gamma = test_tensor(tensor<double>({0.5, -1, 2, 1.5})),
             beta = test_tensor(tensor<double>({0.25, 0, -1, 1}));
  using Values = std::vector<std::vector<double>>;  // y and the cotangents of x, gamma, beta for a cotangent g
  const auto check = [&](const Values& want, const auto& f) {
    using Three = std::tuple<Tensor<double>, Tensor<double>, Tensor<double>>;
    const auto d = grad([&](const Three& p) { return sum(g * f(std::get<0>(p), std::get<1>(p), std::get<2>(p))); })(
        Three{x, gamma, beta});
    const Tensor<double> got[] = {f(x, gamma, beta), std::get<0>(d), std::get<1>(d), std::get<2>(d)};
    for (std::size_t k = 0; k < want.size(); ++k)
      CHECK(largest_difference(got[k], from_span<double>(want[k], got[k].shape())) <= 1e-14);
  };
  using X = Tensor<double>;
  check(Values{{-0.40527163987286724, -1.1358041757796364, -3.621086559491469, 2.7037062636694547, 0.6431629839237203,
                0.6115868638813428, 0.5726519356948812, 0.08261970417798586, -0.40527163987286724, -1.1358041757796364,
                -1.5546967827170692, -1.0801129351890102, 0.6431629839237203, 0.6115868638813428, 1.7734839135853468,
                1.416022587037802},
               {-0.1840829548952323, -1.1684786292331428, 1.1498199521733383, 0.00532690418873516, 1.3685713214930444,
                -0.016009737364669152, 0.5682295772519024, -1.7233764336139754, -0.08802965273047525,
                -0.13339455905957237, -2.357455352963406, 0.41605245495849685, 0.12271343322472428, 0.09871077856532318,
                -0.5547266506377638, 2.496129548642673},
               {2.2279235755677487, 1.1358041757796367, -2.1959275277541956, -2.021188423788098},
               {1.5, 1.0, -3.0, 0.0}},
        [](const X& a, const X& w, const X& b) { return group_norm(a, 2, w, b); });
  check(Values{{-0.32539147923153044, -0.7844548857827862, -3.301565916926122, 3.0002952454199296, 0.6609939137368075,
                1.1766823286741794, 0.6439756549472297, 0.8947213028726353, -0.16099391373680744, -1.1766823286741794,
                -2.64397565494723, -1.210852639674659, 0.8253914792315304, 0.7844548857827862, 1.3015659169261218,
                1.3158360913820941},
               {-0.7198036228146187, -0.9956587340743266, 0.9775162532902688, 0.12859347523574183, 0.37323324587210804,
                -0.6637628347911724, 1.3684863567263255, -2.6221125536500995, 0.7775497125909528, 0.6637628347911724,
                -1.3684863567263255, 0.5227884565964835, -0.43097933564844215, 0.9956587340743266, -0.9775162532902688,
                1.9707306218178742},
               {2.7125598306629293, 0.5883411643370897, -1.3151805239577838, -3.2285467119058513},
               {1.5, 1.0, -3.0, 0.0}},
        [](const X& a, const X& w, const X& b) { return batch_norm(a, w, b).y; });
  check(Values{{-0.5079978860829549, -0.7619968291244323, -0.5079978860829549, 2.2859904873732972, 0.3429939421219302,
                0.6859878842438604, 3.4299394212193017, 0.5144909131828953, -0.46851762895713056, -1.2493803438856814,
                0.0, -1.8740705158285222, 0.42426135344795524, 0.28284090229863684, 3.394090827583642,
                0.8485227068959105},
               {-1.351923768555586, -0.5735505675925446, -0.1474817348577884, -0.6391032491021342, 1.4123207811805631,
                -1.069326839058633, -0.4136283814507894, -2.8952760016899854, -0.33518462104573155, 1.2798330573180963,
                -2.498760687771363, 1.5312727164246869, 1.2840848805128902, 0.23193381185918927, -1.3916028711551354,
                2.36454139926799},
               {2.040201580148349, 0.5604233381518205, -3.4030529759925567, -3.3468732826630085}},
        [](const X& a, const X& w, const X&) { return rms_norm(a, w); });
}

TEST_CASE("an offset of the data costs no accuracy") {
  Fresh fresh(1);
  on_each_isa([&] {
    for (const std::int64_t rows : {2, 7, 100, 3000})
      for (const std::int64_t n : {1, 3, 8, 12, 33, 260})
        for (const double offset : {0.0, 1e4, -1e4}) {
          if (rows * n > (default_device().is_cpu() ? 50000 : 3000)) continue;
          CAPTURE(rows);
          CAPTURE(n);
          CAPTURE(offset);
          const auto x = about(fresh, {rows, n}, offset), gamma = fresh.tensor<float>({n}, 0.5, 1.5),
                     beta = fresh.tensor<float>({n});
          const auto wide = cast<double>(x);
          const auto want = batch_norm(wide, cast<double>(gamma), cast<double>(beta));
          const auto got = batch_norm(test_tensor(x), test_tensor(gamma), test_tensor(beta));
          CHECK(largest_difference(got.y, want.y) <= (rows == 2 ? 2e-4 : 2e-5));  // two rows may be close
          // Sums of 7 numbers up to 2 in a chain are 2, ..., 14: of each 6e-8 may be lost, a seventh of it in the mean.
          CHECK(largest_difference(got.mean, want.mean) <= 1e-7 * (6 + std::abs(offset)));
          CHECK(largest_difference(got.variance, want.variance) <= 1e-5);
          // Against two passes in double, which share nothing with the kernel.
          const auto m = ergo::mean(wide, 0, true), d = wide - m;
          CHECK(largest_difference(want.variance, ergo::mean(square(d), 0)) <= 1e-12);
          for (const std::int64_t groups : {std::int64_t(1), n}) {
            const auto one =
                group_norm(test_tensor(reshape(x, {1, rows, n})), groups, test_tensor(gamma), test_tensor(beta));
            const auto all = group_norm(reshape(wide, {1, rows, n}), groups, cast<double>(gamma), cast<double>(beta));
            CHECK(largest_difference(one, all) <= (rows * n / groups == 2 ? 2e-4 : 2e-5));
          }
        }
  });
}

TEST_CASE("constant data give beta, and derivatives that are finite") {
  const std::int64_t n = 6;
  const auto gamma = test_tensor(full<double>({n}, 1.5)), beta = test_tensor(full<double>({n}, 0.25)),
             x = test_tensor(full<double>({4, 3, n}, 0.1)), u = test_tensor(full<double>({4, 3, n}, 2.0));
  const auto check = [&](const char* name, double value, const auto& f) {
    CAPTURE(name);
    for (const double v : f(x).to_vector()) CHECK(v == value);
    const auto s = [&](const Tensor<double>& p) { return sum(f(p) * f(p) * p); };
    CHECK(all_finite(grad(s)(x)));
    CHECK(all_finite(hvp(s)(x, u)));
    CHECK(all_finite(grad([&](const Tensor<double>& p) { return sum(hvp(s)(p, u)); })(x)));
  };
  check("group_norm", 0.25, [&](const Tensor<double>& p) { return group_norm(p, 3, gamma, beta); });
  check("group_norm of one", 0.25, [&](const Tensor<double>& p) { return group_norm(p, 1, gamma, beta); });
  check("batch_norm", 0.25, [&](const Tensor<double>& p) { return batch_norm(p, gamma, beta).y; });
  check("variance", 0, [&](const Tensor<double>& p) { return batch_norm(p, gamma, beta).variance; });
  const auto zero = x * 0.0;
  const auto rms = [&](const Tensor<double>& p) { return sum(rms_norm(p, gamma) * p); };
  CHECK(rms_norm(zero, gamma).to_vector() == zero.to_vector());
  CHECK(all_finite(grad(rms)(zero)));
  CHECK(all_finite(hvp(rms)(zero, u)));
}

TEST_CASE("eps 0 leaves constant data undefined") {
  const auto w = test_tensor(ones<float>({2})), x = test_tensor(zeros<float>({3, 1, 2}));
  const auto none = [](const Tensor<float>& y) {
    for (const float v : y.to_vector()) CHECK(std::isnan(v));
  };
  none(group_norm(x, 2, w, w, {.eps = 0}));
  none(batch_norm(x, w, w, {.eps = 0}).y);
  none(layer_norm(x, w, w, {.eps = 0}));
  none(rms_norm(x, w, {.eps = 0}));
}

TEST_CASE("data whose squares overflow are normalised as layer_norm does, to beta, and their gradients are finite") {
  for (const float size : {1e20f, 1e30f})
    for (const std::int64_t rows : {3, 70, 5000})
      for (const std::int64_t n : {1, 6}) {
        CAPTURE(size);
        CAPTURE(rows);
        CAPTURE(n);
        std::vector<float> v;
        for (std::int64_t i = 0; i < rows * n; ++i) v.push_back(float(1 + i * 7 % 5) * size);
        const auto x = test_tensor(from_span<float>(v, {rows, n})), gamma = test_tensor(full<float>({n}, 1.5f)),
                   beta = test_tensor(full<float>({n}, 0.25f));
        const auto one = [&](const Tensor<float>& p) { return reshape(p, {1, rows, n}); };
        const auto check = [&](const auto& f) {
          std::int64_t wrong = 0;
          for (const float y : f(x).to_vector()) wrong += y != 0.25f;
          for (const float d : grad([&](const Tensor<float>& p) { return sum(f(p)); })(x).to_vector()) wrong += d != 0;
          CHECK(wrong == 0);
        };
        check([&](const Tensor<float>& p) { return batch_norm(p, gamma, beta).y; });
        check([&](const Tensor<float>& p) { return group_norm(one(p), n, gamma, beta); });
        check([&](const Tensor<float>& p) { return group_norm(one(p), 1, gamma, beta); });
      }
  const auto x = test_tensor(tensor<float>({1e20f, 3e20f, 4e20f})), one = test_tensor(ones<float>({1})),
             three = test_tensor(ones<float>({3}));
  CHECK(batch_norm(reshape(x, {3, 1}), one, one).y.to_vector() == layer_norm(x, three, three).to_vector());
}

TEST_CASE("derivatives of tiny data without eps: no square of the scale overflows") {
  Fresh fresh(4);
  for (const std::int64_t rows : {5, 4000}) {
    const auto x = fresh.tensor<float>({1, rows, 6}, -1, 1) * 1e-20f, g = fresh.tensor<float>({1, rows, 6}),
               gamma = fresh.tensor<float>({6}, 0.5, 1.5), beta = fresh.tensor<float>({6});
    const auto check = [&](const char* name, const auto& f) {
      CAPTURE(name);
      const auto pulled = [&]<class T>(const Tensor<T>& p, const Tensor<T>& w, const Tensor<T>& b,
                                       const Tensor<T>& cotangent) {
        return ergo::vjp([&](const Tensor<T>& q) { return f(q, w, b); }, p).second(cotangent);
      };
      const auto got = pulled(test_tensor(x), test_tensor(gamma), test_tensor(beta), test_tensor(g));
      const auto want = pulled(cast<double>(x), cast<double>(gamma), cast<double>(beta), cast<double>(g));
      CHECK(all_finite(got));
      CHECK(largest_difference(got, want) <= 1e-3 * max(abs(want)).item());  // the variance is a denormal
      CHECK(max(abs(want)).item() > 1e19);
    };
    check("group_norm", [](const auto& p, const auto& w, const auto& b) { return group_norm(p, 2, w, b, {.eps = 0}); });
    check("batch_norm", [](const auto& p, const auto& w, const auto& b) { return batch_norm(p, w, b, {.eps = 0}).y; });
  }
}

TEST_CASE("rms_norm mapped over gamma") {
  Fresh fresh(5);
  const auto x = fresh.tensor<float>({3, 7}), gammas = fresh.tensor<float>({4, 7});
  const auto there = test_tensor(x), weights = test_tensor(gammas);
  const auto all = vmap([&](const Tensor<float>& w) { return rms_norm(there, w); })(weights);
  const auto each = [&](const Tensor<float>& t, std::int64_t i) { return reshape(slice(t, 0, i, i + 1), {7}); };
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(reshape(slice(all, 0, i, i + 1), {3, 7}).to_vector() == rms_norm(there, each(weights, i)).to_vector());
}

TEST_CASE("a NaN or an infinity spoils what it is normalised with, and nothing else") {
  for (const double bad : {NAN, INFINITY, -INFINITY}) {
    CAPTURE(bad);
    std::vector<float> v(2 * 5 * 4, 0.5f);
    v[5 * 4 + 3 * 4 + 1] = float(bad);  // example 1, row 3, channel 1
    const auto x = test_tensor(from_span<float>(v, {2, 5, 4}));
    const auto gamma = test_tensor(ones<float>({4})), beta = test_tensor(zeros<float>({4}));
    const auto group = group_norm(x, 2, gamma, beta).to_vector(), batch = batch_norm(x, gamma, beta).y.to_vector(),
               rms = rms_norm(x, gamma).to_vector();
    for (std::size_t i = 0; i < v.size(); ++i) {
      CHECK(std::isnan(group[i]) == (i >= 20 && i % 4 < 2));
      CHECK(std::isnan(batch[i]) == (i % 4 == 1));
      CHECK(std::isnan(rms[i]) == (std::isnan(bad) ? i / 4 == 8 : i == 5 * 4 + 3 * 4 + 1));
    }
  }
}

TEST_CASE_TEMPLATE("16 bits are computed in float and rounded once", T, bfloat16, half) {
  Fresh fresh(2);
  const auto x = fresh.tensor<T>({6, 5, 8}), gamma = fresh.tensor<T>({8}), beta = fresh.tensor<T>({8});
  const auto fx = cast<float>(x), fw = cast<float>(gamma), fb = cast<float>(beta);
  const auto there = test_tensor(x);
  const auto w = test_tensor(gamma), b = test_tensor(beta);
  const auto same = [](const Tensor<T>& got, const Tensor<float>& want) {
    // Half a unit of the last place, and a little where float itself differs by its last bits.
    const auto p = cast<float>(got).to_vector(), q = want.to_vector();
    const double unit = std::is_same_v<T, half> ? 0x1p-11 : 0x1p-8;
    for (std::size_t i = 0; i < p.size(); ++i)
      CHECK(std::abs(double(p[i]) - double(q[i])) <= 1.02 * unit * std::abs(double(q[i])) + 1e-6);
  };
  same(group_norm(there, 2, w, b), group_norm(fx, 2, fw, fb));
  same(rms_norm(there, w), rms_norm(fx, fw));
  const auto [y, mean, variance] = batch_norm(there, w, b);
  const auto want = batch_norm(fx, fw, fb);
  same(y, want.y);
  same(mean, want.mean);
  same(variance, want.variance);
  same(batch_norm(there, w, b, mean, variance),
       batch_norm(fx, fw, fb, cast<float>(mean.cpu()), cast<float>(variance.cpu())));
  // The cotangents too, of one for y.
  const auto g = fresh.tensor<T>({6, 5, 8});
  const auto pulled = [](const auto& cotangent, const auto& x0, const auto& f) {
    return ergo::vjp(f, x0).second(cotangent);
  };
  same(pulled(test_tensor(g), there, [&](const Tensor<T>& p) { return group_norm(p, 4, w, b); }),
       pulled(cast<float>(g), fx, [&](const Tensor<float>& p) { return group_norm(p, 4, fw, fb); }));
  same(pulled(test_tensor(g), w, [&](const Tensor<T>& p) { return batch_norm(there, p, b).y; }),
       pulled(cast<float>(g), fw, [&](const Tensor<float>& p) { return batch_norm(fx, p, fb).y; }));
  same(pulled(test_tensor(g), there, [&](const Tensor<T>& p) { return rms_norm(p, w); }),
       pulled(cast<float>(g), fx, [&](const Tensor<float>& p) { return rms_norm(p, fw); }));
  // What reaches x through all three results is one sum.
  const auto through_all = [](const auto& cotangents, const auto& x0, const auto& weight, const auto& shift) {
    return ergo::vjp(
               [&](const auto& p) {
                 const auto r = batch_norm(p, weight, shift);
                 return std::tuple{r.y, r.mean, r.variance};
               },
               x0)
        .second(cotangents);
  };
  const auto u = fresh.tensor<T>({8}, 10, 20), v = fresh.tensor<T>({8}, 10, 20);
  same(through_all(std::tuple{test_tensor(g), test_tensor(u), test_tensor(v)}, there, w, b),
       through_all(std::tuple{cast<float>(g), cast<float>(u), cast<float>(v)}, fx, fw, fb));
}

TEST_CASE("the statistics are results: derivatives flow through those that are used") {
  Fresh fresh(3);
  const auto x = test_tensor(fresh.tensor<double>({7, 3})), gamma = test_tensor(fresh.tensor<double>({3})),
             beta = test_tensor(fresh.tensor<double>({3})), w = test_tensor(fresh.tensor<double>({3}));
  const auto by_hand = [](const Tensor<double>& p) { return ergo::mean(p, 0); };
  const auto close = [](const Tensor<double>& a, const Tensor<double>& b) {
    CHECK(allclose(a.cpu(), b.cpu(), {.rtol = 1e-12, .atol = 1e-13}));
  };
  close(grad([&](const Tensor<double>& p) { return sum(batch_norm(p, gamma, beta).mean * w); })(x),
        grad([&](const Tensor<double>& p) { return sum(by_hand(p) * w); })(x));
  close(grad([&](const Tensor<double>& p) { return sum(batch_norm(p, gamma, beta).variance * w); })(x),
        grad([&](const Tensor<double>& p) { return sum(variance(p, 0) * w); })(x));
  // Handed out beside a loss, they leave its gradient as it is.
  const auto loss = [&](const Tensor<double>& p) { return sum(square(batch_norm(p, gamma, beta).y) * w); };
  const auto with = value_and_grad([&](const Tensor<double>& p) {
    const auto r = batch_norm(p, gamma, beta);
    return std::pair{sum(square(r.y) * w), std::pair{stop_gradient(r.mean), stop_gradient(r.variance)}};
  })(x);
  CHECK(with.second.to_vector() == grad(loss)(x).to_vector());
  close(with.first.second.first, by_hand(x));
}

TEST_CASE("no elements") {
  const auto w = test_tensor(ones<float>({4})), none = test_tensor(zeros<float>({0}));
  CHECK(group_norm(test_tensor(zeros<float>({0, 3, 4})), 2, w, w).shape() == Shape{0, 3, 4});
  CHECK(group_norm(test_tensor(zeros<float>({2, 0, 4})), 2, w, w).shape() == Shape{2, 0, 4});
  CHECK(group_norm(test_tensor(zeros<float>({2, 3, 0})), 1, none, none).shape() == Shape{2, 3, 0});
  CHECK(batch_norm(test_tensor(zeros<float>({2, 0})), none, none).mean.shape() == Shape{0});
  CHECK(rms_norm(test_tensor(zeros<float>({0, 4})), w).shape() == Shape{0, 4});
  const auto d = grad([&](const Tensor<float>& p) {
    return sum(group_norm(test_tensor(zeros<float>({0, 3, 4})), 2, p, w));
  })(w);
  CHECK(d.to_vector() == std::vector<float>(4, 0));
}

TEST_CASE("what is refused") {
  const auto z = [](const Shape& s) { return test_tensor(zeros<float>(s)); };
  CHECK(message_of([&] {
          group_norm(z({2, 3, 6}), 4, z({6}), z({6}));
        }) == "[group_norm] (2, 3, 6) x (6,) x (6,): 4 groups do not divide 6 channels");
  CHECK(message_of([&] {
          group_norm(z({2, 3, 6}), 0, z({6}), z({6}));
        }) == "[group_norm] (2, 3, 6) x (6,) x (6,): 0 groups do not divide 6 channels");
  CHECK(message_of([&] {
          group_norm(z({2, 3, 6}), 2, z({3}), z({6}));
        }) == "[group_norm] (2, 3, 6) x (3,) x (6,): gamma and beta must have the extent 6 of the last axis");
  CHECK(message_of([&] { group_norm(z({6}), 2, z({6}), z({6})); }) ==
        "[group_norm] (6,) x (6,) x (6,): x (N, ..., C) needs axes of examples and of channels");
  CHECK(message_of([&] {
          group_norm(z({2, 6}), 2, z({6}), z({6}), {.eps = -1});
        }) == "[group_norm] (2, 6) x (6,) x (6,): .eps is negative");
  CHECK(message_of([&] {
          batch_norm(z({2, 3}), z({3}), z({1, 3}));
        }) == "[batch_norm] (2, 3) x (3,) x (1, 3): gamma and beta must have the extent 3 of the last axis");
  CHECK(message_of([&] {
          batch_norm(z({1, 3}), z({3}), z({3}));
        }) == "[batch_norm] (1, 3) x (3,) x (3,): statistics of 1 elements a channel (give mean and variance instead)");
  CHECK(message_of([&] { batch_norm(z({}), z({1}), z({1})); }) ==
        "[batch_norm] () x (1,) x (1,): x (..., C) needs an axis of channels");
  CHECK(message_of([&] {
          batch_norm(z({2, 3}), z({3}), z({3}), {.eps = NAN});
        }) == "[batch_norm] (2, 3) x (3,) x (3,): .eps is NaN");
  CHECK(message_of([&] {
          batch_norm(z({2, 3}), z({3}), z({3}), z({2}), z({3}));
        }) ==
        "[batch_norm] (2, 3) x (3,) x (3,) x (2,) x (3,): gamma, beta, mean and variance must have the extent 3 of the "
        "last axis");
  CHECK(message_of([&] {
          rms_norm(z({2, 3}), z({2}));
        }) == "[rms_norm] (2, 3) x (2,): gamma must have the extent 3 of the last axis");
  CHECK(message_of([&] { rms_norm(z({}), z({1})); }) == "[rms_norm] () x (1,): x needs an axis to normalise along");
  CHECK(message_of([&] {
          rms_norm(z({2, 3}), z({3}), {.eps = -1e-5});
        }) == "[rms_norm] (2, 3) x (3,): .eps is negative");
}

}  // namespace ops_normalization_test

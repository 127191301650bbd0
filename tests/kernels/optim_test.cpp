// label: simt
// Steps of optimisers over many tensors, against the rules written as loops and against the CPU.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include "ergo/kernels/optim.cuh"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace kernels_optim_test {

using namespace ergo::cuda;
using test::DeviceArray;
namespace cpu = ergo::cpu;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// A product that no compiler fuses with a sum.
template <class A>
A times(A a, A b) {
  volatile A r = a * b;
  return r;
}

template <class A>
void reference(const cpu::SgdRule<false>& r, A& p, A given, A*) {
  p = std::fma(A(-r.lr), std::fma(A(r.decay), p, given), p);
}
template <class A>
void reference(const cpu::SgdRule<true>& r, A& p, A given, A* s) {
  const A g = std::fma(A(r.decay), p, given);
  s[0] = std::fma(A(r.momentum), s[0], g);
  p = std::fma(A(-r.lr), r.nesterov ? std::fma(A(r.momentum), s[0], g) : s[0], p);
}
template <class A>
void reference(const cpu::AdamRule& r, A& p, A given, A* s) {
  const A g = std::fma(A(r.decay), p, given);
  s[0] = std::fma(A(1 - r.beta1), A(g - s[0]), s[0]);
  s[1] = std::fma(times(A(1 - r.beta2), g), g, times(A(r.beta2), s[1]));
  p = std::fma(A(r.shrink), p, -(times(A(r.step), s[0]) / std::fma(A(std::sqrt(s[1])), A(r.root), A(r.eps))));
}
template <class A>
void reference(const cpu::AverageRule& r, A& p, A g, A*) {
  p = std::fma(A(r.rate), A(g - p), p);
}

// Tensors of the numbers of elements given, each array `offset` elements off its allocation, and their images here.
template <class T, class G>
struct Model {
  struct Part {
    std::vector<T> p, s[cpu::kMostStates];
    std::vector<G> g;
    std::unique_ptr<DeviceArray<T>> device_p, device_out, device_s[cpu::kMostStates], device_s_out[cpu::kMostStates];
    std::unique_ptr<DeviceArray<G>> device_g, device_copy;
  };
  std::vector<Part> parts;
  std::int64_t offset;
  std::unique_ptr<DeviceArray<UpdateTensor<T, G>>> tensors;
  std::unique_ptr<DeviceArray<UpdateChunk>> chunks;

  Model(const std::vector<std::int64_t>& elements, std::int64_t off, bool in_place, bool copies) : offset(off) {
    Fresh fresh(elements.size() + std::size_t(off));
    std::vector<UpdateTensor<T, G>> list;
    for (const std::int64_t n : elements) {
      Part& a = parts.emplace_back();
      const std::size_t size = std::size_t(n + off);
      for (std::size_t i = 0; i < size; ++i) {
        a.p.push_back(ergo::convert<T>(fresh.uniform(-2, 2)));
        a.g.push_back(ergo::convert<G>(fresh.uniform(-1, 1)));
        a.s[0].push_back(ergo::convert<T>(fresh.uniform(-1, 1)));
        a.s[1].push_back(ergo::convert<T>(fresh.uniform(0, 1)));
      }
      a.device_p = std::make_unique<DeviceArray<T>>(a.p);
      a.device_g = std::make_unique<DeviceArray<G>>(a.g);
      if (!in_place) a.device_out = std::make_unique<DeviceArray<T>>(std::vector<T>(size));
      if (copies) a.device_copy = std::make_unique<DeviceArray<G>>(std::vector<G>(size));
      UpdateTensor<T, G> t{};
      t.in = a.device_p->data() + off;
      t.gradient = a.device_g->data() + off;
      t.out = (in_place ? a.device_p : a.device_out)->data() + off;
      t.copy = copies ? a.device_copy->data() + off : nullptr;
      t.n = n;
      for (int k = 0; k < cpu::kMostStates; ++k) {
        a.device_s[k] = std::make_unique<DeviceArray<T>>(a.s[k]);
        if (!in_place) a.device_s_out[k] = std::make_unique<DeviceArray<T>>(std::vector<T>(size));
        t.s_in[k] = a.device_s[k]->data() + off;
        t.s_out[k] = (in_place ? a.device_s[k] : a.device_s_out[k])->data() + off;
      }
      list.push_back(t);
    }
    tensors = std::make_unique<DeviceArray<UpdateTensor<T, G>>>(list);
    chunks = std::make_unique<DeviceArray<UpdateChunk>>(chunks_of(elements));
  }
  std::int64_t n_chunks() const { return std::int64_t(chunks->size()); }

  // One step by the loops above, on the images; then compares all bits.
  template <class Rule>
  void check(const Rule& rule) {
    using A = ergo::Compute<T>;
    std::int64_t wrong = 0;
    for (Part& a : parts) {
      const bool in_place = !a.device_out;
      const auto p = (in_place ? a.device_p : a.device_out)->host();
      std::vector<T> s[cpu::kMostStates];
      for (int k = 0; k < Rule::states; ++k) s[k] = (in_place ? a.device_s : a.device_s_out)[k]->host();
      const auto copy = a.device_copy ? a.device_copy->host() : std::vector<G>();
      for (std::size_t i = std::size_t(offset); i < a.p.size(); ++i) {
        A value = A(a.p[i]), state[cpu::kMostStates] = {A(a.s[0][i]), A(a.s[1][i])};
        reference(rule, value, A(ergo::Compute<G>(a.g[i])), state);
        a.p[i] = ergo::convert<T>(value);
        wrong += std::memcmp(&a.p[i], &p[i], sizeof(T)) != 0;
        for (int k = 0; k < Rule::states; ++k) {
          a.s[k][i] = ergo::convert<T>(state[k]);
          wrong += std::memcmp(&a.s[k][i], &s[k][i], sizeof(T)) != 0;
        }
        if (a.device_copy) {
          const G expected = ergo::convert<G>(a.p[i]);
          wrong += std::memcmp(&expected, &copy[i], sizeof(G)) != 0;
        }
      }
      if (in_place) {  // what lies before the tensor is untouched
        for (std::size_t i = 0; i < std::size_t(offset); ++i) wrong += std::memcmp(&a.p[i], &p[i], sizeof(T)) != 0;
      }
    }
    CHECK(wrong == 0);
  }
};

const cpu::AdamRule adam{
    .step = 1.7e-3, .beta1 = 0.9, .beta2 = 0.999, .root = 3.3, .eps = 1e-8, .decay = 0.01, .shrink = 1};
const cpu::AdamRule adamw{
    .step = 1.7e-3, .beta1 = 0.9, .beta2 = 0.95, .root = 1.2, .eps = 1e-6, .decay = 0, .shrink = 0.999};

const std::vector<std::int64_t> shapes[] = {{}, {0}, {1}, {3, 0, 7, 2048}, {8192, 8193, 5}, {17001}};

template <class Rule, class T, class G = T>
void check_rule(const Rule& rule) {
  CAPTURE(test_seed());
  CAPTURE(sizeof(T));
  for (const auto& shape : shapes)
    for (const std::int64_t offset : {0, 1})
      for (const bool in_place : {true, false}) {
        Model<T, G> m(shape, offset, in_place, offset == 1 || !std::is_same_v<T, G>);
        for (int step = 0; step < (in_place ? 2 : 1); ++step) {
          launch_update(stream(), rule, m.tensors->data(), m.chunks->data(), m.n_chunks());
          m.check(rule);
        }
      }
}

TEST_CASE_TEMPLATE("steps are the rules' bits, aligned or not, in place or not", T, float, double, ergo::half,
                   ergo::bfloat16) {
  check_rule<cpu::SgdRule<false>, T>({0.1, 0, 0.02, false});
  check_rule<cpu::SgdRule<true>, T>({0.1, 0.9, 0.02, false});
  check_rule<cpu::SgdRule<true>, T>({0.1, 0.9, 0, true});
  check_rule<cpu::AdamRule, T>(adam);
  check_rule<cpu::AdamRule, T>(adamw);
  check_rule<cpu::AverageRule, T>({0.001});
}

TEST_CASE("float tensors with gradients and copies of 16 bits") {
  check_rule<cpu::AdamRule, float, ergo::bfloat16>(adamw);
  check_rule<cpu::SgdRule<true>, float, ergo::half>({0.1, 0.9, 0.02, true});
}

template <class T, class Rule>
void against_cpu(const char* name, const Rule& rule) {
  Model<T, T> m({20011}, 0, true, false);
  auto& part = m.parts[0];
  launch_update(stream(), rule, m.tensors->data(), m.chunks->data(), m.n_chunks());
  const auto p = part.device_p->host();
  cpu::UpdateRun run{};
  run.n = std::int64_t(part.p.size());
  run.kernel = &cpu::update_kernel<Rule, T>;
  run.out = reinterpret_cast<std::byte*>(part.p.data());
  run.in = run.out;
  run.gradient = reinterpret_cast<const std::byte*>(part.g.data());
  for (int k = 0; k < cpu::kMostStates; ++k) {
    run.s_out[k] = reinterpret_cast<std::byte*>(part.s[k].data());
    run.s_in[k] = run.s_out[k];
  }
  cpu::update_runs(rule, {run});
  std::int64_t differ = 0;
  double worst = 0;
  const double unit = sizeof(T) == 8                  ? 0x1p-53
                      : sizeof(T) == 4                ? 0x1p-24
                      : std::is_same_v<T, ergo::half> ? 0x1p-11
                                                      : 0x1p-8;
  for (std::size_t i = 0; i < p.size(); ++i) {  // terms are below 4: the CPU's fma may be two operations
    differ += std::memcmp(&p[i], &part.p[i], sizeof(T)) != 0;
    worst = std::max(worst, std::abs(double(p[i]) - double(part.p[i])) / (4 * unit));
  }
  std::printf("%s, %d bytes: %lld of %zu elements differ from the CPU, by %.2f * 4 half units at most\n", name,
              int(sizeof(T)), (long long)(differ), p.size(), worst);
  CHECK(worst <= 2);
}
template <class T>
void all_against_cpu() {
  against_cpu<T>("sgd", cpu::SgdRule<false>{0.1, 0, 0.02, false});
  against_cpu<T>("momentum", cpu::SgdRule<true>{0.1, 0.9, 0.02, true});
  against_cpu<T>("adam", adam);
  against_cpu<T>("adamw", adamw);
}
TEST_CASE("the CPU's steps, but for contractions") {
  CAPTURE(test_seed());
  all_against_cpu<float>();
  all_against_cpu<double>();
  all_against_cpu<ergo::bfloat16>();
}

TEST_CASE("a rule is stored on the device and read there") {
  CAPTURE(test_seed());
  Model<float, float> m({9000, 7}, 0, true, false);
  const cpu::SgdRule<true> rule{0.1, 0.9, 0.02, true};
  const DeviceArray<cpu::SgdRule<true>> stored(1);
  launch_rule(stream(), rule, stored.data());
  launch_update(stream(), cpu::SgdRule<true>{}, m.tensors->data(), m.chunks->data(), m.n_chunks(), stored.data());
  m.check(rule);
}
TEST_CASE("a rule may be read from the device, which can count Adam's steps") {
  CAPTURE(test_seed());
  for (const bool decoupled : {false, true}) {
    Model<float, float> m({9000, 7}, 0, true, false);
    const AdamNumbers o{1e-2, 0.9, 0.999, 1e-8, 0.1, decoupled};
    const DeviceArray<AdamNumbers> options(std::vector<AdamNumbers>{o});
    const DeviceArray<std::int64_t> steps(std::vector<std::int64_t>{4});
    const DeviceArray<cpu::AdamRule> rule(1);
    for (double t = 5; t < 8; ++t) {
      launch_adam_rule(stream(), options.data(), steps.data(), rule.data());
      launch_update(stream(), adam, m.tensors->data(), m.chunks->data(), m.n_chunks(), rule.data());
      const cpu::AdamRule r = rule.host()[0];
      CHECK(steps.host()[0] == std::int64_t(t));
      CHECK(r.step == doctest::Approx(o.lr / (1 - std::pow(o.beta1, t))).epsilon(1e-14));
      CHECK(r.root == doctest::Approx(1 / std::sqrt(1 - std::pow(o.beta2, t))).epsilon(1e-12));
      CHECK(r.beta1 == o.beta1);
      CHECK(r.beta2 == o.beta2);
      CHECK(r.eps == o.eps);
      CHECK(r.decay == (decoupled ? 0 : 0.1));
      CHECK(r.shrink == doctest::Approx(decoupled ? 1 - 1e-3 : 1.0).epsilon(1e-15));
      m.check(r);
    }
  }
}

}  // namespace kernels_optim_test

#include "programs/generate.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "programs/interpret.hpp"

namespace programs {
namespace {

using Values = std::vector<Value<Jet>>;

constexpr int kMostElements = 48, kMostRank = 4;
constexpr Real kMostValue = 30, kMostDerivative = 300;

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed) {}

  int up_to(int n) { return n <= 1 ? 0 : int(hash(state_++, 5) % std::uint64_t(n)); }  // 0 ... n - 1
  int between(int low, int high) { return low + up_to(high - low + 1); }
  bool chance(int percent) { return up_to(100) < percent; }

  Extents shape(int rank) {
    Extents s;
    for (int d = 0; d < rank; ++d) s.push_back(between(1, 4));
    return s;
  }

  // Adds so many steps; `depth` bodies stand around, `derived` tells that one of them is differentiated.
  void grow(Program& p, Values& values, int steps, int depth, bool derived) {
    for (int tries = 0; int(p.steps.size()) < steps && tries < 60 * steps; ++tries) {
      try {
        std::optional<Step> step = propose(values, depth, derived);
        if (!step) continue;
        Value<Jet> y = run_step(*step, values, {});
        if (y.at.empty() || int(y.at.size()) > kMostElements || int(y.shape.size()) > kMostRank) continue;
        bool moderate = true;
        for (const Jet& e : y.at) moderate = moderate && std::fabs(e.v) <= kMostValue && size(e) <= kMostDerivative;
        if (!moderate) continue;
        values.push_back(std::move(y));
        p.steps.push_back(std::move(*step));
      } catch (const std::invalid_argument&) {  // shapes that do not fit, derivatives nested too deep
      }
    }
  }

 private:
  int pick(const Values& v) { return chance(50) ? int(v.size()) - 1 : up_to(int(v.size())); }
  // A value of which `fits` holds, -1 if a few looks find none.
  template <class F>
  int pick_if(const Values& v, F fits) {
    for (int i = 0; i < 8; ++i) {
      const int k = pick(v);
      if (fits(v[std::size_t(k)].shape)) return k;
    }
    return -1;
  }
  Op one_of(std::initializer_list<Op> ops) { return ops.begin()[up_to(int(ops.size()))]; }

  std::optional<Step> propose(const Values& v, int depth, bool derived) {
    const int kind = up_to(100);
    if (kind < 30) return unary(v);
    if (kind < 54) return binary(v);
    if (kind < 66) return along_axis(v);
    if (kind < 84) return movement(v);
    if (kind < 92) return product(v);
    if (depth >= 2) return std::nullopt;
    return block(v, depth, derived);
  }

  std::optional<Step> unary(const Values& v) {
    const int x = pick(v);
    if (chance(12)) return Step{Op::scale, {x}, {between(-200, 200)}, nullptr};
    if (chance(8)) return Step{Op::shift, {x}, {between(-200, 200)}, nullptr};
    if (chance(6)) return Step{Op::clip, {x}, {between(-100, -10), between(10, 100)}, nullptr};
    if (chance(4)) return Step{Op::stop_gradient, {x}, {}, nullptr};
    return Step{Op(up_to(int(Op::stop_gradient))), {x}, {}, nullptr};
  }
  std::optional<Step> binary(const Values& v) {
    if (chance(8)) return Step{Op::where, {pick(v), pick(v), pick(v)}, {}, nullptr};
    return Step{Op(int(Op::add) + up_to(int(Op::scale) - int(Op::add))), {pick(v), pick(v)}, {}, nullptr};
  }
  std::optional<Step> along_axis(const Values& v) {
    const int x = pick_if(v, [](const Extents& s) { return !s.empty(); });
    if (x < 0) return std::nullopt;
    const Extents& s = v[std::size_t(x)].shape;
    const int axis = up_to(int(s.size()));
    if (chance(20)) return Step{Op::cumsum, {x}, {axis, up_to(2), up_to(2)}, nullptr};
    if (chance(20)) return Step{one_of({Op::softmax, Op::log_softmax}), {x}, {axis}, nullptr};
    if (chance(15)) {
      const auto row = [&](const Extents& r) { return r.size() == 1 && r[0] == s.back(); };
      const int gamma = pick_if(v, row), beta = pick_if(v, row);
      if (gamma < 0 || beta < 0 || s.back() < 2) return std::nullopt;
      return Step{Op::layer_norm, {x, gamma, beta}, {}, nullptr};
    }
    return Step{Op(int(Op::sum) + up_to(int(Op::cumsum) - int(Op::sum))), {x}, {axis, up_to(2)}, nullptr};
  }
  std::optional<Step> movement(const Values& v) {
    const int x = pick(v);
    const Extents& s = v[std::size_t(x)].shape;
    const int rank = int(s.size());
    if (chance(8)) return Step{Op::expand_dims, {x}, {up_to(rank + 1)}, nullptr};
    if (chance(8)) {
      Extents wide = s;
      for (int& e : wide)
        if (e == 1) e = between(1, 3);
      if (rank < 3) wide.insert(wide.begin(), between(1, 3));
      return Step{Op::broadcast_to, {x}, wide, nullptr};
    }
    if (chance(10)) {
      const int same = pick_if(v, [&](const Extents& r) { return r == s; });
      if (same < 0) return std::nullopt;
      return Step{Op::stack, {x, same}, {up_to(rank + 1)}, nullptr};
    }
    if (rank == 0) return std::nullopt;
    const int axis = up_to(rank), n = s[std::size_t(axis)];
    switch (up_to(12)) {
      case 0: {
        Extents flat{size_of(s)};
        for (int e = 2; e <= 4; ++e)
          if (flat[0] % e == 0 && chance(50)) flat = {flat[0] / e, e};
        return Step{Op::reshape, {x}, flat, nullptr};
      }
      case 1: {
        std::vector<int> axes;
        for (int d = 0; d < rank; ++d) axes.insert(axes.begin() + up_to(int(axes.size()) + 1), d);
        return Step{Op::permute, {x}, axes, nullptr};
      }
      case 2:
      case 3: {
        const int begin = up_to(n), step = between(1, 2);
        return Step{Op::slice, {x}, {axis, begin, 1 + up_to((n - begin + step - 1) / step), step}, nullptr};
      }
      case 4:
        return Step{Op::flip, {x}, {axis}, nullptr};
      case 5:
        return Step{Op::roll, {x}, {axis, between(-5, 5)}, nullptr};
      case 6:
        return Step{Op::pad, {x}, {axis, up_to(3), up_to(3)}, nullptr};
      case 7:
        return Step{Op::repeat, {x}, {axis, between(1, 3)}, nullptr};
      case 8: {
        const int other = pick_if(v, [&](Extents r) {
          if (r.size() == s.size()) r[std::size_t(axis)] = n;
          return r == s;
        });
        if (other < 0) return std::nullopt;
        return Step{Op::concatenate, {x, other}, {axis}, nullptr};
      }
      case 9: {
        Step take{Op::take, {x}, {axis}, nullptr};
        for (int k = between(1, 5); k > 0; --k) take.numbers.push_back(up_to(n));
        return take;
      }
      case 10: {
        const int y = pick_if(v, [&](Extents r) {
          if (r.size() == s.size()) r[std::size_t(axis)] = n;
          return r == s;
        });
        if (y < 0) return std::nullopt;
        Step add{Op::scatter_add, {x, y}, {axis}, nullptr};
        for (int k = v[std::size_t(y)].shape[std::size_t(axis)]; k > 0; --k) add.numbers.push_back(up_to(n));
        return add;
      }
      default:
        if (rank < 2) return std::nullopt;
        return Step{one_of({Op::tril, Op::triu}), {x}, {between(-2, 2)}, nullptr};
    }
  }
  std::optional<Step> product(const Values& v) {
    const int a = pick_if(v, [](const Extents& s) { return !s.empty(); });
    if (a < 0) return std::nullopt;
    const Extents& s = v[std::size_t(a)].shape;
    if (s.size() == 1) {
      const int b = pick_if(v, [](const Extents& r) { return r.size() == 1; });
      if (b < 0) return std::nullopt;
      return Step{Op::outer, {a, b}, {}, nullptr};
    }
    if (s.size() == 2 && chance(30)) {
      const int b = pick_if(v, [&](const Extents& r) { return r == s; });
      if (b < 0) return std::nullopt;
      return Step{Op::row_products, {a, b}, {}, nullptr};
    }
    const int b = pick_if(v, [&](const Extents& r) { return r.size() >= 2 && r[r.size() - 2] == s.back(); });
    if (b < 0) return std::nullopt;
    return Step{Op::matmul, {a, b}, {}, nullptr};
  }
  std::optional<Step> block(const Values& v, int depth, bool derived) {
    const Op op = derived ? one_of({Op::vmap, Op::checkpoint}) : one_of({Op::vmap, Op::checkpoint, Op::grad, Op::jvp});
    Step s{op, {pick(v)}, {}, nullptr};
    const Extents& first = v[std::size_t(s.args[0])].shape;
    int mapped = 0;
    if (op == Op::vmap) {
      if (first.empty()) return std::nullopt;
      mapped = 1;
      if (chance(50)) {
        const int b = pick_if(v, [&](const Extents& r) { return !r.empty() && r[0] == first[0]; });
        if (b >= 0) s.args.push_back(b), mapped = 2;
      }
      s.numbers = {mapped};
    } else if (op == Op::jvp) {
      const int t = pick_if(v, [&](const Extents& r) { return r == first; });
      if (t < 0) return std::nullopt;
      s.args.push_back(t);
    }
    for (int more = up_to(3); more > 0; --more) s.args.push_back(pick(v));
    auto body = std::make_shared<Program>();
    Values inner;
    for (std::size_t i = 0; i < s.args.size(); ++i) {
      Value<Jet> x = v[std::size_t(s.args[i])];
      if (int(i) < mapped) {
        x.at.resize(x.at.size() / std::size_t(x.shape[0]));
        x.shape.erase(x.shape.begin());
      }
      body->inputs.push_back({x.shape, 'c'});
      inner.push_back(std::move(x));
    }
    // A first step that reads the first argument, so that few bodies ignore it.
    body->steps.push_back({one_of({Op::sin, Op::tanh, Op::square, Op::sigmoid, Op::negate}), {0}, {}, nullptr});
    inner.push_back(run_step(body->steps[0], inner, {}));
    grow(*body, inner, between(2, 6), depth + 1, derived || op == Op::grad || op == Op::jvp);
    s.body = std::move(body);
    return s;
  }

  std::uint64_t state_;
};

// p without step `gone`: what used it uses `instead`.
Program without(const Program& p, int gone, int instead) {
  Program q = p;
  const int at = gone - int(p.inputs.size());
  q.steps.erase(q.steps.begin() + at);
  for (std::size_t i = std::size_t(at); i < q.steps.size(); ++i)
    for (int& a : q.steps[i].args) a = a == gone ? instead : a > gone ? a - 1 : a;
  return q;
}

}  // namespace

Program random_program(std::uint64_t seed) {
  Generator g(seed);
  Program p;
  p.seed = seed;
  for (int n = g.between(1, 3); n > 0; --n) p.inputs.push_back({g.shape(g.between(0, 3)), "ctsrb"[g.up_to(5)]});
  Values values = inputs_of(p);
  g.grow(p, values, g.between(3, 40), 0, false);
  return p;
}

Program shrunk(Program p, const std::function<bool(const Program&)>& fails) {
  const auto accept = [&](const Program& q) {
    try {
      if (q.steps.empty() || !fails(q)) return false;
    } catch (const std::invalid_argument&) { return false; } catch (const std::out_of_range&) {
      return false;
    }
    p = q;
    return true;
  };
  for (bool again = true; again;) {
    again = false;
    for (int i = int(p.steps.size()) - 1; i >= 0 && !again; --i) {
      const int id = int(p.inputs.size()) + i;
      if (i + 1 < int(p.steps.size())) {  // end here
        Program q = p;
        q.steps.resize(std::size_t(i) + 1);
        if (accept(q)) again = true;
      }
      for (std::size_t a = 0; !again && a < p.steps[std::size_t(i)].args.size(); ++a)
        again = accept(without(p, id, p.steps[std::size_t(i)].args[a]));
      if (again || !p.steps[std::size_t(i)].body) continue;
      Program q = p;
      q.steps[std::size_t(i)].body =
          std::make_shared<Program>(shrunk(*p.steps[std::size_t(i)].body, [&](const Program& b) {
            Program with = p;
            with.steps[std::size_t(i)].body = std::make_shared<Program>(b);
            return fails(with);
          }));
      if (q.steps[std::size_t(i)].body->steps.size() < p.steps[std::size_t(i)].body->steps.size()) again = accept(q);
    }
    for (std::size_t i = 0; i < p.inputs.size() && !again; ++i)
      if (p.inputs[i].layout != 'c') {
        Program q = p;
        q.inputs[i].layout = 'c';
        again = accept(q);
      }
  }
  return p;
}

}  // namespace programs

#include "programs/interpret.hpp"

#include <algorithm>
#include <stdexcept>

namespace programs {
namespace {

namespace el = elementary;

// A step whose operands another program was to give (shrinking makes such) is none.
void need(bool fits) {
  if (!fits) throw std::invalid_argument("a step does not fit its operands");
}
Extents strides_of(const Extents& shape) {
  Extents s(shape.size(), 1);
  for (int d = int(shape.size()) - 2; d >= 0; --d)
    s[std::size_t(d)] = s[std::size_t(d) + 1] * shape[std::size_t(d) + 1];
  return s;
}
Extents index_of(int element, const Extents& shape) {
  Extents i(shape.size());
  for (int d = int(shape.size()) - 1; d >= 0; --d) {
    i[std::size_t(d)] = element % shape[std::size_t(d)];
    element /= shape[std::size_t(d)];
  }
  return i;
}
int element_of(const Extents& index, const Extents& shape) {
  int e = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) e = e * shape[d] + index[d];
  return e;
}
Extents broadcast(const Extents& a, const Extents& b) {
  Extents s(std::max(a.size(), b.size()), 1);
  for (const Extents& x : {a, b})
    for (std::size_t d = 0; d < x.size(); ++d) {
      int& e = s[s.size() - x.size() + d];
      if (x[d] != 1 && e != 1 && e != x[d]) throw std::invalid_argument("shapes do not broadcast");
      if (x[d] != 1) e = x[d];
    }
  return s;
}
// The element of x that stands at an index of a shape it broadcasts to.
template <class S>
const S& at(const Value<S>& x, const Extents& index) {
  Extents own(x.shape.size());
  for (std::size_t d = 0; d < own.size(); ++d) own[d] = x.shape[d] == 1 ? 0 : index[index.size() - own.size() + d];
  return x.at[std::size_t(element_of(own, x.shape))];
}
// A result of this shape, f(index) each.
template <class S, class F>
Value<S> made(const Extents& shape, F f) {
  Value<S> y{shape, {}};
  for (int e = 0; e < size_of(shape); ++e) y.at.push_back(f(index_of(e, shape)));
  return y;
}

template <class S>
S constant(Real c) {
  return Constant<S>::of(c);
}
template <class S>
S minus(const S& x) {
  return x * Real(-1);
}
template <class S>
S half_of_both(const S& a, const S& b) {
  return (a + b) * 0.5L;
}

const Elementary* elementary_of(Op op) {
  switch (op) {
    case Op::negate:
      return &el::negate;
    case Op::exp:
      return &el::exp;
    case Op::expm1:
      return &el::expm1;
    case Op::log:
      return &el::log;
    case Op::log1p:
      return &el::log1p;
    case Op::sqrt:
      return &el::sqrt;
    case Op::rsqrt:
      return &el::rsqrt;
    case Op::square:
      return &el::square;
    case Op::reciprocal:
      return &el::reciprocal;
    case Op::abs:
      return &el::abs;
    case Op::sin:
      return &el::sin;
    case Op::cos:
      return &el::cos;
    case Op::tanh:
      return &el::tanh;
    case Op::sinh:
      return &el::sinh;
    case Op::sigmoid:
      return &el::sigmoid;
    case Op::softplus:
      return &el::softplus;
    case Op::relu:
      return &el::relu;
    case Op::erf:
      return &el::erf;
    case Op::gelu:
      return &el::gelu;
    case Op::atan:
      return &el::atan;
    case Op::asinh:
      return &el::asinh;
    default:
      return nullptr;
  }
}

template <class S>
S noisy(const S& x, const Noise& noise) {
  return noise.size > 0 ? jittered(x, [&](Real part) { return noise.moved(part); }) : x;
}

// a - b, where a branch follows: equal, or apart by more than rounding moves them.
template <class S>
Real apart(const S& a, const S& b) {
  const Real d = real(a) - real(b);
  need(d == 0 || std::fabs(d) > 1e-9L * (1 + std::fabs(real(a))));
  return d;
}
template <class S>
Real side(const S& x) {
  return apart(x, constant<S>(0));
}

constexpr Real kLeastDivisor = 0.02L;  // the third derivative of 1 / x is 6 / x^4

template <class S>
S binary(Op op, const S& a, const S& b, const Noise& noise) {
  switch (op) {
    case Op::add:
      return a + b;
    case Op::subtract:
      return a + minus(b);
    case Op::multiply:
      return a * b;
    case Op::divide:
      need(std::fabs(real(b)) > kLeastDivisor);
      return a * noisy(apply(el::reciprocal, b), noise);  // else a / a would know of no rounding
    case Op::maximum:
      return apart(a, b) == 0 ? half_of_both(a, b) : real(a) > real(b) ? a : b;
    case Op::minimum:
      return apart(a, b) == 0 ? half_of_both(a, b) : real(a) < real(b) ? a : b;
    case Op::pow:
      need(real(a) > kLeastDivisor);
      return apply(el::exp, b * apply(el::log, a));
    case Op::hypot:
      need(std::fabs(real(a)) + std::fabs(real(b)) > kLeastDivisor);
      return apply(el::sqrt, noisy(a * a + b * b, noise));
    case Op::log_add_exp:
      return b + apply(el::softplus, a + minus(b));
    default:
      throw std::logic_error("not a binary operation");
  }
}

// Of a row; the number of elements is at least 1.
template <class S>
S reduced(Op op, const std::vector<S>& row, const Noise& noise) {
  const Real n = Real(row.size());
  S total = constant<S>(op == Op::prod ? 1 : 0);
  switch (op) {
    case Op::sum:
    case Op::mean:
      for (const S& x : row) total = total + x;
      return op == Op::mean ? total * (1 / n) : total;
    case Op::prod:
      for (const S& x : row) total = total * x;
      return total;
    case Op::max:
    case Op::min: {
      Real best = real(row[0]), count = 0;
      for (const S& x : row) best = op == Op::max ? std::max(best, real(x)) : std::min(best, real(x));
      for (const S& x : row)
        if (apart(x, constant<S>(best)) == 0) total = total + x, count += 1;
      return total * (1 / count);
    }
    case Op::logsumexp:
      for (const S& x : row) total = total + apply(el::exp, x);
      return apply(el::log, total);
    case Op::norm:
      for (const S& x : row) total = total + x * x;
      need(real(total) > kLeastDivisor * kLeastDivisor);
      return apply(el::sqrt, noisy(total, noise));
    case Op::variance: {
      S mean = constant<S>(0);
      for (const S& x : row) mean = mean + x;
      mean = noisy(mean * (1 / n), noise);  // equal numbers may have a variance that is no zero
      for (const S& x : row) total = total + (x + minus(mean)) * (x + minus(mean));
      return total * (1 / n);
    }
    default:
      throw std::logic_error("not a reduction");
  }
}

// Rows of x along an axis, each made into another of the same length.
template <class S, class F>
Value<S> by_rows(const Value<S>& x, int axis, F f) {
  Value<S> y = x;
  const int n = x.shape[std::size_t(axis)], stride = strides_of(x.shape)[std::size_t(axis)];
  for (int e = 0; e < size_of(x.shape); ++e) {
    if (index_of(e, x.shape)[std::size_t(axis)] != 0) continue;
    std::vector<S> row;
    for (int i = 0; i < n; ++i) row.push_back(x.at[std::size_t(e + i * stride)]);
    row = f(row);
    for (int i = 0; i < n; ++i) y.at[std::size_t(e + i * stride)] = row[std::size_t(i)];
  }
  return y;
}
template <class S>
std::vector<S> softmax_of(const std::vector<S>& row, bool logs, const Noise& noise) {
  const S shift = minus(noisy(reduced(Op::logsumexp, row, noise), noise));
  std::vector<S> y;
  for (const S& x : row) y.push_back(logs ? x + shift : apply(el::exp, x + shift));
  return y;
}

template <class S>
Value<S> run(const Program& body, std::vector<Value<S>> values, const Noise& noise);

// The values seen as duals, with these slopes in the new direction (none: 0).
template <class S>
Value<Dual<S>> lifted(const Value<S>& x, const Value<S>* slope = nullptr) {
  Value<Dual<S>> y{x.shape, {}};
  for (std::size_t i = 0; i < x.at.size(); ++i) y.at.push_back({x.at[i], slope ? slope->at[i] : constant<S>(0)});
  return y;
}

template <class S>
Value<S> block(const Step& step, const std::vector<const Value<S>*>& x, const Noise& noise) {
  std::vector<Value<S>> given;
  for (const auto* v : x) given.push_back(*v);
  if (step.op == Op::checkpoint) return run(*step.body, std::move(given), noise);
  if (step.op == Op::vmap) {
    Value<S> y;
    const int batch = x[0]->shape[0];
    for (int b = 0; b < batch; ++b) {
      std::vector<Value<S>> one = given;
      for (int k = 0; k < step.numbers[0]; ++k) {
        const Value<S>& all = given[std::size_t(k)];
        const int n = size_of(all.shape) / batch;
        one[std::size_t(k)] = {Extents(all.shape.begin() + 1, all.shape.end()),
                               std::vector<S>(all.at.begin() + b * n, all.at.begin() + (b + 1) * n)};
      }
      const Value<S> part = run(*step.body, std::move(one), noise);
      if (b == 0) {
        y.shape = {batch};
        y.shape.insert(y.shape.end(), part.shape.begin(), part.shape.end());
      }
      y.at.insert(y.at.end(), part.at.begin(), part.at.end());
    }
    return y;
  }
  if constexpr (std::is_same_v<S, Jet>) {
    std::vector<Value<Dual<S>>> up;
    for (const auto& v : given) up.push_back(lifted(v));
    if (step.op == Op::jvp) {
      up[0] = lifted(given[0], &given[1]);
      const auto out = run(*step.body, std::move(up), noise);
      Value<S> y{out.shape, {}};
      for (const auto& e : out.at) y.at.push_back(e.d);
      return y;
    }
    Value<S> y{given[0].shape, {}};
    for (std::size_t e = 0; e < given[0].at.size(); ++e) {
      auto seeded = up;
      seeded[0].at[e].d = constant<S>(1);
      S total = constant<S>(0);
      for (const auto& part : run(*step.body, std::move(seeded), noise).at) total = total + part.d;
      y.at.push_back(total);
    }
    return y;
  } else {
    throw std::invalid_argument("derivatives nest once in a program");
  }
}

bool mismatch_beside(std::size_t axis, Extents a, const Extents& b) {
  if (axis >= a.size() || a.size() != b.size()) return true;
  a[axis] = b[axis];
  return a != b;
}

template <class S>
Value<S> evaluate(const Step& step, const std::vector<const Value<S>*>& x, const Noise& noise) {
  const auto& n = step.numbers;
  const auto axis = std::size_t(n.empty() ? 0 : n[0]);
  const Extents& first = x[0]->shape;
  if (step.body) {
    need(step.op != Op::vmap || !first.empty());
    need(step.op != Op::jvp || first == x[1]->shape);
    return block(step, x, noise);
  }
  if (const Elementary* f = elementary_of(step.op)) {
    for (const S& e : x[0]->at) {
      if (step.op == Op::relu || step.op == Op::abs) side(e);
      if (step.op == Op::log || step.op == Op::sqrt || step.op == Op::rsqrt || step.op == Op::reciprocal)
        need(std::fabs(real(e)) > kLeastDivisor);
    }
    return made<S>(first, [&](const Extents& i) { return apply(*f, at(*x[0], i)); });
  }
  switch (step.op) {
    case Op::silu:
      return made<S>(x[0]->shape, [&](const Extents& i) { return at(*x[0], i) * apply(el::sigmoid, at(*x[0], i)); });
    case Op::log_sigmoid:
      return made<S>(x[0]->shape, [&](const Extents& i) { return minus(apply(el::softplus, minus(at(*x[0], i)))); });
    case Op::stop_gradient:
      return made<S>(x[0]->shape, [&](const Extents& i) { return constant<S>(real(at(*x[0], i))); });
    case Op::scale:
      return made<S>(x[0]->shape, [&](const Extents& i) { return at(*x[0], i) * (Real(n[0]) / 100); });
    case Op::shift:
      return made<S>(x[0]->shape,
                     [&](const Extents& i) { return constant<S>(Real(n[0]) / 100) + minus(at(*x[0], i)); });
    case Op::where:
      return made<S>(broadcast(x[0]->shape, broadcast(x[1]->shape, x[2]->shape)),
                     [&](const Extents& i) { return side(at(*x[0], i)) > 0 ? at(*x[1], i) : at(*x[2], i); });
    case Op::clip:
      return made<S>(x[0]->shape, [&](const Extents& i) {
        const S& v = at(*x[0], i);
        const Real low = Real(n[0]) / 100, high = Real(n[1]) / 100;
        apart(v, constant<S>(low));
        apart(v, constant<S>(high));
        return real(v) < low ? constant<S>(low) : real(v) > high ? constant<S>(high) : v;
      });
    case Op::sum:
    case Op::mean:
    case Op::prod:
    case Op::max:
    case Op::min:
    case Op::logsumexp:
    case Op::norm:
    case Op::variance: {
      need(axis < first.size());
      Extents kept = first, shape = kept;
      kept[axis] = 1;
      Value<S> y = made<S>(kept, [&](Extents i) {
        std::vector<S> row;
        for (int k = 0; k < shape[axis]; ++k) {
          i[axis] = k;
          row.push_back(x[0]->at[std::size_t(element_of(i, shape))]);
        }
        return reduced(step.op, row, noise);
      });
      if (!n[1]) y.shape.erase(y.shape.begin() + n[0]);
      return y;
    }
    case Op::cumsum:
      need(axis < first.size());
      return by_rows(*x[0], n[0], [&](std::vector<S> row) {
        if (n[1]) std::reverse(row.begin(), row.end());
        S total = constant<S>(0);
        for (S& v : row) {
          const S own = v;
          if (n[2]) v = total;
          total = total + own;
          if (!n[2]) v = total;
        }
        if (n[1]) std::reverse(row.begin(), row.end());
        return row;
      });
    case Op::softmax:
    case Op::log_softmax:
      need(axis < first.size());
      return by_rows(*x[0], n[0],
                     [&](const std::vector<S>& row) { return softmax_of(row, step.op == Op::log_softmax, noise); });
    case Op::layer_norm: {
      need(!first.empty() && x[1]->shape == Extents{first.back()} && x[2]->shape == x[1]->shape);
      Value<S> y = by_rows(*x[0], int(x[0]->shape.size()) - 1, [&](std::vector<S> row) {
        const S mean = noisy(reduced(Op::mean, row, noise), noise), variance = reduced(Op::variance, row, noise);
        need(real(variance) > kLeastDivisor * kLeastDivisor);  // the third derivative grows as its -3/2-th power
        const S scale = apply(el::rsqrt, variance + constant<S>(1e-5L));
        for (S& v : row) v = (v + minus(mean)) * scale;
        return row;
      });
      return made<S>(y.shape, [&](const Extents& i) { return at(y, i) * at(*x[1], i) + at(*x[2], i); });
    }
    case Op::reshape:
      need(size_of(n) == size_of(first));
      return {n, x[0]->at};
    case Op::broadcast_to:
      need(broadcast(first, n) == n);
      return made<S>(n, [&](const Extents& i) { return at(*x[0], i); });
    case Op::permute: {
      need(n.size() == first.size());
      Extents shape;
      for (int a : n) shape.push_back(x[0]->shape[std::size_t(a)]);
      return made<S>(shape, [&](const Extents& i) {
        Extents from(i.size());
        for (std::size_t d = 0; d < i.size(); ++d) from[std::size_t(n[d])] = i[d];
        return at(*x[0], from);
      });
    }
    case Op::slice: {
      need(axis < first.size() && n[1] + (n[2] - 1) * n[3] < first[axis]);
      Extents shape = x[0]->shape;
      shape[axis] = n[2];
      return made<S>(shape, [&](Extents i) {
        i[axis] = n[1] + i[axis] * n[3];
        return x[0]->at[std::size_t(element_of(i, x[0]->shape))];
      });
    }
    case Op::flip:
    case Op::roll:
      need(axis < first.size());
      return made<S>(x[0]->shape, [&](Extents i) {
        const int e = x[0]->shape[axis];
        i[axis] = step.op == Op::flip ? e - 1 - i[axis] : ((i[axis] - n[1]) % e + e) % e;
        return at(*x[0], i);
      });
    case Op::pad: {
      need(axis < first.size());
      Extents shape = x[0]->shape;
      shape[axis] += n[1] + n[2];
      return made<S>(shape, [&](Extents i) {
        i[axis] -= n[1];
        const bool inside = i[axis] >= 0 && i[axis] < x[0]->shape[axis];
        return inside ? x[0]->at[std::size_t(element_of(i, x[0]->shape))] : constant<S>(0);
      });
    }
    case Op::repeat: {
      need(axis < first.size());
      Extents shape = x[0]->shape;
      shape[axis] *= n[1];
      return made<S>(shape, [&](Extents i) {
        i[axis] /= n[1];
        return x[0]->at[std::size_t(element_of(i, x[0]->shape))];
      });
    }
    case Op::expand_dims: {
      need(axis <= first.size());
      Value<S> y = *x[0];
      y.shape.insert(y.shape.begin() + n[0], 1);
      return y;
    }
    case Op::concatenate: {
      need(!mismatch_beside(axis, first, x[1]->shape));
      Extents shape = x[0]->shape;
      shape[axis] += x[1]->shape[axis];
      return made<S>(shape, [&](Extents i) {
        const bool second = i[axis] >= x[0]->shape[axis];
        if (second) i[axis] -= x[0]->shape[axis];
        const Value<S>& from = second ? *x[1] : *x[0];
        return from.at[std::size_t(element_of(i, from.shape))];
      });
    }
    case Op::stack: {
      need(axis <= first.size() && first == x[1]->shape);
      Extents shape = x[0]->shape;
      shape.insert(shape.begin() + n[0], 2);
      return made<S>(shape, [&](Extents i) {
        const Value<S>& from = i[axis] ? *x[1] : *x[0];
        i.erase(i.begin() + n[0]);
        return at(from, i);
      });
    }
    case Op::take: {
      need(axis < first.size() && *std::max_element(n.begin() + 1, n.end()) < first[axis]);
      Extents shape = x[0]->shape;
      shape[axis] = int(n.size()) - 1;
      return made<S>(shape, [&](Extents i) {
        i[axis] = n[std::size_t(i[axis]) + 1];
        return x[0]->at[std::size_t(element_of(i, x[0]->shape))];
      });
    }
    case Op::scatter_add: {
      need(!mismatch_beside(axis, first, x[1]->shape) && int(n.size()) - 1 == x[1]->shape[axis] &&
           *std::max_element(n.begin() + 1, n.end()) < first[axis]);
      Value<S> y = *x[0];
      for (int e = 0; e < size_of(x[1]->shape); ++e) {
        Extents i = index_of(e, x[1]->shape);
        i[axis] = n[std::size_t(i[axis]) + 1];
        S& to = y.at[std::size_t(element_of(i, y.shape))];
        to = to + x[1]->at[std::size_t(e)];
      }
      return y;
    }
    case Op::tril:
    case Op::triu:
      need(first.size() >= 2);
      return made<S>(x[0]->shape, [&](const Extents& i) {
        const int over = i[i.size() - 1] - i[i.size() - 2];
        return (step.op == Op::tril ? over <= n[0] : over >= n[0]) ? at(*x[0], i) : constant<S>(0);
      });
    case Op::matmul: {
      const Extents &a = first, &b = x[1]->shape;
      need(a.size() >= 2 && b.size() >= 2 && a.back() == b[b.size() - 2]);
      Extents shape = broadcast(Extents(a.begin(), a.end() - 2), Extents(b.begin(), b.end() - 2));
      const std::size_t lead = shape.size();
      shape.push_back(a[a.size() - 2]);
      shape.push_back(b.back());
      return made<S>(shape, [&](const Extents& i) {
        S total = constant<S>(0);
        for (int k = 0; k < a.back(); ++k) {
          Extents left = i, right = i;
          left[lead + 1] = right[lead] = k;
          total = total + at(*x[0], left) * at(*x[1], right);
        }
        return total;
      });
    }
    case Op::row_products:
      need(first.size() == 2 && first == x[1]->shape);
      return made<S>({first[0]}, [&](const Extents& i) {
        S total = constant<S>(0);
        for (int k = 0; k < x[0]->shape[1]; ++k) total = total + at(*x[0], {i[0], k}) * at(*x[1], {i[0], k});
        return total;
      });
    case Op::outer:
      need(first.size() == 1 && x[1]->shape.size() == 1);
      return made<S>({x[0]->shape[0], x[1]->shape[0]},
                     [&](const Extents& i) { return at(*x[0], {i[0]}) * at(*x[1], {i[1]}); });
    default:
      return made<S>(broadcast(x[0]->shape, x[1]->shape),
                     [&](const Extents& i) { return binary(step.op, at(*x[0], i), at(*x[1], i), noise); });
  }
}

// Past this nothing is compared: a number that another step hides may be infinite, or no number.
constexpr Real kMostSize = 3e3;

template <class S>
Value<S> noisy(Value<S> y, const Noise& noise) {
  for (S& e : y.at) {
    need(size(e) <= kMostSize);
    if (noise.peak) *noise.peak = std::fmax(*noise.peak, size(e));
    e = noisy(e, noise);
  }
  return y;
}
template <class S>
Value<S> apply_step(const Step& step, const std::vector<Value<S>>& values, const Noise& noise) {
  std::vector<const Value<S>*> x;
  for (int a : step.args) x.push_back(&values.at(std::size_t(a)));
  return noisy(evaluate(step, x, noise), noise);
}
template <class S>
Value<S> run(const Program& body, std::vector<Value<S>> values, const Noise& noise) {
  for (const Step& step : body.steps) {
    Value<S> y = apply_step(step, values, noise);
    values.push_back(std::move(y));
  }
  return values.back();
}

}  // namespace

std::vector<Value<Jet>> inputs_of(const Program& p) {
  std::vector<Value<Jet>> values;
  for (std::size_t i = 0; i < p.inputs.size(); ++i) {
    Value<Jet> v{p.inputs[i].shape, {}};
    for (int e = 0; e < size_of(v.shape); ++e)
      v.at.push_back({input_number(p, int(i), e), number(p.seed, Use::first_direction, int(i), e),
                      number(p.seed, Use::second_direction, int(i), e), 0});
    values.push_back(std::move(v));
  }
  return values;
}

Value<Jet> run_step(const Step& step, const std::vector<Value<Jet>>& values, const Noise& noise) {
  return apply_step(step, values, noise);
}

Derivatives interpret(const Program& p, Noise noise, Real along_first, Real along_second) {
  std::vector<Value<Jet>> x = inputs_of(p);
  for (Value<Jet>& input : x)
    for (Jet& e : input.at) e.v += along_first * e.a + along_second * e.b;
  const Value<Jet> y = run(p, std::move(x), noise);
  Jet total;
  for (std::size_t e = 0; e < y.at.size(); ++e) total = total + y.at[e] * Real(number(p.seed, Use::weight, 0, int(e)));
  return {{total.v, total.a, total.b, total.ab}};
}

}  // namespace programs

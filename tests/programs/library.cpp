#include "programs/library.hpp"

#include "ergo/autograd/checkpoint.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/einsum.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/inverse_trigonometric.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/logarithm.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/repetition.hpp"
#include "ergo/ops/scan.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"
#include "ergo/ops/tensor_product.hpp"
#include "ergo/ops/trigonometric.hpp"

namespace programs {
namespace {

using ergo::Shape;
using T = ergo::Tensor<double>;
using Tensors = std::vector<T>;

Shape shape_of(const Extents& e) { return Shape(e); }

template <class F>
T filled(const Extents& shape, F number) {
  std::vector<double> v;
  for (int e = 0; e < size_of(shape); ++e) v.push_back(number(e));
  return ergo::from_span<double>(v, shape_of(shape));
}

// An input in the layout that it asks for; its numbers are the same in each.
T input(const Program& p, int i) {
  const Input& in = p.inputs[std::size_t(i)];
  const T plain = filled(in.shape, [&](int e) { return input_number(p, i, e); });
  if (in.shape.empty()) return plain;
  const std::int64_t n = in.shape[0];
  switch (in.layout) {
    case 't':
      return ergo::transpose(ergo::transpose(plain).contiguous());
    case 's':
      return ergo::slice(ergo::repeat(plain, 2, 0), 0, 1, ergo::none, 2);
    case 'r':
      return ergo::flip(ergo::flip(plain).contiguous());
    case 'b':
      return ergo::broadcast_to(ergo::slice(plain, 0, 0, n > 0 ? 1 : 0), plain.shape());
    default:
      return plain;
  }
}

template <class I>
ergo::Tensor<I> indices(const std::vector<int>& numbers) {  // behind the axis
  const std::vector<I> i(numbers.begin() + 1, numbers.end());
  return ergo::from_span<I>(i, {std::int64_t(i.size())});
}

T run(const Program& body, Tensors values);

T block(const Step& s, Tensors x) {
  const Program& body = *s.body;
  const auto with = [&](const T& first) {
    Tensors all = x;
    all[0] = first;
    return run(body, std::move(all));
  };
  switch (s.op) {
    case Op::checkpoint:
      return ergo::checkpoint([&](const Tensors& all) { return run(body, all); })(x);
    case Op::vmap:
      if (s.numbers[0] == 1) return ergo::vmap([&](const T& a) { return with(a); })(x[0]);
      return ergo::vmap([&](const T& a, const T& b) {
        Tensors all = x;
        all[0] = a;
        all[1] = b;
        return run(body, std::move(all));
      })(x[0], x[1]);
    case Op::grad:
      return ergo::grad([&](const T& a) { return ergo::sum(with(a)); })(x[0]);
    default: {
      const auto [y, dy] = ergo::jvp([&](const T& a) { return with(a); })(x[0], x[1]);
      return dy;
    }
  }
}

T step(const Step& s, Tensors x) {
  using std::move;
  const auto& n = s.numbers;
  const std::int64_t axis = n.empty() ? 0 : n[0];
  if (s.body) return block(s, move(x));
  switch (s.op) {
    case Op::negate:
      return -move(x[0]);
    case Op::exp:
      return ergo::exp(move(x[0]));
    case Op::expm1:
      return ergo::expm1(move(x[0]));
    case Op::log:
      return ergo::log(move(x[0]));
    case Op::log1p:
      return ergo::log1p(move(x[0]));
    case Op::sqrt:
      return ergo::sqrt(move(x[0]));
    case Op::rsqrt:
      return ergo::rsqrt(move(x[0]));
    case Op::square:
      return ergo::square(move(x[0]));
    case Op::reciprocal:
      return ergo::reciprocal(move(x[0]));
    case Op::abs:
      return ergo::abs(move(x[0]));
    case Op::sin:
      return ergo::sin(move(x[0]));
    case Op::cos:
      return ergo::cos(move(x[0]));
    case Op::tanh:
      return ergo::tanh(move(x[0]));
    case Op::sinh:
      return ergo::sinh(move(x[0]));
    case Op::sigmoid:
      return ergo::sigmoid(move(x[0]));
    case Op::softplus:
      return ergo::softplus(move(x[0]));
    case Op::relu:
      return ergo::relu(move(x[0]));
    case Op::erf:
      return ergo::erf(move(x[0]));
    case Op::gelu:
      return ergo::gelu(move(x[0]));
    case Op::atan:
      return ergo::atan(move(x[0]));
    case Op::asinh:
      return ergo::asinh(move(x[0]));
    case Op::silu:
      return ergo::silu(move(x[0]));
    case Op::log_sigmoid:
      return ergo::log_sigmoid(move(x[0]));
    case Op::stop_gradient:
      return ergo::stop_gradient(x[0]);
    case Op::add:
      return move(x[0]) + move(x[1]);
    case Op::subtract:
      return move(x[0]) - move(x[1]);
    case Op::multiply:
      return move(x[0]) * move(x[1]);
    case Op::divide:
      return move(x[0]) / move(x[1]);
    case Op::maximum:
      return ergo::maximum(move(x[0]), move(x[1]));
    case Op::minimum:
      return ergo::minimum(move(x[0]), move(x[1]));
    case Op::pow:
      return ergo::pow(move(x[0]), move(x[1]));
    case Op::hypot:
      return ergo::hypot(move(x[0]), move(x[1]));
    case Op::log_add_exp:
      return ergo::log_add_exp(move(x[0]), move(x[1]));
    case Op::scale:
      return move(x[0]) * (n[0] / 100.0);
    case Op::shift:
      return n[0] / 100.0 - move(x[0]);
    case Op::where:
      return ergo::where(x[0] > 0.0, x[1], x[2]);
    case Op::clip:
      return ergo::clip(move(x[0]), n[0] / 100.0, n[1] / 100.0);
    case Op::sum:
      return ergo::sum(x[0], axis, n[1] != 0);
    case Op::mean:
      return ergo::mean(x[0], axis, n[1] != 0);
    case Op::prod:
      return ergo::prod(x[0], axis, n[1] != 0);
    case Op::max:
      return ergo::max(x[0], axis, n[1] != 0);
    case Op::min:
      return ergo::min(x[0], axis, n[1] != 0);
    case Op::logsumexp:
      return ergo::logsumexp(x[0], axis, n[1] != 0);
    case Op::norm:
      return ergo::norm(x[0], axis, n[1] != 0);
    case Op::variance:
      return ergo::variance(x[0], axis, n[1] != 0);
    case Op::cumsum:
      return ergo::cumsum(x[0], axis, {.reverse = n[1] != 0, .exclusive = n[2] != 0});
    case Op::softmax:
      return ergo::softmax(x[0], axis);
    case Op::log_softmax:
      return ergo::log_softmax(x[0], axis);
    case Op::layer_norm:
      return ergo::layer_norm(x[0], x[1], x[2]);
    case Op::reshape:
      return ergo::reshape(x[0], shape_of(n));
    case Op::broadcast_to:
      return ergo::broadcast_to(x[0], shape_of(n));
    case Op::permute:
      return ergo::permute(x[0], ergo::Axes(n));
    case Op::slice:
      return ergo::slice(x[0], axis, n[1], n[1] + (n[2] - 1) * n[3] + 1, n[3]);
    case Op::flip:
      return ergo::flip(x[0], axis);
    case Op::roll:
      return ergo::roll(x[0], n[1], axis);
    case Op::pad: {
      std::vector<ergo::PadWidth> widths(std::size_t(x[0].rank()), {0, 0});
      widths[std::size_t(axis)] = {n[1], n[2]};
      return ergo::pad(x[0], widths);
    }
    case Op::repeat:
      return ergo::repeat(x[0], n[1], axis);
    case Op::expand_dims:
      return ergo::expand_dims(x[0], axis);
    case Op::concatenate:
      return ergo::concatenate({x[0], x[1]}, axis);
    case Op::stack:
      return ergo::stack({x[0], x[1]}, axis);
    case Op::take:
      return ergo::take(x[0], indices<std::int32_t>(n), axis);
    case Op::scatter_add:
      return ergo::scatter_add(x[0], indices<std::int64_t>(n), x[1], axis);
    case Op::tril:
      return ergo::tril(x[0], n[0]);
    case Op::triu:
      return ergo::triu(x[0], n[0]);
    case Op::matmul:
      return ergo::matmul(x[0], x[1]);
    case Op::row_products:
      return ergo::einsum("ij,ij->i", x[0], x[1]);
    default:
      return ergo::outer(x[0], x[1]);
  }
}

// Each value is moved into the step that uses it last, so that its memory may become the result's.
T run(const Program& body, Tensors values) {
  std::vector<std::size_t> last(values.size() + body.steps.size(), 0);
  for (std::size_t i = 0; i < body.steps.size(); ++i)
    for (int a : body.steps[i].args) last[std::size_t(a)] = i;
  for (std::size_t i = 0; i < body.steps.size(); ++i) {
    const std::vector<int>& args = body.steps[i].args;
    Tensors x;
    for (std::size_t k = 0; k < args.size(); ++k) {
      T& v = values[std::size_t(args[k])];
      bool again = last[std::size_t(args[k])] != i;
      for (std::size_t j = k + 1; j < args.size(); ++j) again = again || args[j] == args[k];
      x.push_back(again ? v : std::move(v));
    }
    values.push_back(step(body.steps[i], std::move(x)));
  }
  return values.back();
}

double dot(const Tensors& a, const Tensors& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += ergo::sum(a[i] * b[i]).item();
  return total;
}

}  // namespace

std::vector<Found> run_modes(const Program& p) {
  Tensors x, u, v, twice;
  for (std::size_t i = 0; i < p.inputs.size(); ++i) {
    const Extents& s = p.inputs[i].shape;
    x.push_back(input(p, int(i)));
    u.push_back(filled(s, [&](int e) { return number(p.seed, Use::first_direction, int(i), e); }));
    v.push_back(filled(s, [&](int e) { return number(p.seed, Use::second_direction, int(i), e); }));
    twice.push_back(ergo::stack({x.back(), x.back()}));
  }
  const auto f = [&](const Tensors& in) {
    const T y = run(p, in);
    Extents s(y.shape().begin(), y.shape().end());
    return ergo::sum(y * filled(s, [&](int e) { return number(p.seed, Use::weight, 0, e); }));
  };
  const auto slope = [&](const Tensors& in) {  // along u, by reverse mode
    const Tensors g = ergo::grad(f)(in);
    T total = ergo::zeros<double>({});
    for (std::size_t i = 0; i < g.size(); ++i) total = total + ergo::sum(g[i] * u[i]);
    return total;
  };
  const auto forward_slope = [&](const Tensors& in) {
    const auto [y, dy] = ergo::jvp(f)(in, u);
    return dy;
  };
  std::vector<Found> found;
  found.push_back({"value", 0, f(x).item()});
  const auto [value, g] = ergo::value_and_grad(f)(x);
  found.push_back({"value beside its gradient", 0, value.item()});
  found.push_back({"grad", 1, dot(g, u)});
  found.push_back({"grad", 2, dot(g, v)});
  const auto [y, dy] = ergo::jvp(f)(x, v);
  found.push_back({"value beside jvp", 0, y.item()});
  found.push_back({"jvp", 2, dy.item()});
  found.push_back({"forward over reverse", 3, dot(ergo::hvp(f)(x, v), u)});
  found.push_back({"reverse over reverse", 3, dot(ergo::grad(slope)(x), v)});
  found.push_back({"reverse over forward", 3, dot(ergo::grad(forward_slope)(x), v)});
  const auto [s, ds] = ergo::jvp(forward_slope)(x, v);
  found.push_back({"forward over forward: slope", 1, s.item()});
  found.push_back({"forward over forward", 3, ds.item()});
  const T many = ergo::vmap(f)(twice);
  found.push_back({"vmap", 0, many[0].item()});
  found.push_back({"vmap, second example", 0, many[1].item()});
  const Tensors gradients = ergo::vmap(ergo::grad(f))(twice);
  Tensors second;
  for (const T& each : gradients) second.push_back(each[1]);
  found.push_back({"vmap of grad", 1, dot(second, u)});
  return found;
}

}  // namespace programs

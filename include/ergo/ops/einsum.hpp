// einsum("bij,bjk->bik", a, b): products and sums over named axes, any number of operands. Letters name axes; one that
// is repeated within an operand means its diagonal, one that is absent from the result is summed over; `...` stands for
// leading axes that broadcast; without `->` the result has the letters that occur once, in alphabetical order. An
// extent of 1 broadcasts. Operands are contracted two at a time, the cheapest pair first, each as one batched matrix
// product.
#pragma once

#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/matmul.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// An array whose axes have names: letters, and \x01 to \x08 for the axes of an ellipsis, counted from its end.
struct NamedAxes {
  Ref<Array> x;
  std::string names;
  bool has(char c) const { return names.find(c) != std::string::npos; }
  std::int64_t extent(char c) const { return x->shape[int(names.find(c))]; }

  // The axes in the order of `to`, which is a permutation of the names.
  void permute_to(const std::string& to) {
    std::int8_t order[kMaxRank];
    for (std::size_t i = 0; i < to.size(); ++i) order[i] = std::int8_t(names.find(to[i]));
    if (to != names) x = permute(x, order);
    names = to;
  }
  void sum_out(const std::string& gone) {
    if (gone.empty()) return;
    Shape kept = x->shape, result;
    std::string left;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (gone.find(names[i]) != std::string::npos) {
        kept[int(i)] = 1;
      } else {
        left += names[i];
        result.push(x->shape[int(i)]);
      }
    }
    x = reshape(sum_to(std::move(x), kept), result);
    names = left;
  }
  // Repeated names become diagonals.
  void take_diagonals(const char* op) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::size_t j = names.find(names[i], i + 1);
      if (j == std::string::npos) continue;
      const char c = names[i];
      if (x->shape[int(i)] != x->shape[int(j)])
        fail(op, *x, {"axis ", c, " has extents ", x->shape[int(i)], " and ", x->shape[int(j)]});
      std::int8_t order[kMaxRank];
      int k = 0;
      std::string left;
      for (std::size_t d = 0; d < names.size(); ++d)
        if (d != i && d != j) order[k++] = std::int8_t(d), left += names[d];
      order[k++] = std::int8_t(i);
      order[k] = std::int8_t(j);
      x = diagonal_of(AnyTensor(permute(x, order)), 0).ref();
      names = left + c;
      i = std::size_t(-1);  // from the start again
    }
  }
};

inline bool contains(const std::string& s, char c) { return s.find(c) != std::string::npos; }

// a and b as one, keeping the axes that `later` needs.
template <class T>
NamedAxes contract(NamedAxes a, NamedAxes b, const std::string& later) {
  const auto drop_ones = [](NamedAxes& p, const NamedAxes& q) {  // where q is wider, p's extent of 1 broadcasts
    std::string ones;
    for (char c : p.names)
      if (q.has(c) && p.extent(c) == 1 && q.extent(c) != 1) ones += c;
    p.sum_out(ones);
  };
  drop_ones(a, b);
  drop_ones(b, a);
  const auto sum_own = [&](NamedAxes& p, const NamedAxes& q) {
    std::string own;
    for (char c : p.names)
      if (!q.has(c) && !contains(later, c)) own += c;
    p.sum_out(own);
  };
  sum_own(a, b);
  sum_own(b, a);
  std::string batch, inner, left, right;
  for (char c : a.names) (b.has(c) ? (contains(later, c) ? batch : inner) : left) += c;
  for (char c : b.names)
    if (!a.has(c)) right += c;
  a.permute_to(batch + left + inner);
  b.permute_to(batch + inner + right);
  const auto product = [](const NamedAxes& p, const std::string& names) {
    std::int64_t n = 1;
    for (char c : names) n *= p.extent(c);
    return n;
  };
  const Shape lead = a.x->shape.first(int(batch.size()));
  const std::int64_t m = product(a, left), k = product(a, inner), n = product(b, right);
  Shape result = a.x->shape.first(int(batch.size() + left.size()));
  for (char c : right) result.push(b.extent(c));
  const Tensor<T> left_factor(reshape(a.x, lead + Shape{m, k})), right_factor(reshape(b.x, lead + Shape{k, n}));
  // Nothing to sum: one product an element, which no matrix kernel is for.
  const Tensor<T> y = inner.empty() ? left_factor * right_factor : matmul(left_factor, right_factor);
  return {reshape(y.ref(), result), batch + left + right};
}

struct EinsumPlan {
  std::vector<NamedAxes> operands;
  std::string result;
};
[[noreturn, gnu::cold]] ERGO_ONCE void fail_einsum(const std::string& spec, Args x, int n, const Message& why) {
  fail("einsum", x, n, {"\"", spec, "\": ", why});
}
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Reads the specification against the operands' shapes.
ERGO_ONCE EinsumPlan plan_einsum(const std::string& given, Args x, int n) {
  std::string spec;
  for (char c : given)
    if (c != ' ') spec += c;
  const std::size_t arrow = spec.find("->");
  const std::string inputs = spec.substr(0, arrow);
  std::vector<std::string> terms(1);
  for (char c : inputs)
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  if (int(terms.size()) != n) fail_einsum(given, x, n, {terms.size(), " terms for ", n, " operands"});

  int widest = 0;  // axes under an ellipsis
  const auto expand = [&](std::string term, int rank, bool is_result) {
    const std::size_t dots = term.find("...");
    std::string names = term;
    if (dots != std::string::npos) {
      const int own = is_result ? widest : rank - int(term.size() - 3);
      if (own < 0)
        fail_einsum(given, x, n, {"term ", term, " names more axes than its operand of rank ", rank, " has"});
      if (!is_result && own > widest) widest = own;
      std::string ellipsis;
      for (int d = own; d > 0; --d) ellipsis += char(d);
      names = term.substr(0, dots) + ellipsis + term.substr(dots + 3);
    }
    for (char c : names)
      if (!is_letter(c) && c > 8) fail_einsum(given, x, n, {"'", c, "' is no letter"});
    if (!is_result && int(names.size()) != rank)
      fail_einsum(given, x, n, {"term ", term, " names ", names.size(), " axes of an operand of rank ", rank});
    return names;
  };
  EinsumPlan plan;
  std::string all;
  for (int i = 0; i < n; ++i) {
    plan.operands.push_back({Ref<Array>::share(x[i]), expand(terms[std::size_t(i)], x[i]->shape.rank(), false)});
    plan.operands.back().take_diagonals("einsum");
    all += plan.operands.back().names;
  }
  for (const NamedAxes& a : plan.operands)
    for (const NamedAxes& b : plan.operands)
      for (char c : a.names)
        if (b.has(c) && a.extent(c) != b.extent(c) && a.extent(c) != 1 && b.extent(c) != 1)
          fail_einsum(given, x, n,
                      {(is_letter(c) ? std::string("axis ") + c : std::string("an axis of ...")), " has extents ",
                       a.extent(c), " and ", b.extent(c)});
  if (arrow != std::string::npos) {
    plan.result = expand(spec.substr(arrow + 2), 0, true);
    for (std::size_t i = 0; i < plan.result.size(); ++i) {
      if (!contains(all, plan.result[i]))
        fail_einsum(given, x, n, {"the result's axis ", plan.result[i], " is in no operand"});
      if (plan.result.find(plan.result[i], i + 1) != std::string::npos)
        fail_einsum(given, x, n, {"the result names axis ", plan.result[i], " twice"});
    }
  } else {
    for (int d = widest; d > 0; --d) plan.result += char(d);
    for (int c = 'A'; c <= 'z'; ++c) {
      const auto occurs = [&](const std::string& s) {
        std::size_t k = 0;
        for (char o : s) k += o == char(c);
        return k;
      };
      if (is_letter(char(c)) && occurs(inputs) == 1) plan.result += char(c);
    }
  }
  return plan;
}

template <class T>
Tensor<T> run_einsum(const std::string& spec, Args x, int n) {
  EinsumPlan plan = plan_einsum(spec, x, n);
  auto& v = plan.operands;
  while (v.size() > 1) {
    std::size_t bi = 0, bj = 1;
    double best = -1;
    for (std::size_t i = 0; i < v.size() && v.size() > 2; ++i)
      for (std::size_t j = i + 1; j < v.size(); ++j) {
        double cost = 1;  // of all axes of the pair: the flops of contracting it
        for (char c : v[i].names) cost *= double(v[i].extent(c));
        for (char c : v[j].names)
          if (!v[i].has(c)) cost *= double(v[j].extent(c));
        if (best < 0 || cost < best) best = cost, bi = i, bj = j;
      }
    std::string later = plan.result;
    for (std::size_t k = 0; k < v.size(); ++k)
      if (k != bi && k != bj) later += v[k].names;
    NamedAxes both = contract<T>(v[bi], v[bj], later);
    v.erase(v.begin() + std::ptrdiff_t(bj));
    v[bi] = std::move(both);
  }
  std::string gone;
  for (char c : v[0].names)
    if (!contains(plan.result, c)) gone += c;
  v[0].sum_out(gone);
  v[0].permute_to(plan.result);
  return Tensor<T>(v[0].x);
}

}  // namespace detail

// The contraction that `spec` describes, of floating tensors of one dtype.
template <Floating T, class... X>
Tensor<T> einsum(const std::string& spec, const Tensor<T>& x, const X&... rest) {
  static_assert((std::is_same_v<Tensor<T>, X> && ...), "einsum: operands of different dtypes: cast<U>(x) first");
  if constexpr (!std::is_same_v<Compute<T>, T> && sizeof...(X) > 1 && (std::is_same_v<Tensor<T>, X> && ...)) {
    return cast<T>(einsum(spec, cast<Compute<T>>(x), cast<Compute<T>>(rest)...));  // rounded once, not after each pair
  } else if constexpr ((std::is_same_v<Tensor<T>, X> && ...)) {
    detail::Array* in[] = {&x.array(), &rest.array()...};
    return detail::run_einsum<T>(spec, in, 1 + int(sizeof...(X)));
  } else {
    return Tensor<T>();
  }
}

}  // namespace ergo::inline ERGO_BUILD

// checkpoint(f): recomputes f in the backward sweep instead of keeping its activations. It is an operation whose
// definition is f and whose vjp records f again, so it works in every mode and at every order; the inner sweep starts
// from what has gathered so far, which makes gradients bit-identical to the plain ones.
#pragma once

#include "ergo/autograd/transforms.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// The number of tensors in any value of type Y; -1 where it depends on the value.
template <class Y>
constexpr int fixed_leaves() {
  if constexpr (is_tensor<Y>) {
    return 1;
  } else if constexpr (is_state<Y>) {
    return fixed_leaves<decltype(std::declval<Y>().value)>();
  } else if constexpr (is_vector<Y> || is_optional<Y>) {
    return -1;
  } else if constexpr (HasFields<Y>) {
    return []<class... X>(std::tuple<X&...>*) {
      constexpr bool fixed = ((fixed_leaves<std::remove_const_t<X>>() >= 0) && ...);
      return fixed ? (fixed_leaves<std::remove_const_t<X>>() + ... + 0) : -1;
    }(static_cast<decltype(std::declval<Y&>().ergo_fields())*>(nullptr));
  } else if constexpr (TupleLike<Y>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      constexpr bool fixed = ((fixed_leaves<std::tuple_element_t<I, Y>>() >= 0) && ...);
      return fixed ? (fixed_leaves<std::tuple_element_t<I, Y>>() + ... + 0) : -1;
    }
    (std::make_index_sequence<std::tuple_size_v<Y>>{});
  } else {
    return 0;
  }
}

// Whether a value depends on what a level above `depth` differentiates.
inline bool differentiated_above(const Array& a, int depth) {
  for (const Array* p = &a; p && p->depth > depth; p = p->value.get())
    if (levels.at[p->depth].mode != Mode::batch) return true;
  return false;
}

// f on all leaves of its arguments. `input_[i]` says which operand leaf i is: a tensor passed twice is one, so that its
// cotangent gathers in the order of the plain program.
template <class F, class Y, class... X>
class CheckpointOp final : public CopiedOp<CheckpointOp<F, Y, X...>> {
 public:
  // `result`, for the first run alone, gets what f returned, for the members that are no tensors.
  CheckpointOp(F f, std::tuple<X...> blank, std::vector<int> input, int n, std::optional<Y>* result)
      : CopiedOp<CheckpointOp>("checkpoint", n),
        f_(std::move(f)),
        blank_(std::move(blank)),
        input_(std::move(input)),
        result_{result} {
    this->n_out = fixed_leaves<Y>();
    this->uses = Uses::inputs;
    this->gathers = true;
    this->has_jvp = this->leading_axes_free = false;
    this->on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { definition(x, y); }
  // A result above the level of all operands was traced through something else that f uses, which vmap alone may map.
  void definition(Args x, Ref<Array>* y) const {
    int depth = 0;
    for (int i = 0; i < this->n_in; ++i)
      if (x[i]->depth > depth) depth = x[i]->depth;
    LeafList out = run(inputs(x));
    for (int k = 0; k < this->n_out; ++k) {
      if (out[std::size_t(k)] && differentiated_above(*out[std::size_t(k)], depth))
        fail("checkpoint", x, this->n_in, "f captures a tensor that is being differentiated; pass it as an argument");
      y[k] = std::move(out[std::size_t(k)]);
    }
  }
  void vjp(Args g, Args, Args x, Wanted, Ref<Array>* dx) const {
    Ref<Record> r;
    {
      Recording recording(inputs(x));
      LeafList out = run(recording.traced);
      r = recording.end(out);
    }
    LeafList seed;
    for (int k = 0; k < this->n_out; ++k) seed.push_back(Ref<Array>::share(g[k]));
    for (std::size_t i = 0; i < r->in.size(); ++i) r->in[i].g = std::move(dx[i]);
    LeafList d = r->pull(std::move(seed), true);
    for (std::size_t i = 0; i < d.size(); ++i) dx[i] = std::move(d[i]);
  }

 private:
  static LeafList inputs_of(Args x, int n) {
    LeafList v;
    for (int i = 0; i < n; ++i) v.push_back(Ref<Array>::share(x[i]));
    return v;
  }
  LeafList inputs(Args x) const { return inputs_of(x, this->n_in); }
  LeafList run(const LeafList& x) const {
    LeafList v;
    for (int i : input_) v.push_back(i < 0 ? Ref<Array>() : x[std::size_t(i)]);
    auto args = blank_;
    assign_leaves<tree::Leaves::all>(args, std::move(v));
    Y y = std::apply(f_, std::as_const(args));
    LeafList out = leaves_of<tree::Leaves::all>(y);
    if (result_.at) {
      assign_leaves<tree::Leaves::all>(y, LeafList(out.size()));
      *result_.at = std::move(y);
    }
    return out;
  }
  struct Result {  // not copied with the operation that is recorded
    std::optional<Y>* at;
    explicit Result(std::optional<Y>* y) : at(y) {}
    Result(const Result&) : at(nullptr) {}
  };
  F f_;
  std::tuple<X...> blank_;
  std::vector<int> input_;
  Result result_;
};

}  // namespace detail

// f with its activations recomputed in the backward sweep. What is differentiated is passed as arguments (a model is
// one); capturing it is an Error. f returns a fixed number of tensors: a tensor, or a pair, tuple or struct of them.
template <class F>
auto checkpoint(F f) {
  return [f]<class... X>(const X&... x) {
    using Y = std::remove_cvref_t<decltype(f(x...))>;
    constexpr int outputs = detail::fixed_leaves<Y>();
    static_assert(outputs > 0, "checkpoint(f): f must return a fixed number of tensors (no vector, no optional)");
    auto args = std::make_tuple(x...);
    detail::LeafList v = detail::leaves_of<tree::Leaves::all>(args);
    auto blank = args;
    detail::assign_leaves<tree::Leaves::all>(blank, detail::LeafList(v.size()));
    std::vector<detail::Array*> operands;
    std::vector<int> input;
    for (const auto& a : v) {
      if (!a) {
        input.push_back(-1);  // an empty carried leaf
        continue;
      }
      std::size_t i = 0;
      while (i < operands.size() && operands[i] != a.get()) ++i;
      if (i == operands.size()) operands.push_back(a.get());
      input.push_back(int(i));
    }
    const int n = int(operands.size());
    std::optional<Y> result;
    const detail::CheckpointOp<F, Y, X...> op(f, std::move(blank), std::move(input), n, &result);
    detail::LeafList out(std::size_t(outputs > 0 ? outputs : 0));
    detail::dispatch(op, operands.data(), out.data());
    Y y = std::move(*result);
    detail::assign_leaves<tree::Leaves::all>(y, std::move(out));
    return y;
  };
}

}  // namespace ergo::inline ERGO_BUILD

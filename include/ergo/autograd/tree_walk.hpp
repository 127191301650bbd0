// Trees: plain aggregates that list their members once, ERGO_FIELDS(Mlp, hidden, out). A model, its gradient, a
// momentum, a tangent and a Krylov vector are values of one type, and the functions of `ergo::tree` work on all of
// them.
//
// Leaves: Tensor<floating> is learned; State<Tensor>, integer and bool tensors and keys are carried; numbers, enums,
// strings and empty structs are static. Vectors, arrays, optionals, pairs, tuples and nested structs are trees; nothing
// else is.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ergo/autograd/structural.hpp"

namespace ergo::inline ERGO_BUILD {

// A tensor that a model carries (running statistics, say) without learning it.
template <class X>
struct State {
  X value;
};

// Lists all data members of a struct, in order. An aggregate's list is checked to be complete; a class with
// constructors may list fields too, and then nobody counts them. The checks stand here, so that a mistake is reported
// at this line.
#define ERGO_FIELDS(Type, ...)                                                                     \
  auto ergo_fields() {                                                                             \
    using Fields = decltype(std::tie(__VA_ARGS__));                                                \
    static_assert(ergo::detail::lists_all_members<Type, Fields>(),                                 \
                  "ERGO_FIELDS must list every data member, in order");                            \
    static_assert(ergo::detail::is_tree<Fields>(),                                                 \
                  "ERGO_FIELDS: a member's type is no tree: it must be a tensor, a State, a key, " \
                  "a number, an enum, a string, an empty struct, a vector, array, optional, pair " \
                  "or tuple of trees, or a struct with ERGO_FIELDS");                              \
    return std::tie(__VA_ARGS__);                                                                  \
  }                                                                                                \
  auto ergo_fields() const { return std::tie(__VA_ARGS__); }                                       \
  [[maybe_unused]] static constexpr const char* ergo_field_names() { return #__VA_ARGS__; }

namespace detail {

struct Anything {  // converts to the type of any member
  template <class U>
  operator U() const;
};
template <class M, std::size_t... I>
consteval bool takes_initialisers(std::index_sequence<I...>) {
  return requires { M{(void(I), Anything{})...}; };
}
template <class M, std::size_t N = 0>
consteval std::size_t count_members() {
  if constexpr (takes_initialisers<M>(std::make_index_sequence<N + 1>{}))
    return count_members<M, N + 1>();
  else
    return N;
}
template <class M, class Fields>
consteval bool lists_all_members() {
  if constexpr (std::is_aggregate_v<M>)
    return std::tuple_size_v<Fields> == count_members<M>();
  else
    return true;
}

template <class X>
concept HasFields = requires(X& x) {
  x.ergo_fields();
};
template <class X>
inline constexpr bool is_state = false;
template <class X>
inline constexpr bool is_state<State<X>> = true;
template <class X>
inline constexpr bool is_optional = false;
template <class X>
inline constexpr bool is_optional<std::optional<X>> = true;
template <class X>
inline constexpr bool is_vector = false;
template <class X, class A>
inline constexpr bool is_vector<std::vector<X, A>> = true;
template <class X>
concept TupleLike = requires {
  std::tuple_size<X>::value;
};
template <class X>
inline constexpr bool is_static =
    std::is_arithmetic_v<X> || std::is_enum_v<X> || std::is_same_v<X, std::string> || std::is_same_v<X, bfloat16> ||
    std::is_same_v<X, half> || std::is_same_v<X, Shape> || std::is_same_v<X, Device> || std::is_empty_v<X>;

template <class X>
consteval bool is_tree() {
  if constexpr (is_tensor<X> || is_state<X> || requires { X::ergo_field_names(); }) {
    return true;
  } else if constexpr (is_optional<X> || is_vector<X>) {
    return is_tree<typename X::value_type>();
  } else if constexpr (TupleLike<X>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (is_tree<std::remove_cvref_t<std::tuple_element_t<I, X>>>() && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<X>>{});
  } else {
    return is_static<X>;
  }
}

// Where a walk is: built into text only when an Error needs it, or for_each_named.
struct Path {
  const Path* parent;
  const char* names;  // of a struct's members, as written; null: an index
  int index;
  bool state = false;  // the value of a State: carried, not learned
  bool in_state() const { return state || (parent && parent->in_state()); }
  ERGO_ONCE std::string text() const {
    if (state) return parent->text();
    if (!parent) return "";
    std::string own = names ? name() : std::to_string(index);
    const std::string before = parent->text();
    return before.empty() ? own : before + "." + own;
  }

 private:
  std::string name() const {
    const char* p = names;
    for (int i = index; i > 0; ++p)
      if (*p == ',') --i;
    while (*p == ' ') ++p;
    std::string s;
    for (; *p && *p != ','; ++p) s += *p;
    while (!s.empty() && s.back() == ' ') s.pop_back();
    return s;
  }
};
[[noreturn, gnu::cold]] ERGO_ONCE void fail_tree(const Path& path, const Message& why) {
  const std::string at = path.text();
  throw_error({"[tree] ", (at.empty() ? "the root" : at), ": ", why});
}

template <class... T>
void check_defined(const Path& path, const Tensor<T>&... leaf) {
  if constexpr ((Floating<T> || ...))
    if (!(leaf.defined() && ...) && !path.in_state()) fail_tree(path, "a learned leaf is an empty tensor");
}

}  // namespace detail

namespace tree {

// Which leaves a walk visits: the learned ones, or all tensors.
enum class Leaves { learned, all };

template <Leaves W, class F, class A, class... B>
void walk(const detail::Path& path, F&& f, A& a, B&... b);
// Member J of each, of tuples of references or plain ones.
template <Leaves W, std::size_t J, class F, class... Fields>
void walk_field(const detail::Path& path, F&& f, Fields&&... fields) {
  walk<W>(path, f, std::get<J>(fields)...);
}

// f(path, a, b...) on corresponding leaves; the first tree names the types. Different structures are an Error.
template <Leaves W, class F, class A, class... B>
void walk(const detail::Path& path, F&& f, A& a, B&... b) {
  using X = std::remove_const_t<A>;
  if constexpr (is_tensor<X>) {
    if constexpr (W == Leaves::all || Floating<typename X::value_type>) { f(path, a, b...); }
  } else if constexpr (detail::is_state<X>) {
    if constexpr (W == Leaves::all) walk<W>(detail::Path{&path, nullptr, 0, true}, f, a.value, b.value...);
  } else if constexpr (detail::HasFields<X>) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (walk_field<W, I>(detail::Path{&path, X::ergo_field_names(), int(I)}, f, a.ergo_fields(), b.ergo_fields()...),
       ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(a.ergo_fields())>>{});
  } else if constexpr (detail::is_optional<X>) {
    if (((bool(a) != bool(b)) || ...)) detail::fail_tree(path, "present in one tree and absent in another");
    if (a) walk<W>(path, f, *a, *b...);
  } else if constexpr (detail::is_vector<X>) {
    if constexpr (!detail::is_static<typename X::value_type>) {
      if (((a.size() != b.size()) || ...))
        detail::fail_tree(
            path, {"lists of ", (std::to_string(a.size()) + ... + (" and " + std::to_string(b.size()))), " elements"});
      for (std::size_t i = 0; i < a.size(); ++i) walk<W>(detail::Path{&path, nullptr, int(i)}, f, a[i], b[i]...);
    }
  } else if constexpr (detail::TupleLike<X>) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (walk_field<W, I>(detail::Path{&path, nullptr, int(I)}, f, a, b...), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<X>>{});
  } else {
    static_assert(
        detail::is_static<X>,
        "this type is no tree: a member must be a tensor, a State, a key, a number, an enum, a string, an empty "
        "struct, a vector, array, optional, pair or tuple of trees, or a struct with ERGO_FIELDS");
  }
}
// The same without paths; an empty learned leaf is an Error that names its own.
template <Leaves W = Leaves::learned, class F, class A, class... B>
void zip(F&& f, A& a, B&... b) {
  walk<W>(
      detail::Path{nullptr, nullptr, 0},
      [&](const detail::Path& path, auto&... leaf) {
        detail::check_defined(path, leaf...);
        f(leaf...);
      },
      a, b...);
}

// f on the learned leaves of one or several trees; it may assign to those of a first tree that is not const.
template <class F, class A, class... B>
void for_each(F&& f, A&& a, const B&... b) {
  tree::zip(f, a, b...);
}
// f(name, leaf) with dotted names: "hidden.weight", "layers.2.bias".
template <class F, class A>
void for_each_named(F&& f, A&& a) {
  walk<Leaves::learned>(
      detail::Path{nullptr, nullptr, 0},
      [&](const detail::Path& path, auto& leaf) {
        detail::check_defined(path, leaf);
        f(path.text(), leaf);
      },
      a);
}
// The tree of f(a, b...) on learned leaves; all else comes from the first.
template <class F, class A, class... B>
A map(F&& f, const A& a, const B&... b) {
  A r = a;
  tree::zip([&](auto& x, const auto&... y) { x = f(std::as_const(x), y...); }, r, b...);
  return r;
}

}  // namespace tree

namespace detail {

// The erased form: every transform reads leaves as arrays and writes them back, so it is compiled once.
struct LeafList : std::vector<Ref<Array>> {
  using std::vector<Ref<Array>>::vector;
  LeafList(const LeafList&) = default;
  LeafList(LeafList&&) = default;
  LeafList& operator=(const LeafList&) = default;
  LeafList& operator=(LeafList&&) = default;
  [[gnu::noinline]] ~LeafList() {}  // out of line, as `add` is: every transform of every function has some
  ERGO_ONCE void add(const Ref<Array>& leaf) { push_back(leaf); }
};
template <tree::Leaves W = tree::Leaves::learned, class A>
LeafList leaves_of(const A& a) {
  LeafList v;
  tree::zip<W>([&](const auto& x) { v.add(x.ref()); }, a);
  return v;
}
// Takes the leaves of `v` in order. Those of `a` may be anything, empty included.
template <tree::Leaves W = tree::Leaves::learned, class A>
void assign_leaves(A& a, LeafList&& v) {
  std::size_t k = 0;
  tree::walk<W>(
      Path{nullptr, nullptr, 0}, [&](const Path&, auto& x) { x.ref() = std::move(v[k++]); }, a);
}

inline LeafList map_leaves(const LeafList& a, Ref<Array> (*f)(const Ref<Array>&)) {
  LeafList r;
  r.reserve(a.size());
  for (const auto& x : a) r.push_back(f(x));
  return r;
}
inline void same_shapes(const char* op, const LeafList& a, const LeafList& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    Array* in[] = {a[i].get(), b[i].get()};
    if (a[i]->shape != b[i]->shape) fail(op, in, 2, "leaves of the two trees differ in shape");
  }
}
inline Ref<Array> zeros_of(const Array& a) { return zeroed(a.dtype, a.shape, a.device); }

// The widest scalar among learned leaves, at least float.
template <class A>
constexpr bool has_double() {
  if constexpr (is_tensor<A>) {
    return std::is_same_v<typename A::value_type, double>;
  } else if constexpr (HasFields<A>) {
    return []<class... X>(std::tuple<X&...>*) {
      return (has_double<std::remove_const_t<X>>() || ...);
    }(static_cast<decltype(std::declval<A&>().ergo_fields())*>(nullptr));
  } else if constexpr (is_optional<A> || is_vector<A>) {
    return has_double<typename A::value_type>();
  } else if constexpr (TupleLike<A>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (has_double<std::remove_const_t<std::tuple_element_t<I, A>>>() || ... || false);
    }
    (std::make_index_sequence<std::tuple_size_v<A>>{});
  } else {
    return false;
  }
}
template <class A>
using WidestLeaf = std::conditional_t<has_double<A>(), double, float>;

}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD

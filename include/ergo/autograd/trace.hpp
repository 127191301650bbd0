// Levels, the tape, the tracer behind the one dispatcher, and the one backward walk. Nothing here depends on a dtype or
// on an operation.
//
// A transform opens a level. An array traced at depth d stores (depth, level id); both are compared with this thread's
// table when it is used and never followed, so a tensor that escaped its transform is an Error by construction. Nodes
// lie on the level's tape in order of creation, which is a topological order, and the tape alone owns them: backward
// and release are loops, whatever the length.
#pragma once

#include "ergo/core/op.hpp"

namespace ergo::inline ERGO_BUILD::detail {

struct Slot {  // an output of a node, or a leaf: its kept value, its gathering cotangent
  Ref<Array> y, g;
};

// One block: this header, then Input[n_in], then Slot[n_out].
struct Node {
  Node* prev;
  const Op* op;
  int n_in, n_out;
  Input* in() { return reinterpret_cast<Input*>(this + 1); }
  Slot* out() { return reinterpret_cast<Slot*>(in() + n_in); }
  static std::size_t bytes(int n_in, int n_out) {
    return sizeof(Node) + sizeof(Input) * std::size_t(n_in) + sizeof(Slot) * std::size_t(n_out);
  }
};

class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() { clear(); }

  Node* last() const { return last_; }
  Node* push(const Op& op) {
    void* block = allocate(Node::bytes(op.n_in, op.n_out));
    const Op* kept = nullptr;
    try {
      kept = op.keep();
    } catch (...) {
      deallocate(block, Node::bytes(op.n_in, op.n_out));
      throw;
    }
    auto* n = new (block) Node{last_, kept, op.n_in, op.n_out};
    for (int i = 0; i < n->n_in; ++i) new (n->in() + i) Input{};
    for (int k = 0; k < n->n_out; ++k) new (n->out() + k) Slot{};
    return last_ = n;
  }
  void pop() {
    Node* n = last_;
    last_ = n->prev;
    for (int i = 0; i < n->n_in; ++i) n->in()[i].~Input();
    for (int k = 0; k < n->n_out; ++k) n->out()[k].~Slot();
    n->op->drop();
    deallocate(n, Node::bytes(n->n_in, n->n_out));
  }
  void clear() {
    while (last_) pop();
  }

 private:
  Node* last_ = nullptr;
};

enum class Mode : std::uint8_t { reverse, forward, batch };
struct Level {
  std::uint64_t id;  // 0: closed
  Mode mode;
  Tape* tape;         // reverse
  std::int64_t size;  // batch: the extent of the mapped axis
};
inline constexpr int kMaxLevels = 32;
struct LevelTable {
  Level at[kMaxLevels + 1];
  int depth;
};
inline constinit thread_local LevelTable levels{};
inline constinit std::uint64_t last_level_id = 0;  // process-wide, so that another thread's level is recognised too

void trace(const Op& op, int depth, Args x, Ref<Array>* y, std::uint64_t dying);
// Runs the rules from the newest node to the oldest; `consume` frees each node once used.
void backward(Tape& tape, bool consume);

// A transform while its function runs.
class OpenLevel {
 public:
  OpenLevel(Mode mode, Tape* tape, std::int64_t size = 0) {
    if (levels.depth == kMaxLevels) throw_error("[transform] more than 32 nested transforms");
    __atomic_store_n(&tracer, &detail::trace, __ATOMIC_RELAXED);
    depth_ = ++levels.depth;
    id_ = __atomic_add_fetch(&last_level_id, 1, __ATOMIC_RELAXED);
    levels.at[depth_] = {id_, mode, tape, size};
  }
  OpenLevel(const OpenLevel&) = delete;
  OpenLevel& operator=(const OpenLevel&) = delete;
  ~OpenLevel() {
    levels.at[depth_].id = 0;
    --levels.depth;
  }
  bool owns(const Array& a) const { return a.depth == depth_ && a.level == id_; }
  // v as the function sees it.
  Ref<Array> trace(Ref<Array> v, const Shape& shape, Slot* slot, Ref<Array> tangent) const {
    Ref<Array> a = Array::husk(v->dtype, shape, v->device);
    a->depth = std::uint8_t(depth_);
    a->level = id_;
    a->slot = slot;
    a->value = std::move(v);
    a->tangent = std::move(tangent);
    return a;
  }

 private:
  int depth_;
  std::uint64_t id_;
};

// n values, on the stack when few.
template <class T>
class Scratch {
 public:
  explicit Scratch(int n) : p_(n <= kFew ? few_ : new T[std::size_t(n)]{}) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (p_ != few_) delete[] p_;
  }
  T& operator[](int i) { return p_[i]; }
  T* get() { return p_; }

 private:
  static constexpr int kFew = 6;
  T few_[kFew]{};
  T* p_;
};

// What the tracer and the walk need of the operations above them (autograd/structural.hpp).
Ref<Array> add(Ref<Array> a, Ref<Array> b);
Ref<Array> reshape(const Ref<Array>& x, const Shape& to);

#if !defined(ERGO_COMPILED)  // the archive has what follows
// Gives a pre-allocated wrapper the value it stands for.
inline Ref<Array> wrap(Ref<Array> wrapper, int depth, std::uint64_t id, Ref<Array> v, const Shape& shape) {
  wrapper->dtype = v->dtype;
  wrapper->device = v->device;
  wrapper->shape = shape;
  wrapper->depth = std::uint8_t(depth);
  wrapper->level = id;
  wrapper->value = std::move(v);
  return wrapper;
}

// Leading axes are free: align ranks behind the mapped axis and run the same operation one level down. An unmapped
// operand broadcasts as it is; a mapped one with fewer leading axes than the most gets ones behind its mapped axis.
inline void trace_batch(const Op& op, int depth, std::uint64_t id, Args x, Array** low, Ref<Array>* y) {
  const int n = op.n_in;
  int lead = 0;
  for (int i = 0; i < n; ++i)
    if (x[i] && x[i]->shape.rank() - op.core(i) > lead) lead = x[i]->shape.rank() - op.core(i);
  Scratch<Ref<Array>> aligned(n);
  std::int64_t size = 0;  // of the mapped axis
  for (int i = 0; i < n; ++i) {
    if (!x[i] || x[i]->depth != depth) continue;
    size = low[i]->shape[0];
    int pad = lead - (x[i]->shape.rank() - op.core(i));
    if (pad <= 0) continue;
    Shape s{low[i]->shape[0]};
    for (; pad > 0; --pad) s.push(1);
    aligned[i] = reshape(x[i]->value, s + x[i]->shape);
    low[i] = aligned[i].get();
  }
  dispatch(op, low, y);
  for (int k = 0; k < op.n_out; ++k) {
    if (!y[k]) continue;  // a residual: a definition gives none
    if (y[k]->shape.rank() == 0 || y[k]->shape[0] != size)
      fail(op.name, *y[k], {"under vmap, its rule must keep the leading axis, of extent ", size});
    const Shape shape = y[k]->shape.last(y[k]->shape.rank() - 1);
    Ref<Array> wrapper = Array::husk(y[k]->dtype, shape, y[k]->device);
    y[k] = wrap(std::move(wrapper), depth, id, std::move(y[k]), shape);
  }
}

inline void trace_forward(const Op& op, int depth, std::uint64_t id, Args x, Array** low, Ref<Array>* y) {
  dispatch(op, low, y);
  if (!op.differentiable) return;
  const int n = op.n_in;
  Scratch<Array*> t(n), ys(op.n_out);
  Scratch<Ref<Array>> ty(op.n_out);
  bool any = false;
  for (int i = 0; i < n; ++i)
    if (x[i] && x[i]->depth == depth && x[i]->tangent) {
      t[i] = x[i]->tangent.get();
      any = true;
    }
  if (!any) return;  // a zero tangent: the result is a constant of this level
  for (int k = 0; k < op.n_out; ++k) ys[k] = y[k].get();
  op.jvp(t.get(), ys.get(), low, ty.get());
  for (int k = 0; k < op.n_out; ++k) {
    if (!ty[k]) continue;
    const Shape shape = y[k]->shape;
    Ref<Array> wrapper = Array::husk(y[k]->dtype, shape, y[k]->device);
    y[k] = wrap(std::move(wrapper), depth, id, std::move(y[k]), shape);
    y[k]->tangent = std::move(ty[k]);
  }
}

// Everything that allocates comes before a kernel that may write over a dying input, so that a failed allocation leaves
// the caller's tensors as they were.
inline void trace_reverse(const Op& op, int depth, const Level& level, Args x, Array** low, int tracked, Ref<Array>* y,
                          std::uint64_t dying) {
  const int n = op.n_in;
  const auto is_tracked = [&](int i) { return x[i] && x[i]->depth == depth; };
  const std::uint64_t id = level.id;
  const Shape* overwritten = nullptr;
  for (int i = 0; dying >> i; ++i) {  // not what the node keeps, nor what someone else holds
    if (!(dying >> i & 1)) continue;
    if (op.keeps(tracked - is_tracked(i)) || !unique(low[i]->refs))
      dying &= ~(std::uint64_t(1) << i);
    else
      overwritten = &low[i]->shape;
  }
  if (!op.differentiable) return dispatch(op, low, y, dying);

  Node* node = level.tape->push(op);
  try {
    Scratch<Ref<Array>> wrapper(op.n_out);
    for (int k = 0; k < op.n_out; ++k) wrapper[k] = Array::husk(DType::float32, Shape{}, Device::cpu());
    const auto keep_shape = [&](int i, const Shape& of_y) {
      if (is_tracked(i) && !node->in()[i].x && (op.n_out > 1 || low[i]->shape != of_y))
        node->in()[i].x = Array::husk(low[i]->dtype, low[i]->shape, low[i]->device);
    };
    for (int i = 0; i < n; ++i) {
      if (!x[i]) continue;
      if (is_tracked(i)) node->in()[i].to = x[i]->slot;
      if (op.keeps(tracked - is_tracked(i)))
        node->in()[i].x = Ref<Array>::share(low[i]);
      else if (overwritten)
        keep_shape(i, *overwritten);
    }
    dispatch(op, low, y, dying);
    for (int i = 0; i < n; ++i) keep_shape(i, y[0] ? y[0]->shape : low[i]->shape);
    for (int k = 0; k < op.n_out; ++k) {
      if (!y[k]) continue;  // a residual: a definition gives none
      Slot* s = node->out() + k;
      if (int(op.uses) & int(Uses::output)) s->y = y[k];
      const Shape shape = y[k]->shape;
      y[k] = wrap(std::move(wrapper[k]), depth, id, std::move(y[k]), shape);
      y[k]->slot = s;
    }
  } catch (...) {
    while (level.tape->last() != node) level.tape->pop();
    level.tape->pop();
    throw;
  }
}

[[noreturn, gnu::cold]] ERGO_ONCE void fail_escaped(const Op& op, Args x) {
  fail(op.name, x, op.n_in,
       "a tensor of a finished transform, or of another thread's, is used here\n"
       "  (return it from the function, or store stop_gradient of it)");
}

ERGO_ONCE void trace(const Op& op, int depth, Args x, Ref<Array>* y, std::uint64_t dying) {
  const Level& level = levels.at[depth <= levels.depth ? depth : 0];
  const int n = op.n_in;
  int tracked = 0;
  Scratch<Array*> low(n);
  for (int i = 0; i < n; ++i) {
    low[i] = x[i];
    if (!x[i] || x[i]->depth != depth) continue;
    if (x[i]->level != level.id || level.id == 0) fail_escaped(op, x);
    low[i] = x[i]->value.get();
    ++tracked;
  }
  const bool has_rule = level.mode == Mode::reverse   ? op.has_vjp
                        : level.mode == Mode::forward ? op.has_jvp
                                                      : op.leading_axes_free;
  if (!has_rule && (op.differentiable || level.mode == Mode::batch)) return op.definition(x, y);
  switch (level.mode) {
    case Mode::batch:
      return trace_batch(op, depth, level.id, x, low.get(), y);
    case Mode::forward:
      return trace_forward(op, depth, level.id, x, low.get(), y);
    case Mode::reverse:
      return trace_reverse(op, depth, level, x, low.get(), tracked, y, dying);
  }
}

ERGO_ONCE void backward(Tape& tape, bool consume) {
  for (Node* n = tape.last(); n;) {
    Node* prev = n->prev;
    {
      Scratch<Ref<Array>> g(n->n_out), dx(n->n_in);
      Scratch<Array*> gp(n->n_out), yp(n->n_out), xp(n->n_in);
      bool any = false;
      for (int k = 0; k < n->n_out; ++k) {
        g[k] = std::move(n->out()[k].g);
        gp[k] = g[k].get();
        yp[k] = n->out()[k].y.get();
        any = any || gp[k];
      }
      if (any) {
        for (int i = 0; i < n->n_in; ++i) xp[i] = n->in()[i].x.get();
        if (n->op->gathers)
          for (int i = 0; i < n->n_in; ++i)
            if (Slot* to = n->in()[i].to) dx[i] = std::move(to->g);
        n->op->vjp(gp.get(), yp.get(), xp.get(), Wanted{n->in()}, dx.get());
        for (int k = 0; k < n->n_out; ++k)
          g[k] = {};  // so that a cotangent passed on unchanged is the next one's alone
        for (int i = 0; i < n->n_in; ++i)
          if (Slot* to = n->in()[i].to; to && dx[i])
            to->g = to->g ? add(std::move(to->g), std::move(dx[i])) : std::move(dx[i]);
      }
    }
    if (consume) tape.pop();
    n = prev;
  }
}
#endif

}  // namespace ergo::inline ERGO_BUILD::detail

// Rows of movement.
#include <algorithm>
#include <set>

#include "cases/moved_elements.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/repetition.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/sliding_window.hpp"

namespace cases {
namespace {

using namespace ergo;

const Shapes kAll = {{{2, 3, 4}}, {{5}}, {{}}, {{1}}, {{0}}, {{1, 7}}, {{3, 0, 2}}, {{33, 17}}, {{2, 1, 3, 2}}};
const Shapes kAxes = {{{3, 4}}, {{5}}, {{1, 7}}, {{3, 0, 2}}, {{33, 17}}, {{2, 1, 3, 2}}};  // rank 1 at least
const Shapes kMatrices = {{{3, 4}}, {{1, 1}}, {{4, 2}}, {{2, 3, 3}}, {{0, 3}}, {{33, 17}}, {{2, 17, 70}}};
const Shapes kPairs = {
    {{3, 4}, {3, 4}}, {{1, 7}, {1, 7}}, {{33, 17}, {33, 17}}, {{2, 1, 3}, {2, 1, 3}}, {{3, 0}, {3, 0}}};
const std::vector<Shape> kLarge = {{310, 300}}, kLargePair = {{310, 300}, {310, 300}};

// The position of p with the order of its axes changed: axis d of p is axis to(d) of a tensor of shape s.
std::int64_t reordered(const Shape& s, const Place& p, const std::function<int(int)>& to) {
  Place at(p.size());
  for (std::size_t d = 0; d < p.size(); ++d) at[std::size_t(to(int(d)))] = p[d];
  return position(s, at);
}
Place with_last(Place p, std::int64_t last) {
  p.back() = last;
  return p;
}
Place with_first(Place p, std::int64_t first) {
  p.front() = first;
  return p;
}
Place without(Place p, std::size_t axis) {
  p.erase(p.begin() + std::ptrdiff_t(axis));
  return p;
}
Shape with_extent(Shape s, int axis, std::int64_t n) {
  s[axis] = n;
  return s;
}
Shape reversed(const Shape& s) {
  Shape r;
  for (int d = s.rank() - 1; d >= 0; --d) r.push(s[d]);
  return r;
}
std::int64_t clamped(std::int64_t i, std::int64_t n) { return std::clamp<std::int64_t>(i, 0, n - 1); }
std::int64_t reflected(std::int64_t i, std::int64_t n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

}  // namespace

std::vector<Case> movement_cases() {
  std::vector<Case> all = {
      moving_row("reshape", kAll, kLarge, OP(reshape(x, {x.numel(), 1})), MOVED((Shape{s.numel(), 1}), p[0])),
      moving_row("reshape: of a transpose", kAll, kLarge, OP(reshape(transpose(x), {x.numel()})),
                 [](const Doubles& in) {
                   const Shape s = in[0].shape(), back = reversed(s);
                   std::vector<std::int64_t> order;
                   for (std::int64_t i = 0; i < s.numel(); ++i) {
                     Place p(std::size_t(s.rank()));
                     for (std::int64_t d = s.rank() - 1, rest = i; d >= 0; --d) {
                       p[std::size_t(d)] = rest % back[int(d)];
                       rest /= back[int(d)];
                     }
                     order.push_back(reordered(s, p, [&](int d) { return s.rank() - 1 - d; }));
                   }
                   return moved(in[0], {s.numel()}, [&](const Place& p) { return order[std::size_t(p[0])]; });
                 }),
      moving_row("flatten", kAll, kLarge, OP(flatten(x)), MOVED(Shape{s.numel()}, p[0])),
      moving_row("transpose", kAll, kLarge, OP(transpose(x)),
                 MOVED(reversed(s), reordered(s, p, [&](int d) { return s.rank() - 1 - d; }))),
      moving_row("permute", {{{2, 3, 4}}, {{1, 5, 2}}, {{0, 3, 1}}, {{17, 3, 33}}}, {{60, 40, 30}},
                 OP(permute(x, {2, 0, 1})),
                 MOVED((Shape{s[2], s[0], s[1]}), reordered(s, p, [](int d) { return (d + 2) % 3; }))),
      moving_row("swap_axes", {{{2, 3, 4}}, {{1, 5, 2}}, {{0, 3, 1}}}, {{60, 40, 30}}, OP(swap_axes(x, 0, -1)),
                 MOVED((Shape{s[2], s[1], s[0]}), reordered(s, p, [](int d) { return 2 - d; }))),
      moving_row("move_axis", {{{2, 3, 4}}, {{1, 5, 2}}, {{0, 3, 1}}}, {{60, 40, 30}}, OP(move_axis(x, 0, -1)),
                 MOVED((Shape{s[1], s[2], s[0]}), reordered(s, p, [](int d) { return (d + 1) % 3; }))),
      moving_row("squeeze", {{{1, 3, 1}}, {{1, 0, 1}}, {{1, 1, 1}}}, {{1, 90000, 1}}, OP(squeeze(x, {0, 2})),
                 MOVED(Shape{s[1]}, p[0])),
      moving_row("expand_dims", kAll, kLarge, OP(expand_dims(x, {0, -1})),
                 MOVED(Shape{1} + s + Shape{1}, position(s, Place(p.begin() + 1, p.end() - 1)))),
      moving_row("broadcast_to", {{{2, 1, 4}}, {{1, 1, 1}}, {{5, 1, 0}}, {{1, 1, 17}}}, {{40, 1, 200}},
                 OP(broadcast_to(x, {2, x.shape()[0], 3, x.shape()[2]})),
                 MOVED((Shape{2, s[0], 3, s[2]}), position(s, {p[1], 0, p[3]}))),
      moving_row("meshgrid", {{{3}, {4}}, {{1}, {5}}, {{0}, {2}}}, {{300}, {310}},
                 OP(meshgrid({x, y})[0] - meshgrid({x, y})[1]),
                 [](const Doubles& in) {
                   const auto x = in[0].to_vector(), y = in[1].to_vector();
                   return cubes({x.size(), y.size()},
                                [&](const Place& p) { return x[std::size_t(p[0])] - y[std::size_t(p[1])]; });
                 }),
      moving_row("concatenate", kPairs, kLargePair, OP(concatenate({x, y, x}, -1)),
                 [](const Doubles& in) {
                   const Shape s = in[0].shape();
                   const std::int64_t n = s[-1];
                   const auto x = in[0].to_vector(), y = in[1].to_vector();
                   return cubes(with_extent(s, -1, 3 * n), [&](const Place& p) {
                     return (p.back() / n == 1 ? y : x)[std::size_t(position(s, with_last(p, p.back() % n)))];
                   });
                 }),
      moving_row("concatenate: first axis", kPairs, kLargePair, OP(concatenate({x, slice(y, 0, 1)})),
                 [](const Doubles& in) {
                   const Shape s = in[0].shape();
                   const std::int64_t n = s[0];
                   const auto x = in[0].to_vector(), y = in[1].to_vector();
                   return cubes(with_extent(s, 0, 2 * n - 1), [&](const Place& p) {
                     return (p[0] < n ? x : y)[std::size_t(position(s, with_first(p, p[0] < n ? p[0] : p[0] - n + 1)))];
                   });
                 }),
      moving_row("stack", kPairs, kLargePair, OP(stack({x, y}, -1)),
                 [](const Doubles& in) {
                   const auto x = in[0].to_vector(), y = in[1].to_vector();
                   return cubes(in[0].shape() + Shape{2}, [&](const Place& p) {
                     return (p.back() ? y : x)[std::size_t(position(in[0].shape(), Place(p.begin(), p.end() - 1)))];
                   });
                 }),
      moving_row("unstack", {{{3, 2}}, {{1, 2}}, {{17, 2}}, {{0, 2}}}, {{90000, 2}},
                 OP(unstack(x, 1)[0] + unstack(x, 1)[1]),
                 [](const Doubles& in) {
                   const auto v = in[0].to_vector();
                   return cubes({in[0].shape()[0]}, [&](const Place& p) {
                     return v[std::size_t(2 * p[0])] + v[std::size_t(2 * p[0] + 1)];
                   });
                 }),
      moving_row("split", {{{2, 6}}, {{1, 3}}, {{5, 0}}, {{17, 33}}}, {{300, 900}}, OP(split(x, 3, -1)[1]),
                 MOVED(with_extent(s, -1, s[-1] / 3), position(s, with_last(p, p.back() + s[-1] / 3)))),
      moving_row("slice", kAxes, kLarge, OP(slice(x, -1, 1, none, 2)),
                 MOVED(with_extent(s, -1, s[-1] / 2), position(s, with_last(p, 2 * p.back() + 1)))),
      moving_row("slice: backwards", kAxes, kLarge, OP(slice(x, 0, none, none, -2)),
                 MOVED(with_extent(s, 0, (s[0] + 1) / 2), position(s, with_first(p, s[0] - 1 - 2 * p[0])))),
      moving_row("set_slice", {{{3, 4}, {3, 2}}, {{2, 7}, {1, 3}}, {{2, 3, 5}, {2}}}, {{310, 300}, {310, 150}},
                 OP(set_slice(x, y, -1, 1, none, 2)),
                 [](const Doubles& in) {
                   const auto x = in[0].to_vector(), y = in[1].to_vector();
                   return cubes(in[0].shape(), [&](const Place& p) {
                     return p.back() % 2 ? y[std::size_t(position(in[1].shape(), with_last(p, p.back() / 2)))]
                                         : x[std::size_t(position(in[0].shape(), p))];
                   });
                 }),
      moving_row("flip", kAxes, kLarge, OP(flip(x)), MOVED(s, position(s, with_last(p, s[-1] - 1 - p.back())))),
      moving_row("roll", kAxes, kLarge, OP(roll(x, 2, 0)),
                 MOVED(s, position(s, with_first(p, ((p[0] - 2) % s[0] + s[0]) % s[0])))),
      moving_row("pad", kMatrices, kLarge, OP(pad(flatten(x), {{2, 1}}, {.value = 1})),
                 [](const Doubles& in) {
                   const auto v = in[0].to_vector();
                   const std::int64_t n = in[0].numel();
                   return cubes({n + 3}, [&](const Place& p) {
                     return p[0] < 2 || p[0] >= n + 2 ? 1.0 : v[std::size_t(p[0] - 2)];
                   });
                 }),
      moving_row("pad: zeros", {{{3, 4}}, {{0, 2}}, {{17, 33}}}, kLarge, OP(pad(x, {{1, 0}, {2, 1}})),
                 MOVED((Shape{s[0] + 1, s[1] + 3}),
                       p[0] < 1 || p[1] < 2 || p[1] >= s[1] + 2 ? kZero : position(s, {p[0] - 1, p[1] - 2}))),
      moving_row("pad: edge", {{{3, 4}}, {{1, 2}}, {{17, 33}}}, kLarge,
                 OP(pad(x, {{1, 2}, {0, 3}}, {.mode = Pad::edge})),
                 MOVED((Shape{s[0] + 3, s[1] + 3}), position(s, {clamped(p[0] - 1, s[0]), clamped(p[1], s[1])}))),
      moving_row("pad: reflect", {{{3, 4}}, {{2, 2}}, {{17, 33}}}, kLarge,
                 OP(pad(x, {{1, 1}, {0, 1}}, {.mode = Pad::reflect})),
                 MOVED((Shape{s[0] + 2, s[1] + 1}), position(s, {reflected(p[0] - 1, s[0]), reflected(p[1], s[1])}))),
      moving_row("pad: wrap", {{{3, 4}}, {{1, 2}}, {{17, 33}}}, kLarge,
                 OP(pad(x, {{2, 1}, {0, 3}}, {.mode = Pad::wrap})),
                 MOVED((Shape{s[0] + 3, s[1] + 3}), position(s, {(p[0] - 2 + 2 * s[0]) % s[0], p[1] % s[1]}))),
      moving_row("tile", {{{2, 3}}, {{1, 1}}, {{3, 0}}, {{17, 33}}}, kLarge, OP(tile(x, {2, 3})),
                 MOVED((Shape{2 * s[0], 3 * s[1]}), position(s, {p[0] % s[0], p[1] % s[1]}))),
      moving_row("repeat", kAxes, kLarge, OP(repeat(x, 3)),
                 MOVED(with_extent(s, -1, 3 * s[-1]), position(s, with_last(p, p.back() / 3)))),
      moving_row("repeat: first axis", kAxes, kLarge, OP(repeat(x, 2, 0)),
                 MOVED(with_extent(s, 0, 2 * s[0]), position(s, with_first(p, p[0] / 2)))),
      moving_row("tril", kMatrices, kLarge, OP(tril(x, 1)),
                 MOVED(s, p.back() <= p[p.size() - 2] + 1 ? position(s, p) : kZero)),
      moving_row("triu", kMatrices, kLarge, OP(triu(x)),
                 MOVED(s, p.back() >= p[p.size() - 2] ? position(s, p) : kZero)),
      moving_row("diagonal", {{{3, 4}}, {{1, 1}}, {{17, 33}}}, {{700, 900}}, OP(diagonal(x)),
                 MOVED(Shape{s[0]}, p[0] * s[1] + p[0])),
      moving_row("diag", {{{3}}, {{2, 4}}, {{0}}, {{17}}}, {{700}}, OP(diag(x, 1)),
                 MOVED(s.first(s.rank() - 1) + Shape{s[-1] + 1} + Shape{s[-1] + 1},
                       p.back() == p[p.size() - 2] + 1 ? position(s, without(p, p.size() - 1)) : kZero)),
      moving_row("sliding_window", {{{7}}, {{9, 2}}, {{3}}, {{17, 1}}}, {{40000, 2}}, OP(sliding_window(x, 0, 3, 2)),
                 MOVED(with_extent(s, 0, (s[0] - 3) / 2 + 1) + Shape{3},
                       position(s, with_first(without(p, p.size() - 1), 2 * p[0] + p.back())))),
      moving_row("operator[]", {{{3, 4}}, {{2}}, {{2, 3, 0}}, {{2, 17, 33}}}, {{3, 310, 300}}, OP(x[1]),
                 MOVED(s.last(s.rank() - 1), s.last(s.rank() - 1).numel() + position(s.last(s.rank() - 1), p))),
  };
  const std::set<std::string> views = {"reshape",      "flatten",   "transpose",      "permute", "swap_axes",
                                       "move_axis",    "squeeze",   "expand_dims",    "split",   "broadcast_to",
                                       "meshgrid",     "unstack",   "slice",          "flip",    "slice: backwards",
                                       "operator[]",   "diagonal",  "sliding_window"};
  const std::set<std::string> view_gradients = {"reshape",   "flatten",     "transpose", "permute",    "swap_axes",
                                                "move_axis", "squeeze",     "stack",     "pad: zeros", "expand_dims",
                                                "flip",      "pad",         "diag",      "reshape: of a transpose"};
  for (Case& c : all) {
    if (views.contains(c.name)) c.serial = "a view";
    if (view_gradients.contains(c.name)) c.serial_gradient = "a view";
    if (c.name == "meshgrid") c.bare = [](const Floats& in) { return meshgrid({in[0], in[1]})[0]; };
    if (c.name == "unstack") c.bare = [](const Floats& in) { return unstack(in[0], 1)[0]; };
  }
  return all;
}

}  // namespace cases

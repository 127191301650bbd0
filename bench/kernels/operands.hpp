// Rows of a function of several random operands, and of its vjp. A row tells its own bytes, as what must be moved
// differs with every operation.
#pragma once

#include <type_traits>

#include "bench/kernels/measure.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/random_integer.hpp"

namespace bench {

template <class T>
using Operands = std::vector<Tensor<T>>;
using Ids = Tensor<std::int32_t>;
template <class T>
inline constexpr bool kFloating = std::is_same_v<T, float> || std::is_same_v<T, bfloat16>;

// What a row is of. Sizes that its operands do not show follow in `more`, for the peer to read: "(8)".
struct Of {
  std::string op;
  std::vector<Shape> operands = {};
  std::string more = {};
  double bytes = 0, vjp_bytes = 0;  // 0 of the second: no row of the vjp
  double flops = 0, vjp_flops = 0;
  Shape ids = {};                // random ones for an f(operands, ids)
  std::int64_t below = 0;        // what they are below; 0: there are none
  double lowest = -2, most = 2;  // bounds of the last operand
};

inline double elements(const Shape& s) { return double(s.numel()); }

inline Ids random_ids(std::uint64_t seed, const Shape& s, std::int64_t below) {
  const DeviceScope scope(kDevice);
  return randint(Key{seed}, s, 0, int(below));
}

template <class T>
Operands<T> random_operands(std::uint64_t seed, const Of& of) {
  Operands<T> all;
  if constexpr (kFloating<T>) {
    for (const Shape& s : of.operands) all.push_back(random<T>(seed + all.size(), s));
    if (of.lowest != -2 || of.most != 2) all.back() = (all.back() + 2) * ((of.most - of.lowest) / 4) + of.lowest;
  }
  return all;
}

// f(operands) or f(operands, ids).
template <class T, class F>
auto call(const F& f, const Operands<T>& x, const Ids& ids) {
  if constexpr (std::is_invocable_v<F, const Operands<T>&, const Ids&>)
    return f(x, ids);
  else
    return f(x);
}

// The rows "op" and, if asked for, "op vjp" of f.
template <class T, class F>
void add_function(Rows& rows, const Of& of, F f) {
  Row row{.op = of.op, .shape = "", .dtype = dtype_name<T>(), .bytes = of.bytes, .flops = of.flops};
  for (const Shape& s : of.operands) {
    row.shape += (row.shape.empty() ? "" : " ") + text(s);
    row.input_bytes += elements(s) * sizeof(T);
  }
  if (of.below > 0) {
    row.shape += (row.shape.empty() ? "at " : " at ") + text(of.ids);
    row.input_bytes += 4 * elements(of.ids);
  }
  if (!of.more.empty()) row.shape += " " + of.more;
  const auto ids = [of](std::uint64_t seed) { return of.below > 0 ? random_ids(seed + 8, of.ids, of.below) : Ids(); };
  row.make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random_operands<T>(seed, of), i = ids(seed)] { (void)call(f, x, i); };
  };
  rows.push_back(row);
  if (of.vjp_bytes <= 0) return;
  if constexpr (kFloating<T> && std::is_same_v<decltype(call(f, Operands<T>(), Ids())), Tensor<T>>) {
    row.op += " vjp";
    row.bytes = of.vjp_bytes;
    row.flops = of.vjp_flops;
    row.make = [=](std::uint64_t seed) -> std::function<void()> {
      auto [y, pull] =
          vjp([f, i = ids(seed)](const Operands<T>& p) { return call(f, p, i); }, random_operands<T>(seed, of));
      return [pull = pull, g = random<T>(seed + 9, y.shape())] { (void)pull(g); };
    };
    rows.push_back(row);
  }
}

}  // namespace bench

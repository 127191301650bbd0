// The loop of a pointwise operation: one body over whole packs, instantiated per operation, dtype and instruction set.
// Whatever need not be is compiled once: values that stand for all elements and the rest of the last pack here in
// `LoopRun`, strided, broadcast and parallel operands in the engine (cpu/pointwise.hpp).
#pragma once

#include <cstring>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

inline constexpr int kMaxOperands = 10;

// Rows of whole packs. The operands advance by that many bytes a pack (0: the same one again), and skip as many behind
// each row.
struct PackRows {
  std::int64_t packs, rows;
  const std::int64_t *advance, *skip;  // of each operand
  std::int64_t skip_result;
};

// Computes them to y. `self` is the operation's own data, if it has any. y may be the very memory of an operand.
using PackLoop = IsaFunctions<const void* /*self*/, std::byte* /*y*/, const std::byte* const* /*x*/, const PackRows&>;
struct Loop {
  PackLoop packs;
  int widest;  // bytes of the type that decides how many lanes fit a register
};

namespace detail {

// The widest type that is computed with; bools take what the others need.
template <class... T>
struct WidestOf {
  using type = std::uint8_t;
};
template <class T, class... Rest>
struct WidestOf<T, Rest...> {
  using Tail = typename WidestOf<Rest...>::type;
  using C = Compute<T>;
  using type =
      std::conditional_t<!std::is_same_v<T, bool> &&
                             (sizeof(C) > sizeof(Tail) || (sizeof(C) == sizeof(Tail) && std::is_floating_point_v<C>)),
                         C, Tail>;
};
template <class T, class Widest, int W>
using OperandOf = std::conditional_t<std::is_same_v<T, bool>, Mask<Widest, W>, Pack<Compute<T>, W>>;

// One row: advances y and p. `Unrolled` repeats the body fourfold: what an operation of one instruction needs to keep
// up with the second-level cache, and four times the code. Operand `Kept` is the same pack throughout, and loaded once.
template <Isa I, bool Unrolled, std::size_t Kept, class Out, class... In, class Eval, std::size_t... K>
ERGO_INLINE void run_row(const Eval& eval, std::byte*& y, const std::byte** p, const std::int64_t* by,
                         std::int64_t packs, std::index_sequence<K...>) {
  using Widest = typename WidestOf<Out, In...>::type;
  constexpr int W = kRegisterBytes<I> / int(sizeof(Widest));
  const auto loop = [&](const OperandOf<In, Widest, W>&... first) __attribute__((always_inline)) {
    const auto one = [&]() __attribute__((always_inline)) {
      store_as(reinterpret_cast<Out*>(y),
               eval((K == Kept ? first : load_as<OperandOf<In, Widest, W>>(reinterpret_cast<const In*>(p[K])))...));
      ((p[K] += by[K]), ...);
      y += W * int(sizeof(Out));
    };
    if constexpr (Unrolled) {
      for (; packs >= 4; packs -= 4) {
        one();
        one();
        one();
        one();
      }
    }
    for (; packs > 0; --packs) one();
  };
  loop(load_as<OperandOf<In, Widest, W>>(reinterpret_cast<const In*>(p[K]))...);
}

// All rows. In the loops that memory bounds, an operand that stays where it is (a number, an element of a column) is
// kept in a register.
template <Isa I, bool Unrolled, class Out, class... In, class Eval, std::size_t... K>
ERGO_INLINE void run_packs(const Eval& eval, std::byte* y, const std::byte* const* x, const PackRows& all,
                           std::index_sequence<K...> operands) {
  const std::byte* p[] = {x[K]...};
  const std::int64_t by[] = {all.advance[K]...};
  for (std::int64_t rows = all.rows;;) {
    if constexpr (Unrolled && sizeof...(K) == 2) {
      if (by[0] == 0)
        run_row<I, Unrolled, 0, Out, In...>(eval, y, p, by, all.packs, operands);
      else if (by[1] == 0)
        run_row<I, Unrolled, 1, Out, In...>(eval, y, p, by, all.packs, operands);
      else
        run_row<I, Unrolled, 2, Out, In...>(eval, y, p, by, all.packs, operands);
    } else {
      run_row<I, Unrolled, sizeof...(K), Out, In...>(eval, y, p, by, all.packs, operands);
    }
    if (--rows == 0) return;
    ((p[K] += all.skip[K]), ...);
    y += all.skip_result;
  }
}

template <class F, class Out, class... In>
struct StaticBody {  // F::value(x...), a stateless function of packs
  template <Isa I>
  static ERGO_INLINE void run(const void*, std::byte* y, const std::byte* const* x, const PackRows& rows) {
    const auto eval = [](const auto&... operand) __attribute__((always_inline)) { return F::value(operand...); };
    constexpr bool kLight = requires { typename F::light; };
    run_packs<I, kLight, Out, In...>(eval, y, x, rows, std::index_sequence_for<In...>{});
  }
};
template <class Body, bool Everywhere, class Out, class... In>
constexpr Loop make_loop() {
  return {isa_functions<Body, Everywhere, const void*, std::byte*, const std::byte* const*, const PackRows&>(),
          int(sizeof(typename WidestOf<Out, In...>::type))};
}

// A value of 1, 2, 4 or 8 bytes, again and again through 64 bytes.
inline void replicate(std::byte* to, const std::byte* value, std::int64_t width) {
  std::uint64_t word;
  if (width == 4) {
    std::uint32_t v;
    std::memcpy(&v, value, 4);
    word = v * std::uint64_t(0x0000000100000001u);
  } else if (width == 8) {
    std::memcpy(&word, value, 8);
  } else if (width == 1) {
    word = std::uint8_t(*value) * std::uint64_t(0x0101010101010101u);
  } else {
    std::uint16_t v;
    std::memcpy(&v, value, 2);
    word = v * std::uint64_t(0x0001000100010001u);
  }
  const Pack<std::uint64_t, 2> pair(word);
  for (int i = 0; i < 8; i += 2) pair.store(reinterpret_cast<std::uint64_t*>(to) + i);
}

// n values `apart` bytes from each other, each again and again through `room` bytes, a multiple of 16.
template <class Word>
void replicate_each(std::byte* to, std::int64_t room, const std::byte* from, std::int64_t apart, std::int64_t n) {
  using All = Pack<Word, 16 / int(sizeof(Word))>;
  for (; n > 0; --n, from += apart) {
    Word value;
    std::memcpy(&value, from, sizeof value);
    const All all(value);
    for (std::byte* const end = to + room; to != end; to += 16) all.store(reinterpret_cast<Word*>(to));
  }
}

}  // namespace detail

// The loop of `F::value`, for every instruction set, unrolled if F is `light` (an instruction or two); for the
// compiler's own set alone if F is `rare` (met in derivatives of second order, say), which takes a third of the time
// to compile.
template <class F, class Out, class... In>
inline constexpr Loop pointwise_loop = detail::make_loop < detail::StaticBody<F, Out, In...>,
                      !requires {
  typename F::rare;
}
, Out, In... > ();

// A loop on operands of given widths (bytes of an element), for the instruction set in use.
class LoopRun {
 public:
  LoopRun(const Loop& loop, const void* self, int operands, const std::int64_t* width, std::int64_t out_width)
      : self_(self), operands_(operands), width_(width), out_width_(out_width) {
    const Isa set = loop.packs.best(isa());
    set_ = int(set);
    run_ = loop.packs.of[set_];
    lanes_log2_ = 4 + set_ - __builtin_ctz(unsigned(loop.widest));
  }
  // y[i] for i in [0, n) from operands whose step is 0 (one value for all) or their width. What is left after whole
  // packs takes the same path through padded copies, so that an element does not depend on n and nothing outside is
  // read or written.
  void operator()(std::byte* y, const std::byte* const* x, const std::int64_t* step, std::int64_t n) const {
    alignas(64) std::byte padded[kMaxOperands][64];
    const std::byte* p[kMaxOperands];
    std::int64_t advance[kMaxOperands];
    const std::int64_t packs = n >> lanes_log2_, rest = n & ((std::int64_t(1) << lanes_log2_) - 1);
    for (int k = 0; k < operands_; ++k) {
      advance[k] = step[k] << lanes_log2_;
      p[k] = x[k];
      if (step[k] == 0) {
        detail::replicate(padded[k], x[k], width_[k]);
        p[k] = padded[k];
      }
    }
    if (packs) run_(self_, y, p, {packs, 1, advance, advance, 0});
    if (!rest) return;
    alignas(64) std::byte last[64];
    for (int k = 0; k < operands_; ++k) {
      if (step[k] == 0) continue;
      std::memset(padded[k], 0, 64);
      copy_few(padded[k], x[k] + packs * advance[k], rest, width_[k]);
      p[k] = padded[k];
    }
    run_(self_, last, p, {1, 1, advance, advance, 0});
    copy_few(y + (packs << lanes_log2_) * out_width_, last, rest, out_width_);
  }
  // The same for rows, more than one: the operands of the next are `across` bytes further, its results behind those of
  // the last.
  void operator()(std::byte* y, const std::byte* const* x, const std::int64_t* step, std::int64_t n,
                  const std::int64_t* across, std::int64_t rows) const {
    constexpr std::int64_t kValues = 80;  // as many values of rows are laid out at once, in a register's bytes each
    alignas(64) std::byte values[kValues * 64];
    const std::byte *at[kMaxOperands], *p[kMaxOperands];
    std::int64_t advance[kMaxOperands], skip[kMaxOperands], apart[kMaxOperands], batch = rows;
    const std::int64_t packs = n >> lanes_log2_, rest = n & ((std::int64_t(1) << lanes_log2_) - 1);
    const std::int64_t room = std::int64_t(16) << set_;
    int changing = 0;
    for (int k = 0; k < operands_; ++k) {
      at[k] = x[k];
      advance[k] = step[k] << lanes_log2_;
      apart[k] = across[k];
      skip[k] = step[k] ? apart[k] - packs * advance[k] : apart[k] ? room : 0;
      changing += !step[k] && apart[k];
    }
    if (changing) batch = (kValues - operands_ + changing) / changing;
    for (;;) {
      const std::int64_t here = batch < rows ? batch : rows;
      std::byte* free = values;
      for (int k = 0; k < operands_; ++k) {
        p[k] = step[k] ? at[k] : free;
        if (step[k]) continue;
        const std::int64_t count = apart[k] ? here : 1;
        replicate(free, room, at[k], apart[k], count, width_[k]);
        free += count * room;
      }
      if (packs) run_(self_, y, p, {packs, here, advance, skip, rest * out_width_});
      if (rest) run_rest(y, p, advance, skip, packs, rest, here);
      if ((rows -= here) == 0) return;
      y += here * n * out_width_;
      for (int k = 0; k < operands_; ++k) at[k] += here * apart[k];
    }
  }
  // One element: scalars, where overhead is all there is.
  void operator()(std::byte* y, const std::byte* const* x) const {
    alignas(64) std::byte padded[kMaxOperands][64], last[64];
    const std::byte* p[kMaxOperands];
    constexpr std::int64_t kStay[kMaxOperands] = {};
    for (int k = 0; k < operands_; ++k) {
      detail::replicate(padded[k], x[k], width_[k]);
      p[k] = padded[k];
    }
    run_(self_, last, p, {1, 1, kStay, kStay, 0});
    copy_few(y, last, 1, out_width_);
  }

 private:
  void run_rest(std::byte* y, const std::byte* const* x, const std::int64_t* advance, const std::int64_t* skip,
                std::int64_t packs, std::int64_t rest, std::int64_t rows) const {
    alignas(64) std::byte padded[kMaxOperands][64], last[64];
    const std::byte* p[kMaxOperands];
    for (int k = 0; k < operands_; ++k) {
      p[k] = advance[k] ? padded[k] : x[k];
      if (advance[k]) std::memset(padded[k], 0, 64);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      for (int k = 0; k < operands_; ++k) {
        if (advance[k])
          copy_few(padded[k], x[k] + packs * advance[k] + r * (packs * advance[k] + skip[k]), rest, width_[k]);
        else
          p[k] = x[k] + r * skip[k];
      }
      run_(self_, last, p, {1, 1, advance, skip, 0});
      y += (packs << lanes_log2_) * out_width_;
      copy_few(y, last, rest, out_width_);
      y += rest * out_width_;
    }
  }
  static void replicate(std::byte* to, std::int64_t room, const std::byte* from, std::int64_t apart, std::int64_t n,
                        std::int64_t width) {
    const auto each = width == 4   ? detail::replicate_each<std::uint32_t>
                      : width == 8 ? detail::replicate_each<std::uint64_t>
                      : width == 1 ? detail::replicate_each<std::uint8_t>
                                   : detail::replicate_each<std::uint16_t>;
    each(to, room, from, apart, n);
  }
  // One element without a call.
  static void copy_few(std::byte* to, const std::byte* from, std::int64_t n, std::int64_t width) {
    if (n > 1)
      std::memcpy(to, from, std::size_t(n * width));
    else if (width == 4)
      std::memcpy(to, from, 4);
    else if (width == 8)
      std::memcpy(to, from, 8);
    else
      *to = *from;
  }
  void (*run_)(const void*, std::byte*, const std::byte* const*, const PackRows&);
  const void* self_;
  int operands_, set_, lanes_log2_;
  const std::int64_t* width_;
  std::int64_t out_width_;
};

}  // namespace ergo::inline ERGO_BUILD::cpu

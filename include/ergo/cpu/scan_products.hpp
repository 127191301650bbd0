// Running products of floats along an axis, and their slopes. A product is one of Scaled numbers in the order of the
// elements, rounded once: where it is a float it comes out as one, whatever the products of parts are. It is taken in
// plain doubles, which have the same bits as long as all of them are normal; a block in which one is not is taken
// again.
//
// Rows go four side by side, and so do the chunks of long ones, of fixed length; columns in packs.
#pragma once

#include "ergo/cpu/math_basic.hpp"
#include "ergo/cpu/scaled.hpp"
#include "ergo/cpu/scan_states.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

inline constexpr std::int64_t kProductBlock = 256;

template <class T, class Out>
void scaled_products(const T* x, Out* y, std::int64_t n, std::int64_t step, bool exclusive, Scaled* state) {
  Scaled s = *state;
  for (std::int64_t i = 0; i < n; ++i) {
    const Scaled next = s * Scaled(double(x[i * step]));
    if (y) y[i * step] = Out((exclusive ? s : next).value());
    s = next;
  }
  *state = s;
}
// R runs of n elements side by side, `step` apart; y null: only their states.
template <int R, class T, class Out>
void products_beside(const T* const (&x)[R], Out* const (&y)[R], std::int64_t n, std::int64_t step, bool exclusive,
                     Scaled* state) {
  for (std::int64_t k = 0; k < n; k += kProductBlock) {
    const std::int64_t m = n - k < kProductBlock ? n - k : kProductBlock;
    double p[R];
    bool normal = true;
    for (int r = 0; r < R; ++r) p[r] = state[r].value(), normal = normal && Scaled::is_normal(p[r]);
    const auto take = [&](auto write) {
      unsigned rest = 0;  // elements behind which a product was not normal
      for (std::int64_t i = k; i < k + m; ++i)
        for (int r = 0; r < R; ++r) {
          const double next = p[r] * double(x[r][i * step]);
          if constexpr (write) y[r][i * step] = Out(exclusive ? p[r] : next);
          rest |= !Scaled::is_normal(next);
          p[r] = next;
        }
      normal = rest == 0;
    };
    if (normal && y[0]) take(std::true_type{});
    if (normal && !y[0]) take(std::false_type{});
    for (int r = 0; r < R; ++r)
      if (normal)
        state[r] = Scaled(p[r]);
      else
        scaled_products(x[r] + k * step, y[r] ? y[r] + k * step : nullptr, m, step, exclusive, state + r);
  }
}
// n rows of `width` columns, `pitch` apart, of few rows.
template <class T, class Out>
struct ProductColumnsBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, Out* y, std::int64_t n, std::int64_t pitch, std::int64_t width,
                              bool exclusive, Scaled* state) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(double));
    using P = Pack<double, W>;
    std::int64_t c = 0;
    for (; c + W <= width; c += W) {
      alignas(64) double held[W];
      for (int w = 0; w < W; ++w) held[w] = state[c + w].value();
      P p = P::load(held);
      const P least(0x1p-1022), most(0x1.fffffffffffffp1023);
      auto normal = least <= abs(p);
      for (std::int64_t i = 0; i < n; ++i) {
        const P next = p * load_as<P>(x + i * pitch + c), size = abs(next);
        store_as(y + i * pitch + c, exclusive ? p : next);
        normal = normal & (least <= size) & (size <= most);
        p = next;
      }
      p.store(held);
      for (int w = 0; w < W; ++w)
        if (normal[w])
          state[c + w] = Scaled(held[w]);
        else
          scaled_products(x + c + w, y + c + w, n, pitch, exclusive, state + c + w);
    }
    for (; c < width; ++c) {
      const T* const from[1] = {x + c};
      Out* const to[1] = {y + c};
      products_beside<1>(from, to, n, pitch, exclusive, state + c);
    }
  }
};

// The product so far, of any exponent.
template <class T>
struct ScaledProductOf {
  using In = T;
  using Out = Scaled;
  static constexpr int inputs = 1;
  using State = Scaled;
  static State combine(const State& a, const State& b) { return a * b; }
  static void run(const T* const* x, Scaled* y, std::int64_t n, std::int64_t step, std::int64_t, ScanOptions options,
                  State* state) {
    State s = *state;
    for (std::int64_t i = 0; i < n; ++i) {
      const State next = s * Scaled(double(x[0][i * step]));
      if (y) y[i * step] = options.exclusive ? s : next;
      s = next;
    }
    *state = s;
  }
};
// The product so far and its slope along the second input.
template <class T>
struct ProductSlopeOf {
  using In = T;
  using Out = T;
  static constexpr int inputs = 2;
  struct State {
    Scaled product, slope{0, 0};
  };
  static State combine(const State& a, const State& b) {
    return {a.product * b.product, a.slope * b.product + a.product * b.slope};
  }
  static void run(const T* const* x, T* y, std::int64_t n, std::int64_t step, std::int64_t, ScanOptions options,
                  State* state) {
    State s = *state;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto a = Scaled(double(x[0][i * step])), t = Scaled(double(x[1][i * step]));
      const Scaled next = s.slope * a + s.product * t;
      if (y) y[i * step] = T((options.exclusive ? s.slope : next).value());
      s.product = s.product * a;
      s.slope = next;
    }
    *state = s;
  }
};
// The recurrence h[k] = a[k] h[k - 1] + b[k], or as `Form` has it, times what y holds.
template <class T, Recurrence Form>
struct ScaledRecurrenceOf {
  using In = T;
  using Out = Scaled;
  static constexpr int inputs = 2;
  struct State {
    Scaled product, value{0, 0};
  };
  static State combine(const State& a, const State& b) {
    // The product of many may be infinite before anything was there to be multiplied.
    const bool none = a.value.mantissa == 0 && b.product.mantissa == b.product.mantissa;
    return {a.product * b.product, none ? b.value : a.value * b.product + b.value};
  }
  static void run(const T* const* x, Scaled* y, std::int64_t n, std::int64_t step, std::int64_t, ScanOptions,
                  State* state) {
    State s = *state;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto a = Scaled(double(x[0][i * step])), b = Scaled(double(x[1][i * step]));
      const Scaled late = s.value + b, out = Form == Recurrence::late ? late : s.value;
      s.value = Form == Recurrence::late ? late * a : s.value * a + b;
      if (!y) s.product = s.product * a;
      if (y) y[i * step] = y[i * step] * out;
    }
    *state = s;
  }
};

}  // namespace detail

// x (float or double), at depth 0 on the CPU, along an axis counted from the front.
template <class T>
Ref<Array> running_products(const Array& x, int axis, ScanOptions options) {
  using namespace detail;
  const Ref<Array> from = ergo::detail::dense(x);
  Ref<Array> y = Array::make(dtype_of<T>, x.shape);
  if (y->numel() == 0) return y;
  const T* const p = reinterpret_cast<const T*>(from->data);
  T* const q = reinterpret_cast<T*>(y->data);
  const std::int64_t n = x.shape[axis], inner = x.shape.last(x.shape.rank() - 1 - axis).numel(),
                     outer = y->numel() / n / inner;
  if (inner > 1) {
    constexpr std::int64_t kColumns = 256, kRows = 32;
    const std::int64_t blocks = (inner + kColumns - 1) / kColumns, width = inner < kColumns ? inner : kColumns;
    parallel_for(outer * blocks, 1 + 16383 / (n * width), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t c = t % blocks * kColumns, wide = inner - c < kColumns ? inner - c : kColumns;
        Scaled state[kColumns];
        for (std::int64_t k = 0; k < n; k += kRows) {
          const std::int64_t at = (t / blocks * n + (options.reverse ? n - 1 - k : k)) * inner + c;
          for_isa<ProductColumnsBody<T, T>>(p + at, q + at, n - k < kRows ? n - k : kRows,
                                            options.reverse ? -inner : inner, wide, options.exclusive,
                                            static_cast<Scaled*>(state));
        }
      }
    });
    return y;
  }
  // Pieces of rows in their scanning order, four side by side.
  constexpr std::int64_t kPieceLength = 16384;
  const std::int64_t chunks = (n + kPieceLength - 1) / kPieceLength, pieces = outer * chunks,
                     length = n < kPieceLength ? n : kPieceLength;
  const Scratch<Scaled> states(pieces);
  Scaled* const state = states.data();
  const auto scan = [&](T* to) {
    parallel_for((pieces + 3) / 4, 1 + 4096 / length, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t g = begin; g < end; ++g) {
        const T* in[4];
        T* out[4];
        std::int64_t many[4];
        const std::int64_t first = 4 * g, beside = pieces - first < 4 ? pieces - first : 4;
        for (std::int64_t r = 0; r < beside; ++r) {
          const std::int64_t row = (first + r) / chunks, k = (first + r) % chunks * kPieceLength,
                             at = row * n + (options.reverse ? n - 1 - k : k);
          in[r] = p + at;
          out[r] = to ? to + at : nullptr;
          many[r] = n - k < kPieceLength ? n - k : kPieceLength;
        }
        const std::int64_t step = options.reverse ? -1 : 1;
        if (beside == 4 && many[0] == many[1] && many[0] == many[2] && many[0] == many[3]) {
          products_beside<4>(in, out, many[0], step, options.exclusive, state + first);
          continue;
        }
        for (std::int64_t r = 0; r < beside; ++r) {
          const T* const one[1] = {in[r]};
          T* const its[1] = {out[r]};
          products_beside<1>(one, its, many[r], step, options.exclusive, state + first + r);
        }
      }
    });
  };
  for (std::int64_t i = 0; i < pieces; ++i) state[i] = {};
  if (chunks > 1) {
    scan(nullptr);
    for (std::int64_t i = 0; i < pieces; i += chunks) {
      Scaled all;
      for (std::int64_t c = i; c < i + chunks; ++c) {
        const Scaled next = all * state[c];
        state[c] = all;
        all = next;
      }
    }
  }
  scan(q);
  return y;
}
// Its slope along t; x, t of one shape.
template <class T>
Ref<Array> product_slope(const Array& x, const Array& t, int axis, ScanOptions options) {
  const Array* in[] = {&x, &t};
  return running<detail::ProductSlopeOf<T>>(in, axis, options);
}
// What a cotangent g of it is to x: y[k] = (x[0] ... x[k - 1]) (g[k] + x[k + 1] (g[k + 1] + x[k + 2] (...))).
template <class T>
Ref<Array> product_cotangent(const Array& x, const Array& g, int axis, ScanOptions options) {
  const Ref<Array> from = ergo::detail::dense(x), given = ergo::detail::dense(g);
  Ref<Array> y = Array::make(dtype_of<T>, x.shape);
  const std::int64_t n = y->numel();
  if (n == 0) return y;
  const T* const in[] = {reinterpret_cast<const T*>(from->data), reinterpret_cast<const T*>(given->data)};
  const Scratch<Scaled> product(n);
  Scaled* const p = product.data();
  detail::run_states<detail::ScaledProductOf<T>>(in, p, x.shape, axis, {options.reverse, true});
  const ScanOptions back{!options.reverse, false};
  if (options.exclusive)
    detail::run_states<detail::ScaledRecurrenceOf<T, Recurrence::exclusive>>(in, p, x.shape, axis, back);
  else
    detail::run_states<detail::ScaledRecurrenceOf<T, Recurrence::late>>(in, p, x.shape, axis, back);
  T* const to = reinterpret_cast<T*>(y->data);
  parallel_for(n, 16384, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = T(p[i].value());
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu

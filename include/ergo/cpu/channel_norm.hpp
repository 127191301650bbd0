// group_norm and batch_norm of channels-last data x (batch, middle, channels), and their first-order rule. Statistics
// are one an example and group of neighbouring channels, over the middle and the group; batch_norm has groups of one
// channel and one example.
//
// Moments of each channel are taken about its first element, block by block: a block's mean, then its squares about
// that mean, merged as by Chan et al. 1983. So an offset of the data costs no accuracy. A group keeps what a row of
// layer_norm keeps: the rounded mean, the rest of it over the deviation, 1 / deviation.
//
// Backward is two passes: each channel's sums of g and of g * normalised, from which come dgamma, dbeta and a group's
// two means, then dx. Long examples are cut into parts whose number depends on the shape alone; of many short ones each
// thread takes whole ones, so that they stay in its cache.
#pragma once

#include "ergo/cpu/channel_norm_rows.hpp"
#include "ergo/cpu/layer_norm_rows.hpp"
#include "ergo/cpu/reduce_run.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// gamma and beta have one row for each of `leads` (one but under vmap), which has `examples` examples.
struct ChannelShape {
  std::int64_t leads, examples, middle, channels, groups;
  std::int64_t batch() const { return leads * examples; }
  std::int64_t depth() const { return groups ? channels / groups : 0; }
  std::int64_t each() const { return middle * channels; }
};

namespace detail {

// How the work is cut: few long examples into parts, many into ranges of whole ones.
struct ChannelCut {
  std::int64_t parts, rows;  // of an example; a part's
  explicit ChannelCut(const ChannelShape& s) {
    std::int64_t most = s.each() / kRowGrain;
    if (most > 64) most = 64;
    if (most > s.middle) most = s.middle;
    if (most < 1 || s.batch() >= 32) most = 1;
    rows = s.middle > 0 ? (s.middle + most - 1) / most : 1;
    parts = s.middle > 0 ? (s.middle + rows - 1) / rows : 1;
  }
};

// A group's numbers from moments of its channels about `origin`; `room` has depth() elements.
template <class T>
void group_stats(const ChannelShape& s, const T* origin, const T* mean, const T* square, T* room, T eps, T* stats,
                 T* variance) {
  const std::int64_t depth = s.depth();
  const T count = T(s.middle) * T(depth);
  T off = mean[0], squares = square[0];
  if (depth > 1) {
    for (std::int64_t c = 0; c < depth; ++c) room[c] = (origin[c] - origin[0]) + mean[c];
    off = reduce_run<SumOf, T>(room, depth) / T(depth);
    for (std::int64_t c = 0; c < depth; ++c) room[c] -= off;
    const T left = reduce_run<SumOf, T>(room, depth) / T(depth);
    const T about = inner_product(static_cast<const T*>(room), static_cast<const T*>(room), depth),
            between = about - left * left * T(depth);  // NaN where both are infinite
    squares = reduce_run<SumOf, T>(square, depth) + T(s.middle) * (between == between ? between : about);
    off += left;
  }
  const T spread = squares / count, positive = spread < 0 ? T(0) : spread;
  const T center = origin[0] + off, scale = T(1) / sqrt(positive + eps);
  const bool far = origin[0] * origin[0] > off * off;
  stats[0] = center;
  stats[1] = -(far ? (origin[0] - center) + off : (off - center) + origin[0]) * scale;
  stats[2] = scale;
  *variance = positive;
}

}  // namespace detail

// y (batch, middle, channels), stats (batch, groups, 3), and where they are asked for mean and variance (batch,
// groups), of gamma and beta (leads, channels). All dense.
template <class T>
void channel_norm(const ChannelShape& s, const T* x, const T* gamma, const T* beta, T eps, T* y, T* stats, T* mean,
                  T* variance) {
  using namespace detail;
  const ChannelCut cut(s);
  const std::int64_t n = s.channels, pitch = n + 64, depth = s.depth();
  if (s.batch() * n == 0) return;
  // Moments of rows [first, last) of example b, into sums (2, pitch), which are zeros.
  const auto moments = [&](std::int64_t b, std::int64_t first, std::int64_t last, const T* origin, T* sums) {
    const T* const from[] = {x + b * s.each()};
    T* const to[] = {static_cast<T*>(nullptr)};
    for_rows_here(from, to, first, last, n, [&](const T* const* p, T* const*, std::int64_t at, std::int64_t some) {
      for_isa<ChannelMomentsBody<T>>(p[0], some, n, origin, at - first, sums, sums + pitch);
    });
  };
  // The groups' numbers from sums, and the table (center, factor, shift) of the channels.
  const auto finish = [&](std::int64_t b, const T* origin, T* sums, T* table) {
    const std::int64_t lead = b / s.examples;
    for (std::int64_t g = 0; g < s.groups; ++g) {
      T* kept = stats + (b * s.groups + g) * kRowStats;
      T spread;
      group_stats(s, origin + g * depth, sums + g * depth, sums + pitch + g * depth, table, eps, kept, &spread);
      if (mean) mean[b * s.groups + g] = kept[0];
      if (variance) variance[b * s.groups + g] = spread;
    }
    for (std::int64_t c = 0; c < n; ++c) {
      const T* kept = stats + (b * s.groups + c / depth) * kRowStats;
      table[c] = kept[0];
      table[pitch + c] = kept[2] * gamma[lead * n + c];
      table[2 * pitch + c] = kept[1] * gamma[lead * n + c] + beta[lead * n + c];
    }
  };
  const auto scale = [&](std::int64_t b, std::int64_t first, std::int64_t last, const T* table) {
    const T* const from[] = {x + b * s.each()};
    T* const to[] = {y + b * s.each()};
    for_rows_here(from, to, first, last, n, [&](const T* const* p, T* const* q, std::int64_t, std::int64_t some) {
      for_isa<ChannelScaleBody<T>>(p[0], q[0], some, n, table, table + pitch, table + 2 * pitch);
    });
  };
  if (s.middle == 0) {
    for (std::int64_t i = 0; i < s.batch() * s.groups * kRowStats; ++i) stats[i] = T(__builtin_nan(""));
    return;
  }
  if (cut.parts == 1) {
    parallel_for(s.batch(), 1 + (kRowGrain - 1) / s.each(), [&](std::int64_t begin, std::int64_t end) {
      const Scratch<T> room(6 * pitch);
      T *sums = room.data(), *table = sums + 2 * pitch, *origin = table + 3 * pitch;
      std::memset(static_cast<void*>(origin), 0, std::size_t(pitch) * sizeof(T));
      for (std::int64_t b = begin; b < end; ++b) {
        std::memset(static_cast<void*>(sums), 0, std::size_t(2 * pitch) * sizeof(T));
        std::memcpy(origin, x + b * s.each(), std::size_t(n) * sizeof(T));
        moments(b, 0, s.middle, origin, sums);
        finish(b, origin, sums, table);
        scale(b, 0, s.middle, table);
      }
    });
    return;
  }
  const Scratch<T> all(s.batch() * (cut.parts * 2 + 4) * pitch);
  std::memset(static_cast<void*>(all.data()), 0, std::size_t(s.batch() * (cut.parts * 2 + 4) * pitch) * sizeof(T));
  const auto room_of = [&](std::int64_t b) { return all.data() + b * (cut.parts * 2 + 4) * pitch; };
  const auto last_of = [&](std::int64_t p) { return (p + 1) * cut.rows < s.middle ? (p + 1) * cut.rows : s.middle; };
  for (std::int64_t b = 0; b < s.batch(); ++b)  // the origins, behind the parts' sums
    std::memcpy(room_of(b) + cut.parts * 2 * pitch, x + b * s.each(), std::size_t(n) * sizeof(T));
  parallel_for(s.batch() * cut.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / cut.parts, p = i % cut.parts;
      moments(b, p * cut.rows, last_of(p), room_of(b) + cut.parts * 2 * pitch, room_of(b) + p * 2 * pitch);
    }
  });
  parallel_for(s.batch(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      T* sums = room_of(b);
      for (std::int64_t p = 1; p < cut.parts; ++p) {
        const T* more = sums + p * 2 * pitch;
        const std::int64_t before = p * cut.rows, some = last_of(p) - before;
        const T weight = T(some) / T(before + some);
        for (std::int64_t c = 0; c < n; ++c) {
          const T apart = more[c] - sums[c];
          sums[c] += apart * weight;
          sums[pitch + c] += more[pitch + c] + apart * apart * (T(before) * weight);
        }
      }
      const T* origin = sums + cut.parts * 2 * pitch;
      finish(b, origin, sums, sums + (cut.parts * 2 + 1) * pitch);
    }
  });
  parallel_for(s.batch() * cut.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / cut.parts, p = i % cut.parts;
      scale(b, p * cut.rows, last_of(p), room_of(b) + (cut.parts * 2 + 1) * pitch);
    }
  });
}

// dx (batch, middle, channels), and dgamma, dbeta (leads, channels) summed over a lead's examples. All dense.
template <class T>
void channel_norm_vjp(const ChannelShape& s, const T* g, const T* x, const T* stats, const T* gamma, T* dx, T* dgamma,
                      T* dbeta) {
  using namespace detail;
  const ChannelCut cut(s);
  const std::int64_t n = s.channels, pitch = n + 64, depth = s.depth();
  for (std::int64_t i = 0; i < s.leads * n; ++i) dgamma[i] = dbeta[i] = T(0);
  if (s.batch() * s.each() == 0) return;
  const T share = T(1) / (T(s.middle) * T(depth));
  // An example's table: center, scale, rest; then, behind the center, what dx needs.
  const auto begin_table = [&](std::int64_t b, T* table) {
    for (std::int64_t c = 0; c < n; ++c) {
      const T* kept = stats + (b * s.groups + c / depth) * kRowStats;
      table[c] = kept[0];
      table[pitch + c] = kept[2];
      table[2 * pitch + c] = kept[1];
    }
  };
  const auto sum = [&](std::int64_t b, std::int64_t first, std::int64_t last, const T* table, T* sums) {
    const T* const from[] = {g + b * s.each(), x + b * s.each()};
    T* const to[] = {static_cast<T*>(nullptr)};
    for_rows_here(from, to, first, last, n, [&](const T* const* p, T* const*, std::int64_t, std::int64_t some) {
      for_isa<ChannelSumsBody<T>>(p[0], p[1], some, n, table, table + pitch, table + 2 * pitch, sums, pitch);
    });
  };
  const auto finish_table = [&](std::int64_t b, const T* sums, T* table) {
    const T* weight = gamma + b / s.examples * n;
    for (std::int64_t k = 0; k < s.groups; ++k) {
      const T* kept = stats + (b * s.groups + k) * kRowStats;
      const std::int64_t at = k * depth;
      const T level = (depth == 1 ? weight[at] * sums[at] : inner_product(weight + at, sums + at, depth)) * share;
      const T slope =
          (depth == 1 ? weight[at] * sums[pitch + at] : inner_product(weight + at, sums + pitch + at, depth)) * share;
      for (std::int64_t c = at; c < at + depth; ++c) {
        table[pitch + c] = weight[c];
        table[2 * pitch + c] = slope * kept[2];
        table[3 * pitch + c] = level + slope * kept[1];
        table[4 * pitch + c] = kept[2];
      }
    }
  };
  const auto pull = [&](std::int64_t b, std::int64_t first, std::int64_t last, const T* table) {
    const T* const from[] = {g + b * s.each(), x + b * s.each()};
    T* const to[] = {dx + b * s.each()};
    for_rows_here(from, to, first, last, n, [&](const T* const* p, T* const* q, std::int64_t, std::int64_t some) {
      for_isa<ChannelVjpBody<T>>(p[0], p[1], q[0], some, n, table, pitch);
    });
  };
  // dgamma and dbeta of a lead from `parts` pairs of sums.
  const auto give = [&](std::int64_t lead, T* sums, std::int64_t parts) {
    fold_tree<SumOf>(sums, parts, 2 * pitch);
    std::memcpy(dbeta + lead * n, sums, std::size_t(n) * sizeof(T));
    std::memcpy(dgamma + lead * n, sums + pitch, std::size_t(n) * sizeof(T));
  };
  if (cut.parts == 1) {
    const std::int64_t most = s.examples < 32 ? s.examples : 32, some = (s.examples + most - 1) / most,
                       ranges = (s.examples + some - 1) / some;  // of a lead's examples
    const Scratch<T> all(s.leads * ranges * 2 * pitch);
    std::memset(static_cast<void*>(all.data()), 0, std::size_t(s.leads * ranges * 2 * pitch) * sizeof(T));
    parallel_for(s.leads * ranges, 1 + (kRowGrain - 1) / (s.each() * some), [&](std::int64_t begin, std::int64_t end) {
      const Scratch<T> room(7 * pitch);
      T *sums = room.data(), *table = sums + 2 * pitch;
      std::memset(static_cast<void*>(sums), 0, std::size_t(7 * pitch) * sizeof(T));
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t lead = i / ranges, first = i % ranges * some;
        T* total = all.data() + i * 2 * pitch;
        for (std::int64_t e = first; e < first + some && e < s.examples; ++e) {
          const std::int64_t b = lead * s.examples + e;
          std::memset(static_cast<void*>(sums), 0, std::size_t(2 * pitch) * sizeof(T));
          begin_table(b, table);
          sum(b, 0, s.middle, table, sums);
          finish_table(b, sums, table);
          pull(b, 0, s.middle, table);
          for (std::int64_t c = 0; c < n; ++c) {
            total[c] += sums[c];
            total[pitch + c] += sums[pitch + c];
          }
        }
      }
    });
    for (std::int64_t lead = 0; lead < s.leads; ++lead) give(lead, all.data() + lead * ranges * 2 * pitch, ranges);
    return;
  }
  const std::int64_t each = (cut.parts * 2 + 5) * pitch;
  const Scratch<T> all(s.batch() * each);
  std::memset(static_cast<void*>(all.data()), 0, std::size_t(s.batch() * each) * sizeof(T));
  const auto table_of = [&](std::int64_t b) { return all.data() + b * each + cut.parts * 2 * pitch; };
  const auto last_of = [&](std::int64_t p) { return (p + 1) * cut.rows < s.middle ? (p + 1) * cut.rows : s.middle; };
  for (std::int64_t b = 0; b < s.batch(); ++b) begin_table(b, table_of(b));
  parallel_for(s.batch() * cut.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / cut.parts, p = i % cut.parts;
      sum(b, p * cut.rows, last_of(p), table_of(b), all.data() + b * each + p * 2 * pitch);
    }
  });
  for (std::int64_t b = 0; b < s.batch(); ++b) {
    T* sums = all.data() + b * each;
    fold_tree<SumOf>(sums, cut.parts, 2 * pitch);
    finish_table(b, sums, table_of(b));
    T *beta = dbeta + b / s.examples * n, *weight = dgamma + b / s.examples * n;
    for (std::int64_t c = 0; c < n; ++c) {
      beta[c] += sums[c];
      weight[c] += sums[pitch + c];
    }
  }
  parallel_for(s.batch() * cut.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / cut.parts, p = i % cut.parts;
      pull(b, p * cut.rows, last_of(p), table_of(b));
    }
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu

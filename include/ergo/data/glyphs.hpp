// Synthetic handwriting: digits drawn as strokes, each in one of several styles, warped, sheared, turned, scaled,
// moved, with a random pen and noise: 28 x 28 grey images for programs without a data set. A small network learns them
// well, a linear model does not. Glyph i depends on the key and i alone.
#pragma once

#include "ergo/data/mnist.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD::data::synthetic {

// Images (n, 28, 28, 1) in [0, 1] and the digits they show, (n,) in [0, 10).
struct Glyphs {
  Tensor<float> images;
  Tensor<std::int32_t> labels;
};
Glyphs glyphs(const Key& key, AnyInteger n);

// Glyphs as a data set for training, named "synthetic glyphs".
ImageDataset glyphs_dataset(const Key& key, AnyInteger train, AnyInteger test);

#if !defined(ERGO_COMPILED)  // the archive has what follows
namespace detail {

inline constexpr int kGlyphSize = 28, kGlyphPixels = kGlyphSize * kGlyphSize;

struct Point {
  float x, y;
};

// A pen on the unit square, y downwards; arcs become chords. Angles in degrees, 0 to the right, 90 down.
class Pen {
 public:
  struct Segment {
    Point from, to;
  };
  void move(float x, float y) { at_ = {x, y}; }
  void line(float x, float y) {
    if (count_ < kMost) segments_[count_++] = {at_, {x, y}};
    at_ = {x, y};
  }
  void lines(Point from, Point via, Point to) {
    move(from.x, from.y);
    line(via.x, via.y);
    line(to.x, to.y);
  }
  // Of an ellipse with the centre and radii given; begins with a line from where the pen is if `joined`.
  void arc(Point centre, Point radius, float from, float to, bool joined = false) {
    const int steps = 2 + int((to > from ? to - from : from - to) / 26);
    for (int i = 0; i <= steps; ++i) {
      const float angle = (from + (to - from) * float(i) / float(steps)) * 0.017453293f;
      const Point p{centre.x + radius.x * cpu::cos(angle), centre.y + radius.y * cpu::sin(angle)};
      if (i == 0 && !joined)
        move(p.x, p.y);
      else
        line(p.x, p.y);
    }
  }
  Segment* begin() { return segments_; }
  Segment* end() { return segments_ + count_; }

 private:
  static constexpr int kMost = 64;
  Segment segments_[kMost];
  int count_ = 0;
  Point at_{0, 0};
};

// The strokes of a digit; `style` and `bend` in [0, 1) choose among the ways to write it.
inline void write_digit(Pen& pen, int digit, float style, float bend) {
  switch (digit) {
    case 0:
      pen.arc({.5f, .5f}, {.2f + .1f * bend, .4f}, -80, 280);
      break;
    case 1:
      if (style < .35f) {
        pen.move(.5f, .1f);
        pen.line(.5f, .9f);
      } else {
        pen.lines({.36f - .08f * bend, .2f + .12f * bend}, {.52f, .1f}, {.52f, .9f});
        if (style > .8f) {
          pen.move(.34f, .9f);
          pen.line(.7f, .9f);
        }
      }
      break;
    case 2:
      pen.arc({.5f, .32f}, {.24f, .22f}, 195, 395);
      if (style < .6f) {
        pen.line(.24f, .9f);
        pen.line(.8f, .88f);
      } else {  // with a loop at the foot
        pen.line(.38f, .76f);
        pen.arc({.33f, .82f}, {.1f, .07f}, 320, -20, true);
        pen.line(.8f, .9f);
      }
      break;
    case 3:
      if (style < .75f) {
        pen.arc({.48f, .3f}, {.23f, .2f}, 200, 440);
        pen.arc({.48f, .7f}, {.27f, .2f}, 280, 505 + 25 * bend);
      } else {  // with a flat top
        pen.lines({.26f, .12f}, {.72f, .12f}, {.46f, .44f});
        pen.arc({.46f, .67f}, {.28f, .23f}, 275, 510);
      }
      break;
    case 4:
      if (style < .5f) {
        pen.lines({.6f, .1f}, {.2f, .64f}, {.82f, .64f});
        pen.move(.62f, style < .25f ? .1f : .4f);
        pen.line(.62f, .9f);
      } else {  // open
        pen.lines({.3f + .05f * bend, .12f}, {.25f, .52f}, {.72f, .5f});
        pen.move(.7f, .1f);
        pen.line(.64f, .9f);
      }
      break;
    case 5:
      pen.lines({.74f, .12f}, {.34f, .12f}, {.3f, .46f});
      pen.arc({.47f, .66f}, {.27f, .24f}, 225, 500 + 20 * bend, true);
      break;
    case 6:
      pen.arc({.72f, .68f}, {.46f, .58f}, 255 + 15 * bend, 180);
      pen.arc({.49f, .68f}, {.23f, .22f}, 180, 540);
      break;
    case 7:
      pen.lines({.22f, .14f}, {.78f, .12f}, {.4f + .08f * bend, .9f});
      if (style > .6f) {
        pen.move(.36f, .5f);
        pen.line(.74f, .48f);
      }
      break;
    case 8:
      pen.arc({.5f, .3f}, {.19f + .03f * bend, .2f}, 90, 450);
      pen.arc({.5f, .7f}, {.25f, .2f}, 270, 630);
      break;
    default:
      pen.arc({.5f, .33f}, {.23f, .22f}, 0, 360);
      if (style < .5f)
        pen.arc({.26f, .33f}, {.47f, .57f}, 0, 70 + 10 * bend);
      else
        pen.lines({.73f, .3f}, {.71f, .6f}, {.64f, .9f});
      break;
  }
}

// A stream of uniform numbers for the choices of one glyph.
class Choices {
 public:
  explicit Choices(std::uint64_t key) { cpu::draw_run(cpu::UniformDraw<float, 24>{}, key, 0, u_, kCount); }
  static constexpr int kCount = 32;  // noise begins behind them
  float next() { return u_[at_++]; }
  float between(float lo, float hi) { return lo + (hi - lo) * next(); }

 private:
  float u_[kCount];
  int at_ = 0;
};

// From the unit square to pixels: a wave along each axis, then an affine map about the centre.
inline void distort(Pen& pen, Choices& choose) {
  const float turn = choose.between(-.35f, .35f), shear = choose.between(-.35f, .35f);
  const float wide = choose.between(14, 24), tall = choose.between(16, 23);
  const float right = 14 + choose.between(-3, 3), down = 14 + choose.between(-3, 3);
  const float wave_x = choose.between(-.07f, .07f), rate_x = choose.between(3, 8), phase_x = choose.between(0, 6.28f);
  const float wave_y = choose.between(-.07f, .07f), rate_y = choose.between(3, 8), phase_y = choose.between(0, 6.28f);
  const float c = cpu::cos(turn), s = cpu::sin(turn);
  const auto move = [&](Point& p) {
    const float x = (p.x - .5f + wave_x * cpu::sin(rate_x * p.y + phase_x)) * wide;
    const float y = (p.y - .5f + wave_y * cpu::sin(rate_y * p.x + phase_y)) * tall;
    const float sheared = x - shear * y;
    p = {right + c * sheared - s * y, down + s * sheared + c * y};
  };
  for (Pen::Segment& segment : pen) {
    move(segment.from);
    move(segment.to);
  }
}

// The image of a pen's segments, in rows of kStride pixels: the squared distance of each pixel's centre to the nearest
// segment, then ink by how far the pen of that radius covers the pixel.
struct InkBody {
  static constexpr int kStride = 32;
  template <cpu::Isa I>
  static ERGO_INLINE void run(const Pen::Segment* begin, const Pen::Segment* end, float radius, float ink,
                              float* image) {
    constexpr int W = cpu::kRegisterBytes<I> / 4 < 8 ? 4 : 8;
    using P = cpu::Pack<float, W>;
    const auto all = [](float x) __attribute__((always_inline)) { return cpu::detail::broadcast<P>(x); };
    const float reach = radius + 1;
    for (int i = 0; i < kGlyphSize * kStride; i += W) P(1e4f).store(image + i);
    for (const Pen::Segment* g = begin; g != end; ++g) {
      const float dx = g->to.x - g->from.x, dy = g->to.y - g->from.y, length = dx * dx + dy * dy;
      const float left = (dx < 0 ? g->to.x : g->from.x) - reach, right = (dx < 0 ? g->from.x : g->to.x) + reach;
      const float top = (dy < 0 ? g->to.y : g->from.y) - reach, bottom = (dy < 0 ? g->from.y : g->to.y) + reach;
      const int first = left > 0 ? int(left) / W * W : 0, last = right < kGlyphSize ? int(right) : kGlyphSize - 1;
      const P ax = all(g->from.x - .5f), across = all(dx), along = all(dy), shrink = all(1 / (length + 1e-9f));
      for (int row = top > 0 ? int(top) : 0; row < kGlyphSize && float(row) <= bottom; ++row) {
        const P y = all(float(row) + .5f - g->from.y);
        for (int column = first; column <= last; column += W) {
          const P x = P::iota() + all(float(column)) - ax;
          const P t = minimum(maximum((x * across + y * along) * shrink, P()), P(1));
          const P ex = x - t * across, ey = y - t * along;
          float* at = image + row * kStride + column;
          minimum(P::load(at), ex * ex + ey * ey).store(at);
        }
      }
    }
    const P edge = all(radius + .5f), full = all(ink);
    for (int i = 0; i < kGlyphSize * kStride; i += W)
      (full * minimum(maximum(edge - sqrt(P::load(image + i)), P()), P(1))).store(image + i);
  }
};

// Draws a glyph into 28 x 28 pixels and returns its digit.
inline std::int32_t draw_glyph(std::uint64_t key, float* image) {
  Choices choose(key);
  const int digit = int(choose.next() * 10);
  Pen pen;
  const float style = choose.next(), bend = choose.next();
  write_digit(pen, digit, style, bend);
  distort(pen, choose);
  const float radius = choose.between(.5f, 1.6f), ink = choose.between(.65f, 1), noise = choose.between(.02f, .12f);
  float drawn[kGlyphSize * InkBody::kStride], grain[kGlyphPixels];
  cpu::for_isa<InkBody>(static_cast<const Pen::Segment*>(pen.begin()), static_cast<const Pen::Segment*>(pen.end()),
                        radius, ink, drawn);
  cpu::draw_run(cpu::NormalDraw<float>{0, noise}, key, Choices::kCount / 4, grain, kGlyphPixels);
  for (int row = 0; row < kGlyphSize; ++row)
    for (int column = 0; column < kGlyphSize; ++column) {
      const int i = row * kGlyphSize + column;
      const float v = drawn[row * InkBody::kStride + column] + grain[i];
      image[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
  return digit;
}

}  // namespace detail

ERGO_ONCE Glyphs glyphs(const Key& key, AnyInteger n) {
  ergo::detail::check_one_key("glyphs", key);
  if (n < 0) throw_error({"[glyphs] ", std::int64_t(n), " images: the number must not be negative"});
  const auto seed = std::uint64_t(key.material.item());
  auto images = ergo::detail::make_tensor<float>({std::int64_t(n), detail::kGlyphSize, detail::kGlyphSize, 1});
  auto labels = ergo::detail::make_tensor<std::int32_t>({std::int64_t(n)});
  auto* to = ergo::detail::data_of<float>(images.array());
  auto* label = ergo::detail::data_of<std::int32_t>(labels.array());
  parallel_for(n, 64, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      label[i] = detail::draw_glyph(random_block(seed, std::uint64_t(i), RandomUse::fold).low(),
                                    to + i * detail::kGlyphPixels);
  });
  return {images.to(default_device()), labels.to(default_device())};
}

ERGO_ONCE ImageDataset glyphs_dataset(const Key& key, AnyInteger train, AnyInteger test) {
  const auto keys = split(key);
  Glyphs a = glyphs(keys.first, train), b = glyphs(keys.second, test);
  return {"synthetic glyphs", 10, std::move(a.images), std::move(a.labels), std::move(b.images), std::move(b.labels)};
}
#endif

}  // namespace ergo::inline ERGO_BUILD::data::synthetic

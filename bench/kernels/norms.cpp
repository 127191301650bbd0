// Rows of rms_norm, group_norm and batch_norm, and of layer_norm along short rows. Statistics and what follows from
// them need a second look at the operand; the bytes count one, as a row or a group may stay on the chip.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/batch_norm.hpp"
#include "ergo/ops/group_norm.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/rms_norm.hpp"

namespace bench {
namespace {

template <class T, class F>
void add_norm(Rows& rows, const std::string& op, const Shape& s, int parameters, F f, const std::string& more = {}) {
  const double bytes = elements(s) * sizeof(T);
  Of of{.op = op, .operands = {s}, .more = more, .bytes = 2 * bytes, .vjp_bytes = 3 * bytes};
  for (int i = 0; i < parameters; ++i) of.operands.push_back(s.last(1));
  add_function<T>(rows, of, f);
}

template <class T>
void add_all(Rows& rows, bool tiny) {
  using P = Operands<T>;
  const auto rms = [](const P& p) { return rms_norm(p[0], p[1]); };
  const auto layer = [](const P& p) { return layer_norm(p[0], p[1], p[2]); };
  add_norm<T>(rows, "rms_norm", tiny ? Shape{8, 48} : Shape{8192, 4096}, 1, rms);
  add_norm<T>(rows, "rms_norm", tiny ? Shape{9, 16} : Shape{65536, 256}, 1, rms);
  add_norm<T>(rows, "rms_norm", tiny ? Shape{9, 8} : Shape{524288, 32}, 1, rms);
  add_norm<T>(rows, "rms_norm", tiny ? Shape{1, 9000} : Shape{512, 32768}, 1, rms);
  add_norm<T>(rows, "layer_norm", tiny ? Shape{9, 16} : Shape{65536, 256}, 2, layer);
  add_norm<T>(rows, "layer_norm", tiny ? Shape{9, 8} : Shape{524288, 32}, 2, layer);
  const std::int64_t groups = tiny ? 2 : 32;
  add_norm<T>(
      rows, "group_norm", tiny ? Shape{2, 3, 3, 8} : Shape{32, 64, 64, 128}, 2,
      [=](const P& p) { return group_norm(p[0], groups, p[1], p[2]); }, text({groups}));
  const auto batch = [](const P& p) { return batch_norm(p[0], p[1], p[2]).y; };
  add_norm<T>(rows, "batch_norm", tiny ? Shape{2, 3, 3, 8} : Shape{64, 64, 64, 64}, 2, batch);
  add_norm<T>(rows, "batch_norm", tiny ? Shape{20, 16} : Shape{16384, 1024}, 2, batch);
}

}  // namespace

void add_norms(Rows& rows, bool tiny) {
  add_all<float>(rows, tiny);
  add_all<bfloat16>(rows, tiny);
}

}  // namespace bench

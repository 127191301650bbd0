// Rows of scans along rows, along columns, and along one row that fills the device.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/cumulative.hpp"
#include "ergo/ops/scan.hpp"

namespace bench {
namespace {

// f(x, axis). To go back, `read` operands are read besides what is written: the cotangent, and what the slope is made
// of.
template <class T, class F>
void add_scan(Rows& rows, const std::string& op, bool tiny, double read, F f) {
  const auto add = [&](const std::string& name, const Shape& s, int axis, bool with_vjp) {
    const double bytes = elements(s) * sizeof(T);
    add_function<T>(rows,
                    {.op = name, .operands = {s}, .bytes = 2 * bytes, .vjp_bytes = with_vjp ? (read + 1) * bytes : 0},
                    [=](const Operands<T>& p) { return f(p[0], axis); });
  };
  add(op, tiny ? Shape{9, 7} : Shape{524288, 32}, -1, true);
  add(op, tiny ? Shape{5, 60} : Shape{8192, 2048}, -1, true);
  add(op, tiny ? Shape{5000} : Shape{1 << 24}, -1, false);
  add(op + " columns", tiny ? Shape{60, 5} : Shape{2048, 8192}, 0, true);
  add(op + " columns", tiny ? Shape{600, 2} : Shape{262144, 64}, 0, false);
}

}  // namespace

void add_scans(Rows& rows, bool tiny) {
  add_scan<float>(rows, "cumsum", tiny, 1, [](const auto& x, int axis) { return cumsum(x, axis); });
  add_scan<float>(rows, "cumprod", tiny, 2, [](const auto& x, int axis) { return cumprod(x, axis); });
  add_scan<float>(rows, "cummax", tiny, 2, [](const auto& x, int axis) { return cummax(x, axis); });
  add_scan<float>(rows, "cumlogsumexp", tiny, 2, [](const auto& x, int axis) { return cumlogsumexp(x, axis); });
}

}  // namespace bench

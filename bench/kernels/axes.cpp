// Rows of reductions and of softmax whose rows are short or lie in columns, and of vjps of reductions; reductions.cpp
// has those of long rows.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"

namespace bench {
namespace {

template <class T, class F>
void add_reduction(Rows& rows, const std::string& op, const Shape& s, bool with_vjp, F f) {
  const double bytes = elements(s) * sizeof(T);
  add_function<T>(rows, {.op = op, .operands = {s}, .bytes = bytes, .vjp_bytes = with_vjp ? 2 * bytes : 0},
                  [f](const Operands<T>& p) { return f(p[0]); });
}

template <class T, class F>
void add_map(Rows& rows, const std::string& op, const Shape& s, F f) {
  const double bytes = elements(s) * sizeof(T);
  add_function<T>(rows, {.op = op, .operands = {s}, .bytes = 2 * bytes, .vjp_bytes = 3 * bytes},
                  [f](const Operands<T>& p) { return f(p[0]); });
}

template <class T>
void add_all(Rows& rows, bool tiny) {
  const Shape narrow = tiny ? Shape{9, 7} : Shape{524288, 32}, middle = tiny ? Shape{6, 40} : Shape{65536, 256},
              square = tiny ? Shape{24, 24} : Shape{8192, 8192};
  for (const Shape& s : {narrow, middle}) {
    add_reduction<T>(rows, "sum rows", s, false, [](const auto& x) { return sum(x, 1); });
    add_reduction<T>(rows, "max rows", s, true, [](const auto& x) { return max(x, 1); });
    add_reduction<T>(rows, "argmax rows", s, false, [](const auto& x) { return argmax(x, 1); });
    add_reduction<T>(rows, "variance rows", s, true, [](const auto& x) { return variance(x, 1); });
    add_reduction<T>(rows, "norm rows", s, true, [](const auto& x) { return norm(x, 1); });
    add_reduction<T>(rows, "logsumexp rows", s, true, [](const auto& x) { return logsumexp(x, 1); });
    add_reduction<T>(rows, "sum columns", s, false, [](const auto& x) { return sum(x, 0); });
    add_reduction<T>(rows, "argmax columns", s, false, [](const auto& x) { return argmax(x, 0); });
    add_map<T>(rows, "softmax", s, [](const auto& x) { return softmax(x); });
    add_map<T>(rows, "log_softmax", s, [](const auto& x) { return log_softmax(x); });
  }
  add_reduction<T>(rows, "logsumexp rows", square, true, [](const auto& x) { return logsumexp(x, 1); });
  add_reduction<T>(rows, "norm rows", square, true, [](const auto& x) { return norm(x, 1); });
  add_reduction<T>(rows, "norm columns", square, false, [](const auto& x) { return norm(x, 0); });
  add_reduction<T>(rows, "norm all", square, true, [](const auto& x) { return norm(x); });
  add_reduction<T>(rows, "prod rows", square, false, [](const auto& x) { return prod(x, 1); });
  add_reduction<T>(rows, "argmax columns", square, false, [](const auto& x) { return argmax(x, 0); });
  add_reduction<T>(rows, "argmax all", square, false, [](const auto& x) { return argmax(x); });
  add_reduction<T>(rows, "sum middle", tiny ? Shape{3, 9, 4} : Shape{64, 4096, 64}, false,
                   [](const auto& x) { return sum(x, 1); });
  add_map<T>(rows, "softmax columns", tiny ? Shape{9, 6} : Shape{4096, 4096},
             [](const auto& x) { return softmax(x, 0); });
}

}  // namespace

void add_axes(Rows& rows, bool tiny) {
  add_all<float>(rows, tiny);
  add_all<bfloat16>(rows, tiny);
}

}  // namespace bench

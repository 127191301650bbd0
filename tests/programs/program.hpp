// Random programs: expression graphs over small tensors, as data. The library runs one (library.hpp), and so does an
// interpreter of single numbers that shares no code with it (interpret.hpp); they must agree to second order. A program
// is one line of text, so that a failure is repeated by typing it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace programs {

using Extents = std::vector<int>;

// Name of each operation, and what its numbers mean. Args are indices of values: inputs first, then each step's result.
// clang-format off
#define PROGRAM_OPS(OP)                                                                                               \
  OP(negate) OP(exp) OP(expm1) OP(log) OP(log1p) OP(sqrt) OP(rsqrt) OP(square) OP(reciprocal) OP(abs) OP(sin) OP(cos) \
  OP(tanh) OP(sinh) OP(sigmoid) OP(softplus) OP(relu) OP(erf) OP(gelu) OP(atan) OP(asinh) OP(silu) OP(log_sigmoid)    \
  OP(stop_gradient)                                                                                                   \
  OP(add) OP(subtract) OP(multiply) OP(divide) OP(maximum) OP(minimum) OP(pow) OP(hypot) OP(log_add_exp)              \
  OP(scale)        /* x * number, in hundredths */                                                                    \
  OP(shift)        /* number - x, in hundredths */                                                                    \
  OP(where)        /* where(x > 0, y, z) */                                                                           \
  OP(clip)         /* low, high in hundredths */                                                                      \
  OP(sum) OP(mean) OP(prod) OP(max) OP(min) OP(logsumexp) OP(norm) OP(variance) /* axis, keepdims */                  \
  OP(cumsum)       /* axis, reverse, exclusive */                                                                     \
  OP(softmax) OP(log_softmax) /* axis */                                                                              \
  OP(layer_norm)   /* of x, gamma, beta */                                                                            \
  OP(reshape) OP(broadcast_to) /* extents */                                                                          \
  OP(permute)      /* axes */                                                                                         \
  OP(slice)        /* axis, begin, count, step */                                                                     \
  OP(flip)         /* axis */                                                                                         \
  OP(roll)         /* axis, by */                                                                                     \
  OP(pad)          /* axis, before, after */                                                                          \
  OP(repeat)       /* axis, times */                                                                                  \
  OP(expand_dims)  /* axis */                                                                                         \
  OP(concatenate) OP(stack) /* axis */                                                                                \
  OP(take)         /* axis, indices... */                                                                             \
  OP(scatter_add)  /* of x, y: axis, indices... */                                                                    \
  OP(tril) OP(triu) /* diagonal */                                                                                    \
  OP(matmul)                                                                                                          \
  OP(row_products) /* einsum "ij,ij->i" */                                                                            \
  OP(outer)                                                                                                           \
  OP(vmap)         /* of the body over the leading axis of so many first args; the rest is captured */                \
  OP(checkpoint)   /* of the body */                                                                                  \
  OP(grad)         /* of the sum of the body with respect to the first arg; the rest is captured */                   \
  OP(jvp)          /* of the body in the first arg, the second its tangent; the rest is captured */
// clang-format on

enum class Op {
#define PROGRAM_NAME(name) name,
  PROGRAM_OPS(PROGRAM_NAME)
#undef PROGRAM_NAME
      kCount
};
const char* name_of(Op op);

struct Program;
struct Step {
  Op op;
  std::vector<int> args, numbers;
  std::shared_ptr<const Program> body;
};
struct Input {
  Extents shape;
  char layout;  // of memory: c contiguous, t transposed, s stepped, r reversed, b broadcast along the first axis
};
struct Program {
  std::uint64_t seed = 0;  // of the inputs' numbers, directions and weights
  std::vector<Input> inputs;
  std::vector<Step> steps;
};

std::string text_of(const Program& p);
Program parse(const std::string& text);  // throws std::invalid_argument

inline int size_of(const Extents& s) {
  int n = 1;
  for (int e : s) n *= e;
  return n;
}

// The numbers of a program: a hash of its seed, what they are for, and where.
enum class Use { input, first_direction, second_direction, weight, noise };
inline std::uint64_t hash(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
inline double number(std::uint64_t seed, Use use, int tensor, int element) {  // in [-1.5, 1.5)
  const std::uint64_t h = hash(hash(seed, std::uint64_t(use) * 1000 + std::uint64_t(tensor)), std::uint64_t(element));
  return double(h >> 11) * 0x3p-53 - 1.5;
}
// What an input broadcast along its first axis holds repeats.
inline double input_number(const Program& p, int tensor, int element) {
  const Input& in = p.inputs[std::size_t(tensor)];
  const int row = in.layout == 'b' && !in.shape.empty() ? size_of(in.shape) / in.shape[0] : 0;
  return number(p.seed, Use::input, tensor, row ? element % row : element);
}

}  // namespace programs

// expect: a member's type is no tree
#include "ergo/autograd/tree.hpp"

struct Mlp {
  ergo::Tensor<float> w;
#ifdef RIGHT
  int counter;
  ERGO_FIELDS(Mlp, w, counter)
#else
  int* counter;
  ERGO_FIELDS(Mlp, w, counter)  // wrong
#endif
};

auto size(const Mlp& m) {
  return ergo::tree::numel(m);
}

// expect: ERGO_FIELDS must list every data member, in order
#include "ergo/autograd/tree.hpp"

struct Mlp {
  ergo::Tensor<float> hidden, out;
#ifdef RIGHT
  ERGO_FIELDS(Mlp, hidden, out)
#else
  ERGO_FIELDS(Mlp, hidden)  // wrong
#endif
};

auto size(const Mlp& m) {
  return ergo::tree::numel(m);
}

// expect: this type is no tree
#include "ergo/autograd/tree.hpp"

struct Mlp {
  ergo::Tensor<float> w;
#ifdef RIGHT
  int* const* counters() const;  // a function is no member to list
  ERGO_FIELDS(Mlp, w)
#else
  int* counter;
  ERGO_FIELDS(Mlp, w, counter)
#endif
};

auto size(const Mlp& m) {
  return ergo::tree::numel(m);  // wrong
}

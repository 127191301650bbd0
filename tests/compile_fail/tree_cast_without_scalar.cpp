// expect: tree::cast<U>(model) needs a class template over its scalar
#include "ergo/autograd/tree.hpp"

#ifdef RIGHT
template <class T>
struct Mlp {
  ergo::Tensor<T> w;
  ERGO_FIELDS(Mlp, w)
};
using Model = Mlp<float>;
#else
struct Model {
  ergo::Tensor<float> w;
  ERGO_FIELDS(Model, w)
};
#endif

auto narrow(const Model& m) {
  return ergo::tree::cast<ergo::bfloat16>(m);  // wrong
}

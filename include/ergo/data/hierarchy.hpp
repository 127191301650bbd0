// data::synthetic::hierarchy: items at the leaves of a binary tree whose features diffuse down from the root (Saxe,
// McClelland, Ganguli 2013, section 2): +1 or -1 at the root, flipped with a small probability at every branch. Close
// relatives share most features, so the modes of the task are the splits of the tree, the broadest strongest.
#pragma once

#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD::data::synthetic {

// Features (2^levels, features) of +-1, item i the leaf that i's bits lead to. An Error for levels outside [1, 20] and
// a probability outside [0, 1].
inline Tensor<double> hierarchy(const Key& key, int levels, std::int64_t features, double flip = 0.1) {
  if (levels < 1 || levels > 20) throw_error({"[hierarchy] ", levels, " levels: 1 to 20 are possible"});
  if (features < 1) throw_error({"[hierarchy] ", features, " features: at least 1"});
  if (!(flip >= 0 && flip <= 1)) throw_error({"[hierarchy] the probability ", flip, " is not in [0, 1]"});
  const auto signs = [&](int level, std::int64_t nodes, double negative) {
    return where(uniform<double>(fold_in(key, level), {nodes, features}) < negative, -ones<double>({nodes, features}),
                 1);
  };
  Tensor<double> state = signs(0, 1, 0.5);
  for (int level = 1; level <= levels; ++level) {
    const std::int64_t nodes = std::int64_t(1) << level;
    const auto both = reshape(stack({state, state}, 1), {nodes, features});  // each node's two children
    state = both * signs(level, nodes, flip);
  }
  return state;
}

}  // namespace ergo::inline ERGO_BUILD::data::synthetic

// Trees: ERGO_FIELDS and the walks over leaves (tree_walk.hpp), and trees as vectors (tree_algebra.hpp).
#pragma once

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/autograd/tree_walk.hpp"

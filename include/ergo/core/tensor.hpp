// Tensors: all of section 1 of the interface. `Tensor<T>` is one pointer to an immutable, reference-counted array with
// a static dtype, a run-time shape of rank 0 to 8 and a run-time device; copies share storage, operations never change
// inputs.
#pragma once

#include "ergo/core/cast.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/core/handle.hpp"
#include "ergo/core/make.hpp"
#include "ergo/core/print.hpp"

// The exceptions of the library. Every message begins with the operation in brackets, shows all shapes, the numbers that
// disagree and a hint; a call that throws leaves everything as it was.
#pragma once

#include <stdexcept>
#include <string>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

// A shape, axis, dtype, device, index or file that does not fit.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Memory that could not be had; the message names what was asked for and what is free.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace ergo::inline ERGO_BUILD

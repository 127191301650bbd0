// The exceptions of the library. Every message begins with the operation in brackets, shows all shapes, the numbers
// that disagree and a hint; a call that throws leaves everything as it was.
#pragma once

#include <stdexcept>
#include <string>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
// Lines of at most 120 characters: longer ones continue, indented, at their last space.
[[gnu::cold, gnu::noinline]] inline std::string in_lines(std::string text) {
  for (std::size_t begin = 0; text.size() - begin > 120;) {
    const std::size_t newline = text.find('\n', begin), end = newline < text.size() ? newline : text.size();
    std::size_t space = text.rfind(' ', begin + 120);
    if (space == std::string::npos || space < begin + 3)
      space = text.find(' ', begin + 120);  // a path, say, stays whole
    if (end - begin > 120 && space < end)
      text.replace(space, 1, "\n  ");
    else
      space = end;
    begin = space < text.size() ? space + 1 : text.size();
  }
  return text;
}
}  // namespace detail

// A shape, axis, dtype, device, index or file that does not fit.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text) : std::runtime_error(detail::in_lines(text)) {}
};

// Memory that could not be had; the message names what was asked for and what is free.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace ergo::inline ERGO_BUILD

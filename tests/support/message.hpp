// Golden texts of errors.
#pragma once

#include <string>

#include "ergo/core/error.hpp"

// What f() throws, or "no error". A first line beyond 120 characters is said in the text, so that no golden text
// matches.
template <class F>
std::string message_of(F&& f) {
  std::string text = "no error";
  try {
    f();
  } catch (const ergo::Error& e) { text = e.what(); }
  return text.find('\n') > 120 && text.size() > 120 ? "over 120 characters: " + text : text;
}

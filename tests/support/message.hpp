// Golden texts of errors.
//
// A source of them that says `// again: cuda` is compiled a second time, with ERGO_TEST_DEVICE: the same code, its
// tensors made on a CUDA device. The texts are the CPU's; those of bad data come at a wait.
#pragma once

#include <string>

#include "ergo/core/device.hpp"
#if defined(ERGO_TEST_DEVICE)
#include "ergo/cuda/backend.hpp"
// Before the tensors of the source that includes this are made.
[[maybe_unused]] static const bool operands_on_device = (ergo::set_default_device(ergo::Device::cuda()), true);
#endif

// What f() throws, or else the wait behind it, or "no error". A first line beyond 120 characters is said in the text,
// so that no golden text matches. What the wait says of itself, on a line of its own, is left out.
template <class F>
std::string message_of(F&& f) {
  std::string text = "no error";
  try {
    f();
    try {
      ergo::synchronize();  // with the default device
    } catch (const ergo::Error& e) {
      text = e.what();
      text = text.substr(0, text.find("\n  (found on "));
    }
  } catch (const ergo::Error& e) { text = e.what(); }
  return text.find('\n') > 120 && text.size() > 120 ? "over 120 characters: " + text : text;
}

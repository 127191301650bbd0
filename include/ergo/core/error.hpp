// The exceptions of the library. Every message begins with the operation in brackets, shows all shapes, the numbers
// that disagree and a hint; a call that throws leaves everything as it was.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

// A part of a message: a literal, a number (six digits), or anything that has a `to_string`. It refers to what it is
// made of and lives no longer than the call it is written in.
class Piece {
 public:
  Piece(const char* text) : object_(text), append_(&append_text) {}
  Piece(const std::string& text) : object_(&text), append_(&append_object<std::string>) {}
  Piece(char c) : whole_(c), append_(&append_char) {}
  template <std::integral I>
  Piece(I n) : whole_(std::int64_t(n)), append_(std::is_signed_v<I> ? &append_whole : &append_unsigned) {}
  template <std::floating_point F>
  Piece(F x) : real_(double(x)), append_(&append_real) {}
  template <class T>
  requires requires(const T& x) { to_string(x); }
  Piece(const T& x) : object_(&x), append_(&append_object<T>) {}

  void append_to(std::string& text) const { append_(text, *this); }

 private:
  static void append_text(std::string& s, const Piece& p) { s += static_cast<const char*>(p.object_); }
  static void append_char(std::string& s, const Piece& p) { s += char(p.whole_); }
  ERGO_ONCE static void append_whole(std::string& s, const Piece& p) { s += std::to_string(p.whole_); }
  ERGO_ONCE static void append_unsigned(std::string& s, const Piece& p) {
    s += std::to_string(std::uint64_t(p.whole_));
  }
  ERGO_ONCE static void append_real(std::string& s, const Piece& p) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6g", p.real_);
    s += digits;
  }
  template <class T>
  static void append_object(std::string& s, const Piece& p) {
    const T& object = *static_cast<const T*>(p.object_);
    if constexpr (std::same_as<T, std::string>)
      s += object;
    else
      s += to_string(object);
  }
  union {
    const void* object_;
    std::int64_t whole_;
    double real_;
  };
  void (*append_)(std::string&, const Piece&);
};

// The pieces of a message, put together once something failed: where one is written, nothing but their addresses is
// compiled. `{"axis ", axis, " of ", shape}`, or one text.
class Message {
 public:
  Message(const char* text) : one_(text), pieces_(&one_), count_(1) {}
  Message(const std::string& text) : one_(text), pieces_(&one_), count_(1) {}
  Message(std::initializer_list<Piece> pieces) : one_(""), count_(pieces.size()) { pieces_ = pieces.begin(); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  [[gnu::cold]] ERGO_ONCE friend std::string to_string(const Message& message) {
    std::string text;
    for (std::size_t i = 0; i < message.count_; ++i) message.pieces_[i].append_to(text);
    return text;
  }

 private:
  Piece one_;
  const Piece* pieces_;
  std::size_t count_;
};

namespace detail {
// Lines of at most 120 characters: longer ones continue, indented, at their last space.
[[gnu::cold]] ERGO_ONCE std::string in_lines(std::string text) {
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
  explicit Error(const Message& text) : std::runtime_error(detail::in_lines(to_string(text))) {}
};

// Memory that could not be had; the message names what was asked for and what is free.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// Out of line, so that a check costs a comparison.
[[noreturn, gnu::cold]] ERGO_ONCE void throw_error(const Message& text) { throw Error(text); }

}  // namespace ergo::inline ERGO_BUILD

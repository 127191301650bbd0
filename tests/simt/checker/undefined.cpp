// What the compiler calls where -fsanitize=undefined finds undefined behaviour: in a kernel it ends the launch. Host
// code has sanitizers of its own, and is let through.
#include <cstdint>
#include <string>

#include "engine/block.hpp"
#include "engine/observer.hpp"

namespace {

// As the compiler lays them out (libsanitizer/ubsan/ubsan_value.h).
struct Place {
  const char* file;
  std::uint32_t line, column;
};
struct Type {
  std::uint16_t kind, info;
  char name[1];
  // The value of an integer that a handler was given: itself, or a pointer to it.
  std::string value(std::uintptr_t given) const {
    if (kind != 0 || (1u << (info >> 1)) > 64) return "?";
    const unsigned bits = 1u << (info >> 1);
    if (!(info & 1)) return std::to_string(given);
    return std::to_string(static_cast<std::intptr_t>(given << (64 - bits)) >> (64 - bits));
  }
};

// Ends the launch with what() and its place.
template <class What>
void found(const Place& place, What what) {
  if (!simt::in_kernel) return;
  const simt::EngineCode here;
  const std::string at = "\n  at " + std::string(place.file) + ":" + std::to_string(place.line);
  simt::Block::instance().stop("undefined behaviour: " + what() + at, simt::Outcome::failed);
}

struct Index {
  Place place;
  const Type *array, *index;
};
struct Arithmetic {
  Place place;
  const Type* type;
};
struct Shift {
  Place place;
  const Type *left, *right;
};

void overflows(const Arithmetic* data, std::uintptr_t a, const char* sign, std::uintptr_t b) {
  found(data->place,
        [&] { return data->type->value(a) + sign + data->type->value(b) + " overflows " + data->type->name; });
}

}  // namespace

extern "C" {

void __ubsan_handle_out_of_bounds(const Index* data, std::uintptr_t index);
void __ubsan_handle_out_of_bounds(const Index* data, std::uintptr_t index) {
  found(data->place,
        [&] { return "index " + data->index->value(index) + " of an array of type " + data->array->name; });
}
void __ubsan_handle_add_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b);
void __ubsan_handle_add_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b) {
  overflows(data, a, " + ", b);
}
void __ubsan_handle_sub_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b);
void __ubsan_handle_sub_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b) {
  overflows(data, a, " - ", b);
}
void __ubsan_handle_mul_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b);
void __ubsan_handle_mul_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b) {
  overflows(data, a, " * ", b);
}
void __ubsan_handle_negate_overflow(const Arithmetic* data, std::uintptr_t a);
void __ubsan_handle_negate_overflow(const Arithmetic* data, std::uintptr_t a) {
  found(data->place, [&] { return "-(" + data->type->value(a) + ") overflows " + data->type->name; });
}
void __ubsan_handle_divrem_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b);
void __ubsan_handle_divrem_overflow(const Arithmetic* data, std::uintptr_t a, std::uintptr_t b) {
  overflows(data, a, " / ", b);
}
void __ubsan_handle_shift_out_of_bounds(const Shift* data, std::uintptr_t a, std::uintptr_t b);
void __ubsan_handle_shift_out_of_bounds(const Shift* data, std::uintptr_t a, std::uintptr_t b) {
  found(data->place, [&] {
    return data->left->value(a) + " of type " + data->left->name + " is shifted by " + data->right->value(b);
  });
}

}  // extern "C"

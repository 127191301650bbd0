// What the checker knows of the program itself: constants, `__shared__` variables, and the source behind an address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

struct SharedVariable {
  const char* begin;
  std::size_t bytes;
  std::string name;             // "tile"
  std::uint64_t fresh_for = 0;  // the block that its shadow is of
};

class Program {
 public:
  Program();

  bool is_constant(const void* p) const;  // in memory of the program that is never written
  const char* data() const { return data_; }
  std::size_t data_bytes() const { return data_bytes_; }
  // The variable that holds p, or the one that ends before it, with nothing but a gap between; null: neither.
  SharedVariable* variable(const void* p);

  std::uint32_t offset(const void* pc) const {
    return static_cast<std::uint32_t>(static_cast<const char*>(pc) - base_);
  }
  // "kernel.cuh:40, called from kernel.cuh:80": the place of the call before `offset`, through what was inlined.
  // Headers of the emulation are left out.
  std::string place(std::uint32_t offset) const;

 private:
  struct Range {
    const char *begin, *end;
  };
  void read_segments();
  void read_symbols();

  const char* base_ = nullptr;
  const char* data_ = nullptr;
  std::size_t data_bytes_ = 0;
  std::vector<Range> constants_;
  std::vector<SharedVariable> variables_;  // by address
  std::vector<Range> gaps_;
};

}  // namespace simt

#include "diagnosis.hpp"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "simt/control.hpp"

namespace simt {
namespace {

struct Diagnoses {
  std::mutex mutex;
  std::vector<std::string> texts;
  bool print = true;
};
// Never destroyed: static destructors of a program may still call CUDA.
Diagnoses& diagnoses() {
  static auto* all = new Diagnoses;
  return *all;
}

}  // namespace

std::string kernel_signature(const void* kernel) {
  Dl_info info;
  if (!kernel || !dladdr(kernel, &info) || !info.dli_sname || info.dli_saddr != kernel) {
    return "(a kernel without a name: static, in an unnamed namespace, or linked without -rdynamic)";
  }
  return demangled(info.dli_sname);
}

std::string kernel_name(const void* kernel) { return without_parameters(kernel_signature(kernel)); }

std::string demangled(const char* symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = text ? text : symbol;
  std::free(text);
  return name;
}

std::string without_parameters(std::string name) {
  if (!name.empty() && name[0] == '(') return name;
  // A template's demangled name begins with its return type and ends with its parameters: "void f<int>(float*)".
  if (name.rfind("void ", 0) == 0) name.erase(0, 5);
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) {
      // "(anonymous namespace)::" is a part of the name; parameters are not followed by "::".
      const std::size_t close = name.find(')', i);
      if (close != std::string::npos && name.compare(close + 1, 2, "::") == 0) {
        i = close;
        continue;
      }
      name.erase(i);
      break;
    }
  }
  return name;
}

void diagnose(const std::string& text) {
  Diagnoses& all = diagnoses();
  const std::lock_guard lock(all.mutex);
  if (all.print) std::fprintf(stderr, "simt: %s\n", text.c_str());
  all.texts.push_back(text);
}

std::string tuple(unsigned x, unsigned y, unsigned z) {
  return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

std::vector<std::string> take_diagnoses() {
  Diagnoses& all = diagnoses();
  const std::lock_guard lock(all.mutex);
  return std::exchange(all.texts, {});
}

void print_diagnoses(bool on) {
  Diagnoses& all = diagnoses();
  const std::lock_guard lock(all.mutex);
  all.print = on;
}

}  // namespace simt

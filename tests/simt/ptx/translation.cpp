#include "translation.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/block.hpp"
#include "engine/diagnosis.hpp"
#include "machine.hpp"

namespace simt::ptx {
namespace {

// By name without parameters. Never destroyed: static destructors of a program may still launch kernels.
auto& kernels() {
  static auto* all = new std::unordered_map<std::string, Kernel>;
  return *all;
}

}  // namespace

Library::Library(std::vector<Kernel> all) {
  for (Kernel& k : all) {
    const std::string name = without_parameters(demangled(k.name));
    if (!kernels().emplace(name, std::move(k)).second) {
      std::fprintf(stderr, "simt: SIMT_PTX: two kernels are called %s\n", name.c_str());
      std::exit(2);
    }
  }
}

bool in_use() {
  static const bool loaded = [] {
    const char* path = std::getenv("SIMT_PTX");
    if (!path || !*path) return false;
    if (!dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
      std::fprintf(stderr, "simt: SIMT_PTX: %s\n", dlerror());
      std::exit(2);
    }
    return true;
  }();
  return loaded;
}

const Kernel* find(const void* kernel) {
  static auto* known = new std::unordered_map<const void*, const Kernel*>;
  const auto [at, fresh] = known->emplace(kernel, nullptr);
  if (fresh) {
    const auto found = kernels().find(kernel_name(kernel));
    if (found != kernels().end()) at->second = &found->second;
  }
  return at->second;
}

void misaligned(u64 address, unsigned bytes) {
  char text[96];
  std::snprintf(text, sizeof text, "an access of %u bytes at address %#llx, which is no multiple of them", bytes,
                static_cast<unsigned long long>(address));
  Block::instance().fail(text, {});
}

}  // namespace simt::ptx

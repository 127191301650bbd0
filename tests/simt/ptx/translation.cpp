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

// Never destroyed: static destructors of a program may still launch kernels.
auto& kernels() {
  static auto* all = new std::unordered_map<std::string, Kernel>;
  return *all;
}

}  // namespace

Library::Library(std::vector<Kernel> all) {
  for (Kernel& k : all) kernels().emplace(k.name, std::move(k));
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
  Dl_info info;
  if (!dladdr(kernel, &info) || !info.dli_sname || info.dli_saddr != kernel) return nullptr;
  const auto found = kernels().find(info.dli_sname);
  return found == kernels().end() ? nullptr : &found->second;
}

void misaligned(u64 address, unsigned bytes) {
  char text[96];
  std::snprintf(text, sizeof text, "an access of %u bytes at address %#llx, which is no multiple of them", bytes,
                static_cast<unsigned long long>(address));
  Block::instance().fail(text, {});
}

}  // namespace simt::ptx

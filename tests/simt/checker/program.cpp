#include "program.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <string_view>
#include <unistd.h>

namespace simt {
namespace {

constexpr char kExecutable[] = "/proc/self/exe";
constexpr std::string_view kGap = "simt_gap_";  // of SIMT_GAP in simt/execution.hpp

// "tile" of _ZZ<function>E4tile, with the function's part; empty for any other name.
struct Local {
  std::string_view function, name;
};
Local split_local(std::string_view symbol) {
  if (symbol.substr(0, 3) != "_ZZ") return {};
  for (std::size_t e = symbol.rfind('E'); e != std::string_view::npos && e > 3; e = symbol.rfind('E', e - 1)) {
    std::size_t length = 0, at = e + 1;
    while (at < symbol.size() && std::isdigit(static_cast<unsigned char>(symbol[at]))) {
      length = length * 10 + static_cast<std::size_t>(symbol[at++] - '0');
    }
    // Behind the name stands nothing, or the number of a namesake in another scope: "_0".
    if (length == 0 || at + length > symbol.size()) continue;
    if (at + length < symbol.size() && symbol[at + length] != '_') continue;
    return {symbol.substr(0, e), symbol.substr(at, length)};
  }
  return {};
}

// The program's file, mapped while the object lives.
class File {
 public:
  File() {
    const int fd = open(kExecutable, O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd >= 0 && fstat(fd, &info) == 0) {
      bytes_ = static_cast<std::size_t>(info.st_size);
      memory_ = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) close(fd);
  }
  ~File() { munmap(memory_, bytes_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  template <class T>
  const T* at(std::size_t offset) const {
    return reinterpret_cast<const T*>(static_cast<const char*>(memory_) + offset);
  }
  const ElfW(Shdr) * symbols() const {
    if (memory_ == MAP_FAILED) return nullptr;
    const auto* header = at<ElfW(Ehdr)>(0);
    const auto* sections = at<ElfW(Shdr)>(header->e_shoff);
    const auto* found = std::find_if(sections, sections + header->e_shnum,
                                     [](const ElfW(Shdr) & s) { return s.sh_type == SHT_SYMTAB; });
    return found == sections + header->e_shnum ? nullptr : found;
  }

 private:
  void* memory_ = MAP_FAILED;
  std::size_t bytes_ = 0;
};

}  // namespace

Program::Program() {
  read_segments();
  read_symbols();
}

void Program::read_segments() {
  const auto each = [](dl_phdr_info* info, std::size_t, void* self) {
    auto& p = *static_cast<Program*>(self);
    p.base_ = reinterpret_cast<const char*>(info->dlpi_addr);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& h = info->dlpi_phdr[i];
      const char* begin = p.base_ + h.p_vaddr;
      if ((h.p_type == PT_LOAD && !(h.p_flags & PF_W)) || h.p_type == PT_GNU_RELRO) {
        p.constants_.push_back({begin, begin + h.p_memsz});
      } else if (h.p_type == PT_LOAD) {
        p.data_ = begin;
        p.data_bytes_ = h.p_memsz;
      }
    }
    return 1;  // the program itself comes first
  };
  dl_iterate_phdr(each, this);
}

void Program::read_symbols() {
  const File file;
  const auto* section = file.symbols();
  if (!section) {
    std::fprintf(stderr, "simt: the checker needs the program's symbols: it must not be stripped\n");
    std::abort();
  }
  const auto* symbols = file.at<ElfW(Sym)>(section->sh_offset);
  const auto* strings = file.at<char>(file.at<ElfW(Shdr)>(file.at<ElfW(Ehdr)>(0)->e_shoff)[section->sh_link].sh_offset);
  // A static of a function that has a gap is `__shared__`.
  std::set<std::string_view> functions;
  const std::size_t count = section->sh_size / sizeof *symbols;
  const auto for_locals = [&](auto f) {
    for (std::size_t i = 0; i < count; ++i) {
      const Local local = split_local(strings + symbols[i].st_name);
      const char* begin = base_ + symbols[i].st_value;
      const bool writable = begin >= data_ && begin < data_ + data_bytes_ && !is_constant(begin);
      if (!local.name.empty() && symbols[i].st_size > 0 && writable) f(local, begin, symbols[i].st_size);
    }
  };
  for_locals([&](const Local& local, const char* begin, std::size_t bytes) {
    if (local.name.substr(0, kGap.size()) != kGap) return;
    functions.insert(local.function);
    gaps_.push_back({begin, begin + bytes});
  });
  for_locals([&](const Local& local, const char* begin, std::size_t bytes) {
    if (local.name.substr(0, kGap.size()) == kGap || !functions.contains(local.function)) return;
    variables_.push_back({begin, bytes, std::string(local.name)});
  });
  std::sort(variables_.begin(), variables_.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
}

bool Program::is_constant(const void* p) const {
  return std::any_of(constants_.begin(), constants_.end(), [p](const Range& r) { return p >= r.begin && p < r.end; });
}

SharedVariable* Program::variable(const void* p) {
  auto after = std::upper_bound(variables_.begin(), variables_.end(), static_cast<const char*>(p),
                                [](const char* a, const SharedVariable& v) { return a < v.begin; });
  if (after == variables_.begin()) return nullptr;
  SharedVariable& v = after[-1];
  if (p < v.begin + v.bytes) return &v;
  const bool in_gap =
      std::any_of(gaps_.begin(), gaps_.end(), [p](const Range& g) { return p >= g.begin && p < g.end; });
  return in_gap ? &v : nullptr;
}

std::string Program::place(std::uint32_t offset) const {
  char program[4096];
  const ssize_t length = readlink(kExecutable, program, sizeof program - 1);
  program[length > 0 ? length : 0] = 0;
  char command[4200];
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%x 2>&1", program, offset - 1);
  std::vector<std::string> frames;
  if (FILE* pipe = popen(command, "r")) {
    char line[4096];
    while (std::fgets(line, sizeof line, pipe)) frames.emplace_back(line, std::strcspn(line, " \n"));
    pclose(pipe);
  }
  std::string text;
  for (const std::string& frame : frames) {
    if (frame.find("/tests/simt/include/") != std::string::npos) continue;
    text += (text.empty() ? "" : ", called from ") + frame;
  }
  return text.empty() && !frames.empty() ? frames[0] : text;
}

}  // namespace simt

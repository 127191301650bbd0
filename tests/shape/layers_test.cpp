// The order of the layers: who may include whom.
// flags: -O0
#include <doctest/doctest.h>

#include "source_tree.hpp"

namespace {

using namespace shape;

// Folders of include/ergo by layer, lowest first. A header includes from its own layer or a lower one.
const std::map<std::string, int> kLayers = {
    {"core", 0}, {"cpu", 1},   {"cuda", 1}, {"kernels", 1}, {"autograd", 2}, {"ops", 3},    {"linalg", 4},
    {"nn", 5},   {"optim", 5}, {"io", 5},   {"data", 5},    {"text", 5},     {"models", 6}, {"algorithms", 6},
};

// The folder of "include/ergo/<folder>/..."; empty for the umbrella and for what is not a header of the library.
std::string folder_of(const std::string& path) {
  const std::string prefix = "include/ergo/";
  if (!path.starts_with(prefix)) return "";
  const auto slash = path.find('/', prefix.size());
  return slash == std::string::npos ? "" : path.substr(prefix.size(), slash - prefix.size());
}

Offences upward_includes(const std::vector<File>& tree) {
  Offences offences;
  const auto all = paths(tree);
  for (const auto& file : tree) {
    if (file.path == "include/ergo/ergo.hpp" || file.path == "include/ergo/compiled.hpp") continue;  // above all
    const auto own = kLayers.find(folder_of(file.path));
    if (own == kLayers.end()) {
      offences.push_back(file.path + ": belongs to no layer; a header lies in include/ergo/<layer>/");
      continue;
    }
    for (const auto& name : includes(file)) {
      const auto target = resolve(file, name, all);
      if (target.empty()) continue;
      if (!all.contains(target)) {
        offences.push_back(file.path + ": includes " + name + ", which does not exist");
        continue;
      }
      const auto other = kLayers.find(folder_of(target));
      if (other == kLayers.end() || other->second > own->second) {
        offences.push_back(file.path + ": includes " + name + ", which lies above its layer " + own->first);
      }
    }
  }
  return offences;
}

// `#pragma once` hides a cycle until someone includes the other header first.
Offences include_cycles(const std::vector<File>& tree) {
  Offences offences;
  const auto all = paths(tree);
  std::map<std::string, std::vector<std::string>> edges;
  for (const auto& file : tree) {
    for (const auto& name : includes(file)) {
      const auto target = resolve(file, name, all);
      if (!target.empty()) edges[file.path].push_back(target);
    }
  }
  std::map<std::string, int> state;  // 1: on the path, 2: done
  std::vector<std::string> path;
  const auto visit = [&](const auto& self, const std::string& node) -> void {
    if (state[node] == 2) return;
    if (state[node] == 1) {
      std::string cycle;
      for (auto it = std::find(path.begin(), path.end(), node); it != path.end(); ++it) cycle += *it + " -> ";
      offences.push_back(cycle + node + ": a cycle of includes");
      return;
    }
    state[node] = 1;
    path.push_back(node);
    for (const auto& next : edges[node]) self(self, next);
    path.pop_back();
    state[node] = 2;
  };
  for (const auto& file : tree) visit(visit, file.path);
  return offences;
}

// The umbrella is for newcomers' programs: quickstart, consumers, documents. Everyone else says what is used.
Offences umbrella_includes(const std::vector<File>& tree) {
  Offences offences;
  for (const auto& file : tree) {
    if (file.path.starts_with("tests/shape/") || file.path.starts_with("tests/consumers/") ||
        file.path == "examples/quickstart.cpp")
      continue;
    for (const auto& name : includes(file)) {
      if (name == "ergo/ergo.hpp" || name == "../ergo.hpp")
        offences.push_back(file.path + ": includes the umbrella; include the headers that it uses");
    }
  }
  return offences;
}

// Every header of the library, reached from the umbrella or meant to be included alone.
Offences outside_the_umbrella(const std::vector<File>& tree) {
  std::map<std::string, const File*> by_path;
  for (const auto& file : tree) by_path[file.path] = &file;
  const auto all = paths(tree);
  std::set<std::string> reached;
  std::vector<std::string> next = {"include/ergo/ergo.hpp"};
  while (!next.empty()) {
    const auto path = next.back();
    next.pop_back();
    if (!by_path.contains(path) || !reached.insert(path).second) continue;
    for (const auto& name : includes(*by_path[path])) next.push_back(resolve(*by_path[path], name, all));
  }
  Offences offences;
  for (const auto& file : tree) {
    const auto folder = folder_of(file.path);
    const bool public_layer =
        folder == "core" || folder == "ops" || folder == "linalg" || folder == "nn" || folder == "optim";
    if (public_layer && !reached.contains(file.path))
      offences.push_back(file.path + ": is not reached from ergo/ergo.hpp");
  }
  return offences;
}

// What the layers below examples may take from outside: the standard library, POSIX, and zlib for compressed data.
Offences foreign_includes(const std::vector<File>& tree) {
  const std::set<std::string> posix = {"pthread.h", "sched.h", "signal.h", "unistd.h",
                                       "fcntl.h",   "dlfcn.h", "dirent.h"};
  const std::set<std::string> heavy = {"format", "ranges", "source_location", "regex"};
  const auto all = paths(tree);
  Offences offences;
  for (const auto& file : tree) {
    const auto folder = folder_of(file.path);
    for (const auto& name : includes(file)) {
      if (!resolve(file, name, all).empty()) continue;
      const bool standard = name.find_first_of("./") == std::string::npos;
      const bool system = posix.contains(name) || name.starts_with("sys/") || name.starts_with("linux/");
      const bool allowed_here = (folder == "data" && name == "zlib.h") || (folder == "cuda" && name.starts_with("cu"));
      if (heavy.contains(name))
        offences.push_back(file.path + ": <" + name + "> is missing from clang 14's library or costs too much");
      else if (!standard && !system && !allowed_here)
        offences.push_back(file.path + ": <" + name + ">; the library needs the standard library alone");
    }
  }
  return offences;
}

// core/tensor.hpp is in every program: what it includes, by any number of steps, stays cheap to compile.
Offences costly_includes_of(const std::string& top, const std::vector<File>& tree) {
  const std::set<std::string> costly = {"memory", "functional", "atomic", "iostream", "thread", "mutex", "random"};
  std::map<std::string, const File*> by_path;
  for (const auto& file : tree) by_path[file.path] = &file;
  const auto all = paths(tree);
  Offences offences;
  std::set<std::string> seen;
  std::vector<std::string> next = {top};
  while (!next.empty()) {
    const auto path = next.back();
    next.pop_back();
    if (!by_path.contains(path) || !seen.insert(path).second) continue;
    for (const auto& name : includes(*by_path[path])) {
      if (costly.contains(name)) offences.push_back(path + ": includes <" + name + "> into " + top);
      next.push_back(resolve(*by_path[path], name, all));
    }
  }
  return offences;
}

std::vector<File> everything() {
  std::vector<File> all;
  for (const char* folder : {"include", "kernels", "tests", "bench", "examples"}) {
    for (auto& file : files(folder, {".hpp", ".cpp", ".cuh", ".cu"})) all.push_back(std::move(file));
  }
  return all;
}

}  // namespace

TEST_CASE("a header includes from its own layer or a lower one") { check_none(upward_includes(headers())); }
TEST_CASE("includes have no cycles") { check_none(include_cycles(headers())); }
TEST_CASE("the umbrella is for newcomers") { check_none(umbrella_includes(everything())); }
TEST_CASE("the umbrella reaches every public header") {
  const auto tree = headers();
  if (paths(tree).contains("include/ergo/ergo.hpp")) check_none(outside_the_umbrella(tree));
}
TEST_CASE("the library needs the standard library alone") { check_none(foreign_includes(headers())); }
TEST_CASE("core/tensor.hpp stays cheap") { check_none(costly_includes_of("include/ergo/core/tensor.hpp", headers())); }

TEST_CASE("each rule catches its offence") {
  const File low{"include/ergo/core/low.hpp", "#include <vector>\n"};
  const File high{"include/ergo/ops/high.hpp", "#include \"ergo/core/low.hpp\"\n"};
  const File umbrella{"include/ergo/ergo.hpp", "#include <ergo/ops/high.hpp>\n"};
  CHECK(upward_includes({low, high, umbrella}).empty());
  CHECK(outside_the_umbrella({low, high, umbrella}).empty());

  const File climbs{"include/ergo/core/climbs.hpp", "  #  include \"../ops/high.hpp\"\n"};
  CHECK(upward_includes({high, low, climbs}).size() == 1);
  CHECK(upward_includes({{"include/ergo/core/a.hpp", "#include <ergo/ergo.hpp>\n"}, umbrella, high, low}).size() == 1);
  CHECK(upward_includes({{"include/ergo/core/a.hpp", "#include <ergo/core/gone.hpp>\n"}}).size() == 1);
  CHECK(upward_includes({{"include/ergo/misc/a.hpp", ""}}).size() == 1);
  CHECK(include_cycles({{"include/ergo/ops/a.hpp", "#include <ergo/ops/b.hpp>\n"},
                        {"include/ergo/ops/b.hpp", "#include \"a.hpp\"\n"}})
            .size() == 1);
  CHECK(include_cycles({low, high}).empty());
  CHECK(outside_the_umbrella({low, high, umbrella, {"include/ergo/nn/lonely.hpp", ""}}).size() == 1);
  CHECK(umbrella_includes({{"bench/ops/a.cpp", "#include <ergo/ergo.hpp>\n"}}).size() == 1);
  CHECK(umbrella_includes({{"examples/quickstart.cpp", "#include <ergo/ergo.hpp>\n"}}).empty());
  CHECK(foreign_includes({{"include/ergo/core/a.hpp", "#include <immintrin.h>\n#include <Eigen/Core>\n"}}).size() == 2);
  CHECK(foreign_includes({{"include/ergo/data/a.hpp", "#include <zlib.h>\n#include <pthread.h>\n"}}).empty());
  CHECK(costly_includes_of("include/ergo/ops/high.hpp", {high, {"include/ergo/core/low.hpp", "#include <memory>\n"}})
            .size() == 1);
}

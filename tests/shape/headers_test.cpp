// What every header of the library keeps to: its size, its macros, its namespace, nothing with internal linkage.
// flags: -O0
#include <doctest/doctest.h>

#include <cstdio>

#include "source_tree.hpp"

namespace {

using namespace shape;

constexpr std::size_t kMostLines = 500;
constexpr std::size_t kManyLines = 300;
constexpr std::size_t kMostColumns = 120;
constexpr std::size_t kMostMacros = 6;

// Characters, not bytes: a continuation byte of UTF-8 is 10xxxxxx.
std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Offences layout(const std::vector<File>& tree) {
  Offences offences;
  for (const auto& file : tree) {
    const auto all = lines(file.text);
    const auto where = [&](std::size_t i) { return file.path + ":" + std::to_string(i + 1) + ": "; };
    if (all.size() > kMostLines)
      offences.push_back(file.path + ": " + std::to_string(all.size()) + " lines; split it by meaning");
    if (all.empty() || !all[0].starts_with("// ")) offences.push_back(file.path + ": begins without a word of purpose");
    if (std::find(all.begin(), all.end(), "#pragma once") == all.end())
      offences.push_back(file.path + ": has no #pragma once");
    if (!file.text.ends_with('\n')) offences.push_back(file.path + ": does not end with a line break");
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (columns(all[i]) > kMostColumns) offences.push_back(where(i) + "over 120 columns");
      if (all[i].find('\t') != std::string::npos) offences.push_back(where(i) + "a tab");
      if (all[i].ends_with(' ') || all[i].ends_with('\r')) offences.push_back(where(i) + "blanks at the end");
    }
  }
  return offences;
}

// Lines of code, logical ones, that begin with '#': "# define X \" continued is one.
std::vector<std::string> directives(const File& file) {
  std::vector<std::string> result;
  bool continued = false;
  for (const auto& line : lines(code(file.text))) {
    const auto begin = line.find_first_not_of(" \t");
    if (continued) {
      result.back() += line;
    } else if (begin != std::string::npos && line[begin] == '#') {
      result.push_back(line.substr(line.find_first_not_of(" \t", begin + 1)));
    }
    continued = (continued || (begin != std::string::npos && line[begin] == '#')) && line.ends_with('\\');
  }
  return result;
}

std::string macro_name(const std::string& directive) {
  std::istringstream words(directive);
  std::string keyword, name;
  words >> keyword >> name;
  return name.substr(0, name.find('('));
}

// The macros that users see: defined in a header and not undefined by it.
std::set<std::string> macros_left(const std::vector<File>& tree) {
  std::set<std::string> left;
  for (const auto& file : tree) {
    std::set<std::string> open;
    for (const auto& directive : directives(file)) {
      if (directive.starts_with("define")) open.insert(macro_name(directive));
      if (directive.starts_with("undef")) open.erase(macro_name(directive));
    }
    left.insert(open.begin(), open.end());
  }
  return left;
}

// Walks a header's declarations at namespace scope: which tokens stand there, outside every other kind of brace.
struct NamespaceScope {
  std::vector<std::string> tokens;
  bool unnamed_namespace = false;
};
NamespaceScope namespace_scope(const File& file) {
  std::string text;
  bool continued = false;
  for (const auto& line : lines(code(file.text))) {  // without directives
    const auto begin = line.find_first_not_of(" \t");
    const bool directive = continued || (begin != std::string::npos && line[begin] == '#');
    continued = directive && line.ends_with('\\');
    text += directive ? "\n" : line + "\n";
  }
  NamespaceScope scope;
  std::vector<bool> braces;  // true: of a namespace
  std::vector<std::string> statement;
  int inside = 0;  // open braces that are not a namespace's, and open parentheses
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
      std::size_t end = i;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
      statement.push_back(text.substr(i, end - i));
      if (inside == 0) scope.tokens.push_back(statement.back());
      i = end;
      continue;
    }
    if (c == '(') ++inside;
    if (c == ')') --inside;
    if (c == '{') {
      const bool opens = inside == 0 && std::find(statement.begin(), statement.end(), "namespace") != statement.end();
      if (opens && statement.back() == "namespace") scope.unnamed_namespace = true;
      braces.push_back(opens);
      inside += opens ? 0 : 1;
    }
    if (c == '}' && !braces.empty()) {
      inside -= braces.back() ? 0 : 1;
      braces.pop_back();
    }
    if (c == '{' || c == '}' || c == ';') statement.clear();
    ++i;
  }
  return scope;
}

// `static` or an unnamed namespace in a header gives every unit its own copy, and inline functions that use it differ
// between units.
Offences internal_linkage(const std::vector<File>& tree) {
  Offences offences;
  for (const auto& file : tree) {
    const auto scope = namespace_scope(file);
    if (std::find(scope.tokens.begin(), scope.tokens.end(), "static") != scope.tokens.end())
      offences.push_back(file.path + ": `static` at namespace scope; say `inline`");
    if (scope.unnamed_namespace) offences.push_back(file.path + ": an unnamed namespace; say `namespace detail`");
  }
  return offences;
}

// Objects of a CPU build and of a CUDA build must not link together, so every name carries the build's namespace.
Offences outside_the_build(const std::vector<File>& tree) {
  Offences offences;
  for (const auto& file : tree) {
    const bool declares = !namespace_scope(file).tokens.empty();
    if (declares && file.text.find("namespace ergo::inline ERGO_BUILD") == std::string::npos)
      offences.push_back(file.path + ": does not open `namespace ergo::inline ERGO_BUILD`");
  }
  return offences;
}

// The test equipment that runs CUDA sources on the CPU is never a part of the library.
Offences test_equipment(const std::vector<File>& tree) {
  Offences offences;
  for (const auto& file : tree) {
    for (const auto& name : includes(file)) {
      if (name.find("tests/") != std::string::npos || name.find("simt") != std::string::npos)
        offences.push_back(file.path + ": includes test equipment, " + name);
    }
  }
  return offences;
}

}  // namespace

TEST_CASE("layout") {
  const auto tree = headers();
  for (const auto& file : tree) {
    const auto count = lines(file.text).size();
    if (count > kManyLines) std::printf("%s: %zu lines, over %zu\n", file.path.c_str(), count, kManyLines);
  }
  check_none(layout(tree));
}

TEST_CASE("at most six macros, all of them ERGO_...") {
  const auto left = macros_left(headers());
  std::string names;
  for (const auto& name : left) {
    names += " " + name;
    CHECK_MESSAGE(name.starts_with("ERGO_"), name << " is no name for a macro of ergo; #undef it");
  }
  CHECK_MESSAGE(left.size() <= kMostMacros, names);
}

TEST_CASE("nothing has internal linkage") { check_none(internal_linkage(headers())); }
TEST_CASE("every header opens the build's namespace") { check_none(outside_the_build(headers())); }
TEST_CASE("test equipment stays outside") { check_none(test_equipment(headers())); }

TEST_CASE("each rule catches its offence") {
  const std::string open = "namespace ergo::inline ERGO_BUILD {\n";
  const auto made_up = [](const std::string& text) { return std::vector<File>{{"include/ergo/core/a.hpp", text}}; };

  CHECK(layout(made_up("// Purpose.\n#pragma once\n")).empty());
  CHECK(layout(made_up("#pragma once\n")).size() == 1);
  CHECK(layout(made_up("// Purpose.\n")).size() == 1);
  CHECK(layout(made_up("// Purpose.\n#pragma once\n" + std::string(121, 'x') + "\n\ta\nb \nend")).size() == 4);
  CHECK(layout(made_up("// Purpose.\n#pragma once\n" + std::string(499, '\n'))).size() == 1);

  CHECK(macros_left(made_up("#define A(x) x\n#  define ERGO_B \\\n  1\n// #define C\n#undef A\n")) ==
        std::set<std::string>{"ERGO_B"});

  CHECK(internal_linkage(made_up(open + "static int x;\n}\n")).size() == 1);
  CHECK(internal_linkage(made_up(open + "template <class T>\nstatic T f() { return {}; }\n}\n")).size() == 1);
  CHECK(internal_linkage(made_up(open + "namespace {\nint x;\n}\n}\n")).size() == 1);
  CHECK(
      internal_linkage(made_up(open + "struct S { static int f(); };\ninline int g() { static int x = 0; return x; }\n"
                                      "static_assert(sizeof(int) == 4);\nconst char* s = \"static\"; // static\n}\n"))
          .empty());

  CHECK(outside_the_build(made_up(open + "int f();\n}\n")).empty());
  CHECK(outside_the_build(made_up("namespace ergo {\nint f();\n}\n")).size() == 1);
  CHECK(outside_the_build(made_up("// Only includes.\n#pragma once\n#include <vector>\n#define ERGO_X \\\n  1\n"))
            .empty());
  CHECK(test_equipment(made_up("#include \"tests/support/seed.hpp\"\n")).size() == 1);
}

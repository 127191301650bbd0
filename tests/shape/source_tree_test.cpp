// The reader of sources that the other shape tests stand on.
// flags: -O0
#include <doctest/doctest.h>

#include "source_tree.hpp"

using namespace shape;

TEST_CASE("code blanks comments and literals, and keeps lines") {
  CHECK(code("a // b\nc") == "a     \nc");
  CHECK(code("a /* b\nc */ d") == "a     \n     d");
  CHECK(code("f(\"// no \\\" comment\", 'x');") == "f(\"" + std::string(16, ' ') + "\", ' ');");
  CHECK(code("x = R\"(a \" // b)\"; y") == "x = " + std::string(13, ' ') + "; y");
  CHECK(code("n = 1'000'000; // m") == "n = 1'000'000;     ");
}

TEST_CASE("includes are read as written and resolved in the tree") {
  const File file{"include/ergo/cpu/math.hpp",
                  "#include <cmath>\n # include \"math_exp.hpp\"\n// #include <none>\n"
                  "#include \"ergo/core/config.hpp\"\n"};
  CHECK(includes(file) == std::vector<std::string>{"cmath", "math_exp.hpp", "ergo/core/config.hpp"});
  const std::set<std::string> tree = {"include/ergo/cpu/math_exp.hpp", "include/ergo/core/config.hpp"};
  CHECK(resolve(file, "cmath", tree).empty());
  CHECK(resolve(file, "math_exp.hpp", tree) == "include/ergo/cpu/math_exp.hpp");
  CHECK(resolve(file, "ergo/core/config.hpp", tree) == "include/ergo/core/config.hpp");
  CHECK(resolve(file, "ergo/core/gone.hpp", tree) == "include/ergo/core/gone.hpp");
}

TEST_CASE("the repository is found") { CHECK(!headers().empty()); }

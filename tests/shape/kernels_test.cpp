// What every file of kernels/ keeps to beside the rules of headers.
// flags: -O0
#include <doctest/doctest.h>

#include "source_tree.hpp"

namespace {

using namespace shape;

// Kernels work on views and pointers, are launched by `launch`, and are one source for all compilers. Inside ergo the
// plain names of elementary functions are operations on tensors.
Offences kernel_rules(const std::vector<File>& tree) {
  Offences offences;
  const std::set<std::string> shadowed = {"min",   "max", "exp", "log", "log1p", "expm1", "sqrt",
                                          "rsqrt", "pow", "abs", "sin", "cos",   "tanh",  "erf"};
  for (const auto& file : tree) {
    if (!file.path.starts_with("include/ergo/kernels/")) continue;
    const auto all = lines(code(file.text));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto refuse = [&](const std::string& why) {
        offences.push_back(file.path + ":" + std::to_string(i + 1) + ": " + why);
      };
      const std::string& line = all[i];
      const auto tensor = line.find("Tensor<");
      if (tensor != std::string::npos && (tensor == 0 || !std::isalnum(static_cast<unsigned char>(line[tensor - 1]))))
        refuse("a kernel knows no Tensor");
      if (line.find("long double") != std::string::npos) refuse("long double is double on a device");
      if (line.find("<<<") != std::string::npos) refuse("launch(stream, name, ...), not <<<>>>");
      if (line.find("#if") != std::string::npos && !file.path.ends_with("/ptx.cuh") &&
          !file.path.ends_with("/launch.cuh"))
        refuse("an #if; instructions stand in common/ptx.cuh");
      for (std::size_t at = line.find('('); at != std::string::npos; at = line.find('(', at + 1)) {
        std::size_t begin = at;
        while (begin > 0 && (std::isalnum(static_cast<unsigned char>(line[begin - 1])) || line[begin - 1] == '_'))
          --begin;
        const std::string name = line.substr(begin, at - begin);
        const bool plain = begin == 0 || (line[begin - 1] != ':' && line[begin - 1] != '.' && line[begin - 1] != '>');
        const bool declares = begin > 1 && line[begin - 1] == ' ' &&
                              (std::isalnum(static_cast<unsigned char>(line[begin - 2])) || line[begin - 2] == '>') &&
                              line.substr(0, begin).find("return") == std::string::npos;
        if (shadowed.contains(name) && plain && !declares && file.path.find("scalar.cuh") == std::string::npos)
          refuse(name + "(: inside ergo that is an operation; write ::" + name);
      }
    }
  }
  return offences;
}

// Sums of floats by atomics depend on the schedule. What an atomic works on is not seen in its line, so each is known
// here: words that are all integers.
Offences atomics_of_kernels(const std::vector<File>& tree) {
  const std::map<std::string, int> integers = {
      {"include/ergo/kernels/categorical.cuh", 1},    {"include/ergo/kernels/check.cuh", 1},
      {"include/ergo/kernels/common/labels.cuh", 3},  {"include/ergo/kernels/compact.cuh", 1},
      {"include/ergo/kernels/count.cuh", 3},          {"include/ergo/kernels/index.cuh", 1},
      {"include/ergo/kernels/random_integer.cuh", 2}, {"include/ergo/kernels/scatter_set.cuh", 2},
      {"include/ergo/kernels/select.cuh", 6},         {"include/ergo/kernels/sort_long.cuh", 1}};
  Offences offences;
  for (const auto& file : tree) {
    if (!file.path.starts_with("include/ergo/kernels/")) continue;
    const std::string text = code(file.text);
    int found = 0;
    for (std::size_t at = text.find("atomic"); at != std::string::npos; at = text.find("atomic", at + 1))
      found += at + 6 < text.size() && std::isupper(static_cast<unsigned char>(text[at + 6]));
    const auto known = integers.find(file.path);
    if (found != (known == integers.end() ? 0 : known->second))
      offences.push_back(file.path + ": " + std::to_string(found) +
                         " atomics; say here that they are of integers: floats are summed in a fixed order");
  }
  return offences;
}

// A launcher launches once, or a fixed number of times: no loop over rows or a batch. Three loops are known: over
// slices of 2^31 elements, and over the bytes of a key that is sorted or selected.
Offences launches_in_loops(const std::vector<File>& tree) {
  const std::map<std::string, int> known = {{"include/ergo/kernels/movement.cuh", 1},
                                            {"include/ergo/kernels/select.cuh", 1},
                                            {"include/ergo/kernels/sort_long.cuh", 3}};
  Offences offences;
  for (const auto& file : tree) {
    if (!file.path.starts_with("include/ergo/kernels/")) continue;
    const std::string text = code(file.text);
    std::vector<bool> loops;  // open braces: whether they are a loop's
    enum { none, head, body } state = none;
    int parentheses = 0, line = 1, left = known.contains(file.path) ? known.at(file.path) : 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\n') ++line;
      if (c == '(') ++parentheses;
      if (c == ')' && --parentheses == 0 && state == head) state = body;
      if (c == '{') {
        loops.push_back(state == body);
        if (state == body) state = none;
      }
      if (c == '}' && !loops.empty()) loops.pop_back();
      if (c == ';' && parentheses == 0 && state == body) state = none;  // its one statement has ended
      if (!std::isalpha(static_cast<unsigned char>(c))) continue;
      std::size_t end = i;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
      const std::string word = text.substr(i, end - i);
      i = end - 1;
      if ((word == "for" || word == "while") && parentheses == 0) state = head;
      const bool calls = word.starts_with("launch") && end < text.size() && (text[end] == '(' || text[end] == '<');
      if (calls && (state == body || std::find(loops.begin(), loops.end(), true) != loops.end()) && left-- <= 0)
        offences.push_back(file.path + ":" + std::to_string(line) + ": a launch in a loop of the host");
    }
  }
  return offences;
}

}  // namespace

TEST_CASE("kernels keep to their rules") { check_none(kernel_rules(headers())); }
TEST_CASE("no sums of floats by atomics") { check_none(atomics_of_kernels(headers())); }
TEST_CASE("no loop of the host over rows or a batch") { check_none(launches_in_loops(headers())); }

TEST_CASE("each rule catches its offence") {
  const auto kernel = [](const std::string& text) {
    return kernel_rules({{"include/ergo/kernels/a.cuh", text}}).size();
  };
  CHECK(kernel("void f(UpdateTensor<T> x) { y = ::exp(x) + sqrtf(x); }\ntemplate <class T> T min(T a, T b);\n") == 0);
  CHECK(kernel("void f(Tensor<float> x) {\n  k<<<1, 2>>>(x);\n  y = exp(x);\n  return min(a, b);\n#if A\n") == 5);
  CHECK(atomics_of_kernels({{"include/ergo/kernels/a.cuh", "atomicAdd(&sum, x);\n"}}).size() == 1);
  CHECK(atomics_of_kernels({{"include/ergo/kernels/a.cuh", "// atomicAdd\nint atomic_words = 1;\n"}}).empty());
  const auto loop = [](const std::string& text) {
    return launches_in_loops({{"include/ergo/kernels/a.cuh", text}}).size();
  };
  CHECK(loop("void f() { for (int d = 0; d < rank; ++d) n *= x[d]; launch(s, 1); while (a) { b(); } launch_a(s); }") ==
        0);
  CHECK(loop("void f() { for (int r = 0; r < rows; ++r)\n launch(s, \"x\", k<1>, r);\n}") == 1);
  CHECK(loop("void f() { while (more()) { if (x) { launch_rows<T>(s, r); } } launch(s); }") == 1);
}

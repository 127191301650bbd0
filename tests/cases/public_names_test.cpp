// Every public operation has a row in the case table. The names are taken from the text of the headers: free functions
// of namespace ergo, its `detail` apart. What needs no row is listed here with the reason; so is, in the end, nothing
// that does not exist.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "shape/source_tree.hpp"
#include "support/case_tables.hpp"

namespace cases_public_names_test {

namespace {

using Names = std::set<std::string>;

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The text with macro definitions and other preprocessor lines blanked.
std::string without_preprocessor(std::string text) {
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = std::min(text.find('\n', i), text.size());
    const std::size_t first = text.find_first_not_of(" \t", i);
    if (first != std::string::npos && text[first] == '#') {
      while (end < text.size() && text[end - 1] == '\\') end = std::min(text.find('\n', end + 1), text.size());
      std::fill(text.begin() + std::ptrdiff_t(i), text.begin() + std::ptrdiff_t(end), ' ');
    }
    i = end + 1;
  }
  return text;
}

// The function that a declaration declares, or "": the word before the first parenthesis that is not a template's.
std::string declared(const std::string& text) {
  const std::size_t macro =
      text.find("ERGO_UNARY(") != std::string::npos ? text.find("ERGO_UNARY(") : text.find("ERGO_BINARY(");
  if (macro != std::string::npos) {
    std::string name = text.substr(text.find('(', macro) + 1);
    name = name.substr(0, name.find(','));
    name.erase(
        std::remove_if(name.begin(), name.end(), [](char c) { return std::isspace(static_cast<unsigned char>(c)); }),
        name.end());
    return name;
  }
  const std::size_t op = text.find("operator");
  if (op != std::string::npos) return text.substr(op, text.find('(', op + 9) - op);
  int angles = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '<') ++angles;
    if (text[i] == '>' && angles > 0) --angles;
    if (text[i] == '=' && angles == 0) return "";  // a variable
    if (text[i] != '(' || angles > 0) continue;
    std::size_t end = i;
    while (end > 0 && text[end - 1] == ' ') --end;
    std::size_t begin = end;
    while (begin > 0 && in_word(text[begin - 1])) --begin;
    const std::string word = text.substr(begin, end - begin);
    if (word == "requires" || word == "decltype" || word == "static_assert" || word.empty()) return "";
    return begin > 0 && text[begin - 1] == ':' ? "" : word;  // a member, defined outside
  }
  return "";
}

// The public functions of a header.
Names public_names(const std::string& source) {
  const std::string text = without_preprocessor(shape::code(source));
  Names names;
  std::vector<std::string> scopes;  // of namespaces their names, else ""
  std::string statement;
  const auto finish = [&] {
    std::string inner;
    bool open = true;
    for (const std::string& s : scopes) {
      open = open && s.starts_with("namespace") && s.find("detail") == std::string::npos;
      if (s.starts_with("namespace tree")) inner = "tree::";
    }
    const std::size_t first = statement.find_first_not_of(" \n");
    const std::string name = open && first != std::string::npos ? declared(statement.substr(first)) : "";
    if (!name.empty()) names.insert(inner + name);
    statement.clear();
  };
  int parentheses = 0;
  for (const char c : text) {
    if (c == '(') ++parentheses;
    if (c == ')') --parentheses;
    if (parentheses == 0 && c == '{') {
      const std::size_t first = statement.find_first_not_of(" \n");
      const std::string opening = first == std::string::npos ? "" : statement.substr(first);
      if (opening.starts_with("namespace"))
        statement.clear();
      else
        finish();
      scopes.push_back(opening.starts_with("namespace") ? opening : "");
    } else if (parentheses == 0 && c == '}') {
      if (!scopes.empty()) scopes.pop_back();
      statement.clear();
    } else if (parentheses == 0 && c == ';') {
      finish();
    } else {
      statement += c == '\n' ? ' ' : c;
      if (c == ')' && parentheses == 0 &&
          (statement.find("ERGO_UNARY(") != std::string::npos || statement.find("ERGO_BINARY(") != std::string::npos))
        finish();
    }
  }
  return names;
}

Names all_public_names() {
  Names all;
  for (const shape::File& file : shape::headers()) {
    const bool operations = file.path.starts_with("include/ergo/ops/") || file.path == "include/ergo/core/cast.hpp" ||
                            file.path == "include/ergo/autograd/map.hpp";
    if (operations) all.merge(public_names(file.text));
  }
  return all;
}

// Public names that need no row, and why.
const std::map<std::string, std::string> kWithoutRow = {
    {"fold_in", "makes keys, which have no derivative: ops/key_test"},
    {"operator+=", "x = std::move(x) + y"},
    {"operator-=", "x = std::move(x) - y"},
    {"operator*=", "x = std::move(x) * y"},
    {"operator/=", "x = std::move(x) / y"},
    {"tree::normal_like", "normal, for each leaf"},
    {"tree::rademacher_like", "rademacher, for each leaf"},
};
// Rows of members.
const Names kMembers = {"operator[]"};

}  // namespace

TEST_CASE("functions are found in the text of a header, and nothing else") {
  const Names found = public_names(R"(
#define ERGO_UNARY(function, F) \
  auto function(int);
namespace ergo::inline ERGO_BUILD {
struct Options { int a = 1; int hidden(int x) const { return x; } };
enum class Mode { one, two };
template <class T = float, class A> requires Field<A> Tensor<T> first(const A& x = f(1), Options o = {.a = 2});
namespace detail { template <class T> int second(T x) { return x(1); } }
template <class T>
Tensor<T> third(const Tensor<T>& x) { return call(x); }  // fourth(x)
inline constexpr int kNumber = count(3);
const std::map<int, int> fifth{{1, 2}};
ERGO_UNARY(exp, detail::Exp)
ERGO_BINARY(operator+, detail::Add, void)
template <class T> auto operator-(const Tensor<T>& x) { return x; }
template <class T> bool operator==(const T& a, const T& b);
template <class T> Tensor<T> Options::sixth(int x) { return T(x); }
namespace tree { template <class A> A like(const A& a) { return a; } }
inline std::pair<int, int> seventh(int n);
}
namespace ergo::inline ERGO_BUILD::detail { void eighth(); }
)");
  CHECK(found == Names{"exp", "first", "operator+", "operator-", "operator==", "seventh", "third", "tree::like"});
}

TEST_CASE("every public operation has a row in the case table") {
  Names rows;
  for (const cases::Table& table : cases::kTables)
    for (const cases::Case& c : table.rows()) rows.insert(cases::public_name(c.name));
  const Names names = all_public_names();
  MESSAGE(names.size() << " public operations, " << rows.size() << " of them with rows");
  REQUIRE(names.size() > 100);
  shape::Offences offences;
  for (const std::string& name : names)
    if (!rows.contains(name) && !kWithoutRow.contains(name)) offences.push_back(name + " has no row in tests/cases");
  for (const std::string& name : rows)
    if (!names.contains(name) && !kMembers.contains(name))
      offences.push_back("the row \"" + name + "\" names no public operation");
  for (const auto& [name, why] : kWithoutRow) {
    if (!names.contains(name))
      offences.push_back(name + " does not exist, but is listed as without a row (" + why + ")");
    if (rows.contains(name)) offences.push_back(name + " has a row, but is listed as without one (" + why + ")");
  }
  shape::check_none(offences);
}

}  // namespace cases_public_names_test

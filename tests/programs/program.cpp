// The text of a program: `seed;inputs;step;step`, an input `2x3c`, a step `op args/numbers{body}`.
#include "programs/program.hpp"

#include <cctype>
#include <stdexcept>

namespace programs {

namespace {
constexpr const char* kNames[] = {
#define PROGRAM_NAME(name) #name,
    PROGRAM_OPS(PROGRAM_NAME)
#undef PROGRAM_NAME
};

template <class List>
std::string joined(const List& list, char between) {
  std::string s;
  for (const auto& v : list) s += (s.empty() ? "" : std::string(1, between)) + std::to_string(v);
  return s;
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}
  Program program() {
    Program p;
    p.seed = std::stoull(word());
    expect(';');
    while (peek() != ';') {
      Input in;
      while (std::isdigit(static_cast<unsigned char>(peek()))) {
        in.shape.push_back(integer());
        if (peek() == 'x') ++at_;
      }
      in.layout = text_.at(at_++);
      p.inputs.push_back(in);
      if (peek() == ',') ++at_;
    }
    while (peek() == ';') {
      ++at_;
      p.steps.push_back(step());
    }
    return p;
  }
  void end() const {
    if (at_ != text_.size()) throw std::invalid_argument("unread: " + text_.substr(at_));
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void expect(char c) {
    if (peek() != c) throw std::invalid_argument(std::string("no ") + c + " before: " + text_.substr(at_));
    ++at_;
  }
  std::string word() {
    const std::size_t first = at_;
    while (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_') ++at_;
    return text_.substr(first, at_ - first);
  }
  int integer() {
    const std::size_t first = at_;
    if (peek() == '-') ++at_;
    while (std::isdigit(static_cast<unsigned char>(peek()))) ++at_;
    return std::stoi(text_.substr(first, at_ - first));
  }
  Step step() {
    Step s{Op::kCount, {}, {}, nullptr};
    const std::string name = word();
    for (int i = 0; i < int(Op::kCount); ++i)
      if (name == kNames[i]) s.op = Op(i);
    if (s.op == Op::kCount) throw std::invalid_argument("no operation " + name);
    while (peek() == ' ') {
      ++at_;
      s.args.push_back(integer());
    }
    while (peek() == '/') {
      ++at_;
      s.numbers.push_back(integer());
    }
    if (peek() == '{') {
      ++at_;
      s.body = std::make_shared<Program>(program());
      expect('}');
    }
    return s;
  }
  const std::string& text_;
  std::size_t at_ = 0;
};
}  // namespace

const char* name_of(Op op) { return kNames[int(op)]; }

std::string text_of(const Program& p) {
  std::string s = std::to_string(p.seed) + ';';
  for (std::size_t i = 0; i < p.inputs.size(); ++i) {
    if (i > 0) s += ',';
    s += joined(p.inputs[i].shape, 'x') + p.inputs[i].layout;
  }
  for (const Step& step : p.steps) {
    s += std::string(";") + name_of(step.op);
    for (int a : step.args) s += ' ' + std::to_string(a);
    for (int n : step.numbers) s += '/' + std::to_string(n);
    if (step.body) s += '{' + text_of(*step.body) + '}';
  }
  return s;
}

Program parse(const std::string& text) {
  Parser parser(text);
  Program p = parser.program();
  parser.end();
  return p;
}

}  // namespace programs

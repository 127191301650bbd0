// The repository as text, for the shape tests: its files, and what stands in one apart from comments and strings.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace shape {

namespace fs = std::filesystem;

// A file by its path from the repository's root, with '/' between folders. Made-up ones serve to test the tests.
struct File {
  std::string path;
  std::string text;
};

// An offence against a rule of the house: where, and what to do about it.
using Offences = std::vector<std::string>;

// The repository's files under `folder` with one of the extensions, sorted by path. Links are not followed.
inline std::vector<File> files(const std::string& folder, const std::set<std::string>& extensions) {
  const fs::path root = ERGO_SOURCE_DIR;
  std::vector<File> found;
  if (!fs::exists(root / folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    if (!entry.is_regular_file() || entry.is_symlink() || !extensions.contains(entry.path().extension())) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    found.push_back({fs::relative(entry.path(), root).generic_string(), text.str()});
  }
  std::sort(found.begin(), found.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return found;
}

// The library's headers, its kernels among them by the path under which they are included.
inline std::vector<File> headers() {
  std::vector<File> all = files("include", {".hpp"});
  for (auto& kernel : files("kernels", {".cuh"})) all.push_back({"include/ergo/" + kernel.path, std::move(kernel.text)});
  return all;
}

inline std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

// The text with comments and the insides of string and character literals blanked; line breaks stay.
inline std::string code(const std::string& text) {
  std::string out = text;
  std::size_t i = 0;
  const auto blank = [&](std::size_t end) {
    for (; i < end && i < out.size(); ++i)
      if (out[i] != '\n') out[i] = ' ';
  };
  while (i < out.size()) {
    if (text.compare(i, 2, "//") == 0) {
      blank(text.find('\n', i));
    } else if (text.compare(i, 2, "/*") == 0) {
      const auto end = text.find("*/", i + 2);
      blank(end == std::string::npos ? end : end + 2);
    } else if (text.compare(i, 2, "R\"") == 0) {
      const auto open = text.find('(', i);
      const auto close = ")" + text.substr(i + 2, open - i - 2) + "\"";
      const auto end = text.find(close, open);
      blank(end == std::string::npos ? end : end + close.size());
    } else if (text[i] == '"' ||
               (text[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      const char quote = text[i++];
      std::size_t end = i;
      while (end < text.size() && text[end] != quote && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
      blank(end);
      ++i;
    } else {
      ++i;
    }
  }
  return out;
}

// The names that a file includes, as written between the brackets or quotes.
inline std::vector<std::string> includes(const File& file) {
  std::vector<std::string> names;
  for (const auto& line : lines(file.text)) {
    std::size_t i = line.find_first_not_of(" \t");
    if (i == std::string::npos || line[i] != '#') continue;
    i = line.find_first_not_of(" \t", i + 1);
    if (i == std::string::npos || line.compare(i, 7, "include") != 0) continue;
    const auto open = line.find_first_of("<\"", i);
    const auto close = open == std::string::npos ? open : line.find_first_of(">\"", open + 1);
    if (close != std::string::npos) names.push_back(line.substr(open + 1, close - open - 1));
  }
  return names;
}

// The path from the root of the header that `name`, included by `file`, stands for: "include/ergo/..." or, next to the
// file itself, whichever `tree` has; empty for what is not the repository's.
inline std::string resolve(const File& file, const std::string& name, const std::set<std::string>& tree) {
  const auto beside = (fs::path(file.path).parent_path() / name).lexically_normal().generic_string();
  for (const auto& path : {beside, "include/" + name}) {
    if (tree.contains(path)) return path;
  }
  return name.starts_with("ergo/") ? "include/" + name : "";
}

inline std::set<std::string> paths(const std::vector<File>& tree) {
  std::set<std::string> result;
  for (const auto& file : tree) result.insert(file.path);
  return result;
}

// Fails the test case with all offences, if there are any.
inline void check_none(const Offences& offences) {
  std::string text;
  for (const auto& offence : offences) text += "\n  " + offence;
  CHECK_MESSAGE(offences.empty(), text);
}

}  // namespace shape

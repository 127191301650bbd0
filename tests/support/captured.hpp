// Temporary folders, files as text, and what a function of this process prints.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

// An empty folder for the object's life.
struct Folder {
  std::string path = [] {
    std::string name = (std::filesystem::temp_directory_path() / "ergo_test_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder can be made: " + name);
    return name;
  }();
  Folder() = default;
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
};

inline std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Standard output and error, in files meanwhile, and what f returned.
struct Captured {
  std::string out, err;
  int status = -1;
};
template <class F>
Captured captured(const F& f) {
  const Folder folder;
  std::fflush(nullptr);
  const int saved_out = dup(1), saved_err = dup(2);
  const int out = open((folder.path + "/out").c_str(), O_CREAT | O_WRONLY, 0600);
  const int err = open((folder.path + "/err").c_str(), O_CREAT | O_WRONLY, 0600);
  dup2(out, 1);
  dup2(err, 2);
  Captured result;
  result.status = f();
  std::fflush(nullptr);
  dup2(saved_out, 1);
  dup2(saved_err, 2);
  for (const int fd : {saved_out, saved_err, out, err}) close(fd);
  result.out = file_text(folder.path + "/out");
  result.err = file_text(folder.path + "/err");
  return result;
}

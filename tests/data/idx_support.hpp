// Files for the tests of the readers: a folder that is removed at the end, IDX bytes, compression.
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace files {

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ergo_test_XXXXXX").string();
    if (!mkdtemp(pattern.data())) std::abort();
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = path_ + "/" + name;
    std::FILE* f = std::fopen(path.c_str(), "wb");
    if (!f || std::fwrite(bytes.data(), 1, bytes.size(), f) != bytes.size()) std::abort();
    std::fclose(f);
    return path;
  }

 private:
  std::string path_;
};

// An Error's text in one line, `path` in it replaced by `name`: where lines break depends on the path's length.
inline std::string in_one_line(std::string text, const std::string& path, const std::string& name) {
  for (auto at = text.find("\n  "); at != std::string::npos; at = text.find("\n  ")) text.replace(at, 3, " ");
  for (auto at = text.find(path); at != std::string::npos; at = text.find(path)) text.replace(at, path.size(), name);
  return text;
}

inline std::string word(std::uint64_t n) {
  std::string s;
  for (int shift : {24, 16, 8, 0}) s += char(n >> shift & 255);
  return s;
}
template <class... N>
std::string header(int type, N... extent) {
  std::string s{'\0', '\0', char(type), char(sizeof...(N))};
  ((s += word(std::uint64_t(extent))), ...);
  return s;
}

// The gzip form of bytes.
inline std::string zipped(const std::string& bytes) {
  z_stream z{};
  if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&z, uLong(bytes.size())) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = uInt(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = uInt(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace files

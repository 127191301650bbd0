// The IDX format of MNIST and its kin: bytes 00 00, the element type, the number of axes, their extents as big-endian
// 32-bit numbers, then the elements in row-major order. Files may be compressed by gzip, whatever their name (link
// zlib: the CMake target ergo::data does). A file that is not exactly what its header says is an Error with its name
// and byte offset.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#if __has_include(<zlib.h>)
#include <zlib.h>
#endif

#include "ergo/core/tensor.hpp"

namespace ergo::inline ERGO_BUILD::data {

// A tensor of the shape that the header of an IDX file of unsigned bytes states.
Tensor<std::uint8_t> load_idx(const std::string& path);

#if !defined(ERGO_COMPILED)  // the archive has what follows
namespace detail {

// A file read forwards, decompressed if it is gzip's. Offsets count bytes as they are read.
class IdxFile {
 public:
  explicit IdxFile(const std::string& path) : path_(path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) fail_plain(std::strerror(errno));
    unsigned char first[2] = {};
    const bool zipped = std::fread(first, 1, 2, file) == 2 && first[0] == 0x1f && first[1] == 0x8b;
    if (std::fseek(file, 0, SEEK_END) == 0) stored_ = std::ftell(file);
    std::rewind(file);
    if (!zipped) {
      file_ = file;
      return;
    }
    std::fclose(file);
#if __has_include(<zlib.h>)
    zipped_ = gzopen(path.c_str(), "rb");
    if (!zipped_) fail_plain("cannot be opened by zlib");
    gzbuffer(zipped_, 1 << 17);
#else
    fail_plain("is compressed, and this program was built without zlib: gunzip it");
#endif
  }
  IdxFile(const IdxFile&) = delete;
  IdxFile& operator=(const IdxFile&) = delete;
  ~IdxFile() {
    if (file_) std::fclose(file_);
#if __has_include(<zlib.h>)
    if (zipped_) gzclose(zipped_);
#endif
  }

  std::int64_t offset() const { return offset_; }
  // No more than this can be in the file: a compressed byte gives 1032 at most.
  std::int64_t most() const {
    return stored_ < 0 ? INT64_MAX : file_ ? stored_ : stored_ < (INT64_MAX >> 11) ? 1032 * stored_ : INT64_MAX;
  }

  // Up to n bytes; fewer at the end of the file.
  std::int64_t read(unsigned char* to, std::int64_t n) {
    std::int64_t got = 0;
    while (got < n) {
      const std::int64_t want = n - got < (1 << 30) ? n - got : 1 << 30;
      const std::int64_t part = read_some(to + got, want);
      if (part <= 0) break;
      got += part;
      offset_ += part;
    }
    return got;
  }
  [[noreturn, gnu::cold]] void fail(std::int64_t at, const Message& why) const {
    throw_error({"[load_idx] ", path_, ", byte ", at, (file_ ? "" : " of the decompressed data"), ": ", why});
  }

 private:
  std::int64_t read_some(unsigned char* to, std::int64_t n) {
    if (file_) {
      const auto part = std::int64_t(std::fread(to, 1, std::size_t(n), file_));
      if (part == 0 && std::ferror(file_)) fail(offset_, {"the file cannot be read: ", std::strerror(errno)});
      return part;
    }
#if __has_include(<zlib.h>)
    const int part = gzread(zipped_, to, unsigned(n));
    int code = Z_OK;
    const char* text = gzerror(zipped_, &code);
    if (code == Z_BUF_ERROR) fail(offset_ + (part > 0 ? part : 0), "the compressed data end too early");
    if (part < 0) fail(offset_, {"the compressed data are damaged: ", text});
    return part;
#else
    return 0;
#endif
  }
  [[noreturn, gnu::cold]] void fail_plain(const Message& why) const { throw_error({"[load_idx] ", path_, ": ", why}); }

  std::string path_;
  std::FILE* file_ = nullptr;
#if __has_include(<zlib.h>)
  gzFile zipped_ = nullptr;
#endif
  std::int64_t stored_ = -1, offset_ = 0;
};

inline std::string hexadecimal(unsigned byte) {
  const char* digits = "0123456789abcdef";
  return std::string("0x") + digits[byte >> 4 & 15] + digits[byte & 15];
}
inline const char* idx_type(unsigned code) {
  switch (code) {
    case 0x08:
      return "unsigned bytes";
    case 0x09:
      return "signed bytes";
    case 0x0b:
      return "16-bit integers";
    case 0x0c:
      return "32-bit integers";
    case 0x0d:
      return "floats";
    case 0x0e:
      return "doubles";
    default:
      return "no known type";
  }
}

// The header; on return the file stands at the first element.
inline Shape read_idx_header(IdxFile& file) {
  unsigned char magic[4];
  if (const std::int64_t got = file.read(magic, 4); got < 4)
    file.fail(got, "the file ends within the 4 bytes that begin an IDX file");
  for (int i = 0; i < 2; ++i)
    if (magic[i] != 0) file.fail(i, {hexadecimal(magic[i]), " where an IDX file has 0x00"});
  if (magic[2] != 0x08)
    file.fail(2, {"elements of type ", hexadecimal(magic[2]), " (", idx_type(magic[2]),
                  "), where 0x08 (unsigned bytes) is expected"});
  if (magic[3] < 1 || magic[3] > kMaxRank) file.fail(3, {magic[3], " axes, where 1 to 8 are expected"});
  Shape shape;
  std::int64_t n = 1;
  for (int d = 0; d < magic[3]; ++d) {
    unsigned char word[4];
    const std::int64_t at = file.offset();
    if (file.read(word, 4) < 4) file.fail(file.offset(), {"the file ends within extent ", d, " of ", magic[3]});
    const auto extent = std::int64_t(std::uint32_t(word[0]) << 24 | std::uint32_t(word[1]) << 16 |
                                     std::uint32_t(word[2]) << 8 | word[3]);
    if (extent > INT32_MAX) file.fail(at, {"extent ", extent, ", where at most 2^31 - 1 is expected"});
    shape.push(extent);
    if (__builtin_mul_overflow(n, extent ? extent : 1, &n))
      file.fail(at, {"the extents ", shape, " give more than 2^63 - 1 elements"});
  }
  return shape;
}

}  // namespace detail

ERGO_ONCE Tensor<std::uint8_t> load_idx(const std::string& path) {
  detail::IdxFile file(path);
  const Shape shape = detail::read_idx_header(file);
  const std::int64_t n = shape.numel(), from = file.offset();
  const std::string expected = to_string(shape) + " = " + std::to_string(n) + " elements follow the header";
  if (n > file.most() - from)
    file.fail(from, {expected, ", more than the file can hold"});  // before memory is asked for
  auto x = ergo::detail::make_tensor<std::uint8_t>(shape);
  auto* bytes = ergo::detail::data_of<unsigned char>(x.array());
  if (const std::int64_t got = file.read(bytes, n); got < n) file.fail(from + got, {"the file ends here; ", expected});
  unsigned char more;
  if (file.read(&more, 1) != 0) file.fail(from + n, {"the file goes on; ", expected});
  return x;
}
#endif

}  // namespace ergo::inline ERGO_BUILD::data

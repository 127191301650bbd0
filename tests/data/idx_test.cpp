// The IDX reader: good files plain and compressed, and every way a file can be wrong.
#include "ergo/data/idx.hpp"

#include <doctest/doctest.h>

#include <random>

#include "../support/seed.hpp"
#include "idx_support.hpp"

namespace data_idx_test {

using namespace ergo;
using files::header;
using files::zipped;

namespace {

std::string error_of(const std::string& path) {
  try {
    data::load_idx(path);
  } catch (const Error& e) { return files::in_one_line(e.what(), path, "FILE"); }
  return "no error";
}

}  // namespace

TEST_CASE("files of any rank, plain and compressed, whatever their name") {
  const files::Folder folder;
  std::mt19937_64 random(test_seed());
  std::string bytes;
  for (int i = 0; i < 3 * 70 * 80; ++i) bytes += char(random());
  const std::string file = header(8, 3, 70, 80) + bytes;
  for (const std::string& path : {folder.write("plain", file), folder.write("packed.gz", zipped(file)),
                                  folder.write("packed", zipped(file)), folder.write("plain.gz", file)}) {
    const Tensor<std::uint8_t> x = data::load_idx(path);
    CHECK(x.shape() == Shape{3, 70, 80});
    const auto elements = x.to_vector();
    CHECK(std::equal(bytes.begin(), bytes.end(), elements.begin(),
                     [](char a, std::uint8_t b) { return std::uint8_t(a) == b; }));
  }
  CHECK(data::load_idx(folder.write("one", header(8, 2) + "ab")).to_vector() == std::vector<std::uint8_t>{'a', 'b'});
  CHECK(data::load_idx(folder.write("none", header(8, 0, 28, 28))).shape() == Shape{0, 28, 28});
  CHECK(data::load_idx(folder.write("eight", header(8, 1, 1, 1, 1, 1, 1, 1, 2) + "ab")).rank() == 8);
}

TEST_CASE("files that are wrong: name, byte, what was expected") {
  const files::Folder folder;
  const std::string good = header(8, 2, 3) + "abcdef";
  const auto with = [&](const std::string& bytes) { return error_of(folder.write("file", bytes)); };
  CHECK(with(good) == "no error");
  CHECK(with("") == "[load_idx] FILE, byte 0: the file ends within the 4 bytes that begin an IDX file");
  CHECK(with(good.substr(0, 3)) == "[load_idx] FILE, byte 3: the file ends within the 4 bytes that begin an IDX file");
  CHECK(with(good.substr(0, 9)) == "[load_idx] FILE, byte 9: the file ends within extent 1 of 2");
  CHECK(with("\x89PNG and more") == "[load_idx] FILE, byte 0: 0x89 where an IDX file has 0x00");
  CHECK(with(std::string("\0\1\x08\1", 4)) == "[load_idx] FILE, byte 1: 0x01 where an IDX file has 0x00");
  CHECK(with(header(0x0d, 2) + "12345678") ==
        "[load_idx] FILE, byte 2: elements of type 0x0d (floats), where 0x08 (unsigned bytes) is expected");
  CHECK(with(header(0x77, 2)) ==
        "[load_idx] FILE, byte 2: elements of type 0x77 (no known type), where 0x08 (unsigned bytes) is expected");
  CHECK(with(header(8)) == "[load_idx] FILE, byte 3: 0 axes, where 1 to 8 are expected");
  CHECK(with(header(8, 1, 1, 1, 1, 1, 1, 1, 1, 1) + "a") ==
        "[load_idx] FILE, byte 3: 9 axes, where 1 to 8 are expected");
  CHECK(with(good.substr(0, 17)) ==
        "[load_idx] FILE, byte 12: (2, 3) = 6 elements follow the header, more than the file can hold");
  CHECK(with(good + "x") == "[load_idx] FILE, byte 18: the file goes on; (2, 3) = 6 elements follow the header");
  CHECK(with(header(8, 0xffffffffu)) ==
        "[load_idx] FILE, byte 4: extent 4294967295, where at most 2^31 - 1 is expected");
  CHECK(with(header(8, 60000, 0x7fffffff, 0x7fffffff)) ==
        "[load_idx] FILE, byte 12: the extents (60000, 2147483647, 2147483647) give more than 2^63 - 1 elements");
  CHECK(with(header(8, 0x7fffffff, 0x7fffffff)) ==
        "[load_idx] FILE, byte 12: (2147483647, 2147483647) = 4611686014132420609 elements follow the header, more "
        "than the file can hold");
  CHECK(error_of(folder.path() + "/missing") == "[load_idx] FILE: No such file or directory");
  CHECK(error_of(folder.path()) != "no error");  // a folder
}

TEST_CASE("compressed files that are wrong") {
  const files::Folder folder;
  std::string good = header(8, 200, 300);
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 60000; ++i) good += char(random() % 17);
  const std::string packed = zipped(good);
  const auto with = [&](const std::string& bytes) { return error_of(folder.write("file.gz", bytes)); };
  CHECK(with(packed) == "no error");
  CHECK(with(zipped(good.substr(0, 5000))) ==
        "[load_idx] FILE, byte 5000 of the decompressed data: the file ends here; (200, 300) = 60000 elements follow "
        "the header");
  CHECK(with(zipped(good + "x")) ==
        "[load_idx] FILE, byte 60012 of the decompressed data: the file goes on; (200, 300) = 60000 elements follow "
        "the header");
  CHECK(with(zipped(header(8, 0x7fffffff))) ==
        "[load_idx] FILE, byte 8 of the decompressed data: (2147483647,) = 2147483647 elements follow the "
        "header, more than the file can hold");
  for (const std::size_t cut : {std::size_t(12), packed.size() / 2, packed.size() - 5}) {
    const std::string text = with(packed.substr(0, cut));
    CHECK_MESSAGE(text.find("of the decompressed data: the compressed data end too early") != std::string::npos, text);
  }
  std::string damaged = packed;
  damaged[damaged.size() / 2] = char(damaged[damaged.size() / 2] ^ 0x55);
  CHECK(with(damaged) != "no error");
  damaged = packed;
  damaged[damaged.size() - 6] = char(damaged[damaged.size() - 6] ^ 1);  // the check sum
  CHECK(with(damaged).find("the compressed data are damaged") != std::string::npos);
}

}  // namespace data_idx_test

// The main function of every test program: prints the seed, runs doctest, and tells "all skipped" from "passed".
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "seed.hpp"
#include "skip.hpp"

// Tests ask for memory that nobody has: the sanitizers' allocators then return null, as the system's does. Read by them
// only, and overruled by ASAN_OPTIONS and TSAN_OPTIONS.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace {

int skips = 0;
int checks = 0;

struct CountChecks : doctest::IReporter {
  explicit CountChecks(const doctest::ContextOptions&) {}
  void test_run_end(const doctest::TestRunStats& stats) override { checks = stats.numAsserts; }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("count_checks", 1, CountChecks);

std::uint64_t choose_seed() {
  const char* given = std::getenv("ERGO_TEST_SEED");
  if (given == nullptr || *given == '\0') {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }
  char* end = nullptr;
  const std::uint64_t seed = std::strtoull(given, &end, 10);
  if (*end != '\0') {
    std::fprintf(stderr, "ERGO_TEST_SEED=%s is not a number\n", given);
    std::exit(2);
  }
  return seed;
}

}  // namespace

std::uint64_t test_seed() {
  static const std::uint64_t seed = choose_seed();
  return seed;
}

void skip(const std::string& what, const std::string& why) {
  ++skips;
  std::printf("SKIPPED %s: %s\n", what.c_str(), why.c_str());
  std::fflush(stdout);
}

std::string test_data_or_skip(const std::string& name) {
  const char* folder = std::getenv("ERGO_TEST_DATA");
  if (folder == nullptr || *folder == '\0') {
    skip(name, "ERGO_TEST_DATA names no folder of data sets");
    return "";
  }
  std::string path = std::string(folder) + "/" + name;
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    skip(name, "there is no " + path);
    return "";
  }
  return path;
}

int main(int argc, char** argv) {
  std::printf("seed: %llu (ERGO_TEST_SEED repeats it)\n", static_cast<unsigned long long>(test_seed()));
  std::fflush(stdout);
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (result != 0 || context.shouldExit()) return result;
  if (skips == 0 && checks == 0) {
    std::printf("nothing was checked: no test case matches, or none asserts anything\n");
    return 1;
  }
  return skips > 0 && checks == 0 ? 77 : 0;
}

// What example programs share: options and exit status, the criterion table, progress on a terminal and off it,
// metrics, plots.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "support/program.hpp"
#include "support/captured.hpp"

namespace examples_support_test {

namespace {

using namespace examples;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A program whose mean squared error is an option.
Captured fit(std::vector<std::string> arguments, const std::string& out) {
  return captured([&] {
    Program program("fit", "Fits a line.");
    int steps = 10;
    double error = 0.5;
    std::string mode = "fast";
    program.option("steps", steps, "gradient steps");
    program.option("error", error, "what comes out");
    program.option("mode", mode, "how");
    arguments.insert(arguments.begin(), "fit");
    arguments.insert(arguments.end(), {"--out", out});
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    return program.run(int(arguments.size()), argv.data(), [&] {
      program.fact("data", "synthetic line");
      auto progress = program.progress("fitting", steps);
      for (int i = 0; i < steps; ++i) progress.advance("error", error);
      if (mode == "throw") throw ergo::Error("[fit] (3, 4): no");
      if (mode == "print")
        program.print(std::to_string(steps) + " " + number(error) + " " + std::to_string(program.seed()));
      program.log({{"step", steps}, {"error", error}});
      program.check("mean squared error", mode == "nan" ? kNaN : error, at_most(0.7));
      program.check("sums agree", true);
      program.conclude("The line was found.");
    });
  });
}

}  // namespace

TEST_CASE("numbers in words") {
  CHECK(count(0) == "0");
  CHECK(count(999) == "999");
  CHECK(count(1000) == "1,000");
  CHECK(count(-1234567) == "-1,234,567");
  CHECK(count(-123) == "-123");
  CHECK(number(0.89131) == "0.8913");
  CHECK(number(12.5) == "12.5");
  CHECK(duration(0.84) == "0.8 s");
  CHECK(duration(9.96) == "10 s");
  CHECK(duration(59.6) == "1 min 0 s");
  CHECK(duration(200) == "3 min 20 s");
  CHECK(duration(7500) == "2 h 5 min");
}

TEST_CASE("a criterion holds on its bounds, never for NaN") {
  CHECK(criterion("a", 0.88, at_least(0.88)).ok);
  CHECK_FALSE(criterion("a", 0.8799, at_least(0.88)).ok);
  CHECK(criterion("a", -1, at_most(-1)).ok);
  CHECK_FALSE(criterion("a", 2.1, between(1, 2)).ok);
  for (const Threshold t : {at_least(0), at_most(0), between(0, 1)}) CHECK_FALSE(criterion("a", kNaN, t).ok);
  CHECK(table({criterion("accuracy", 0.9, at_least(0.88)), criterion("b", false)}) ==
        "criterion  threshold  value  ok\n"
        "accuracy   >= 0.88    0.9    yes\n"
        "b          true       false  NO\n");
}

TEST_CASE("a run prints facts, table and conclusion, and leaves metrics") {
  const Folder folder;
  const std::string out = folder.path + "/deep/er";
  const Captured run =
      fit({"--seed", "18446744073709551615", "--threads", "2", "--error=0.25", "--mode", "print"}, out);
  CHECK(run.status == 0);
  CHECK(run.out.starts_with("fit: Fits a line.\n  backend     cpu ("));
  CHECK(run.out.find(", 2 threads)\n  seed        18446744073709551615\n  data        synthetic line\n") !=
        std::string::npos);
  CHECK(run.out.find("10 0.25 18446744073709551615\n") != std::string::npos);
  CHECK(run.out.find("mean squared error  <= 0.7     0.25   yes\n") != std::string::npos);
  CHECK(run.out.ends_with("\nThe line was found.\n"));
  CHECK(run.err.find("fitting  100 %") != std::string::npos);

  const std::string metrics = file_text(out + "/metrics.jsonl");
  CHECK(metrics.starts_with("{\"event\":\"run\",\"program\":\"fit\",\"backend\":\"cpu ("));
  CHECK(metrics.find("\"seed\":18446744073709551615,\"smoke\":false}\n") != std::string::npos);
  CHECK(metrics.find("\n{\"step\":10,\"error\":0.25}\n") != std::string::npos);
  CHECK(metrics.find("\"criterion\":\"sums agree\",\"threshold\":\"true\",\"value\":\"true\",\"ok\":true}\n") !=
        std::string::npos);
}

TEST_CASE("--quiet leaves results alone, --help only help") {
  const Folder folder;
  const Captured quiet = fit({"--quiet"}, folder.path);
  CHECK(quiet.status == 0);
  CHECK(quiet.err.empty());
  CHECK(quiet.out.starts_with("\ncriterion"));
  const Captured help = fit({"--help"}, folder.path + "/none");
  CHECK(help.status == 0);
  CHECK_FALSE(std::filesystem::exists(folder.path + "/none"));
  for (const char* flag : {"--seed", "--device", "--threads", "--out", "--data", "--quiet", "--smoke", "--steps"})
    CHECK(help.out.find(flag) != std::string::npos);
}

TEST_CASE("a failing criterion is status 1 and named") {
  const Folder folder;
  for (const auto& arguments : {std::vector<std::string>{"--error", "0.71"}, {"--mode", "nan"}}) {
    const Captured run = fit(arguments, folder.path);
    CHECK(run.status == 1);
    CHECK(run.out.ends_with("Not shown: mean squared error.\n"));
  }
}

TEST_CASE("an Error is a message and status 1") {
  const Folder folder;
  const Captured run = fit({"--mode", "throw"}, folder.path);
  CHECK(run.status == 1);
  CHECK(run.err.ends_with("fit: [fit] (3, 4): no\n"));
  const Captured device = fit({"--device", "cuda:7"}, folder.path);
  CHECK(device.status == 1);
  CHECK(device.err.find("cuda:7") != std::string::npos);
  const Captured unwritable = fit({}, "/proc/nothing/here");
  CHECK(unwritable.status == 1);
  CHECK(unwritable.err.find("--out /proc/nothing/here") != std::string::npos);
}

TEST_CASE("a command line that makes no sense is status 2, before anything is written") {
  const Folder folder;
  const std::string out = folder.path + "/none";
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"--foo"}, "foo"},
      {{"stray"}, "\"stray\""},
      {{"--steps", "abc"}, "--steps: \"abc\" is not a whole number from 1"},
      {{"--steps", "0"}, "--steps: \"0\""},
      {{"--steps", "1.5"}, "--steps: \"1.5\""},
      {{"--steps", "3000000000"}, "--steps: \"3000000000\""},
      {{"--steps", ""}, "--steps"},
      {{"--error", "nan"}, "--error: \"nan\" is not a number from 0"},
      {{"--error", "1e999"}, "--error: \"1e999\""},
      {{"--seed", "-1"}, "--seed: \"-1\""},
      {{"--seed", "18446744073709551616"}, "--seed"},
      {{"--threads", "0"}, "--threads: \"0\""},
      {{"--device", "tpu"}, "--device: \"tpu\" is none of cpu, cuda, cuda:1"},
      {{"--quiet=perhaps"}, "perhaps"},
  };
  for (const auto& [arguments, message] : cases) {
    const std::string& wanted = message;
    const Captured run = fit(arguments, out);
    CAPTURE(run.err);
    CHECK(run.status == 2);
    CHECK(run.err.find(wanted) != std::string::npos);
    CHECK(run.out.empty());
  }
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("metrics keep order, write null for what JSON lacks, and survive text that is not UTF-8") {
  const Folder folder;
  const std::string path = folder.path + "/metrics.jsonl";
  Metrics metrics(path);
  metrics.write({{"z", 1}, {"a", kNaN}, {"b", true}, {"s", "\xff\"\n"}, {"v", std::vector<double>{1, 0.5}}});
  metrics.write({{"n", std::int64_t{-5}}});
  CHECK(file_text(path) == "{\"z\":1,\"a\":null,\"b\":true,\"s\":\"\xef\xbf\xbd\\\"\\n\",\"v\":[1.0,0.5]}\n{\"n\":-5}\n");
  CHECK_THROWS_AS(Metrics(folder.path + "/no/metrics.jsonl"), std::runtime_error);
  Metrics().write({{"z", 1}});
}

TEST_CASE("off a terminal, progress is few plain lines") {
  const Folder folder;
  const std::string path = folder.path + "/err";
  std::FILE* file = std::fopen(path.c_str(), "w");
  {
    Progress progress("training", 1000, file);
    for (int i = 0; i < 1000; ++i) progress.advance("loss", 0.5);
  }
  std::fclose(file);
  CHECK(file_text(path) == "training  100 %  0.0 s  loss 0.5\n");
}

TEST_CASE("on a terminal, progress is one line redrawn, no wider than the terminal") {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) {
    MESSAGE("no pseudo-terminal here");
    return;
  }
  std::FILE* file = std::fopen(ptsname(terminal), "w");
  REQUIRE(file != nullptr);
  setenv("TERM", "xterm", 1);
  setenv("LC_ALL", "C", 1);
  {
    Progress progress("training", 4, file);
    for (int i = 0; i < 4; ++i) {
      usleep(60000);
      progress.advance("loss", 0.125);
    }
  }
  std::fclose(file);
  std::string text;
  char bytes[256];
  for (ssize_t n; (n = ::read(terminal, bytes, sizeof bytes)) > 0;) text.append(bytes, std::size_t(n));
  close(terminal);
  CHECK(text.find("\rtraining  ----------") != std::string::npos);
  CHECK(text.find("left  loss 0.125") != std::string::npos);
  CHECK(text.find("==  100 %  0.") != std::string::npos);
  CHECK(text.find('\n') == text.size() - 1);
  for (std::size_t at = 0, next; at < text.size(); at = next + 1) {
    next = std::min(text.find('\r', at), text.size());
    CHECK(next - at <= 79 + 4);  // and the escape that clears the rest
  }
}

TEST_CASE("a plot becomes SVG and PNG") {
  const Folder folder;
  Plot plot("It's a_loss", {.x = "step", .y = "cross entropy", .log_y = true});
  plot.line("training", {1, 2, 3}, {1, kNaN, 0.1})
      .dashes("theory", {1, 3}, {2, 0.2})
      .points("", {2}, {0.4})
      .bars("b", {1, 2}, {1, 2});
  CHECK(plot.script("x").find("set title 'It''s a_loss'") != std::string::npos);
  CHECK_THROWS_AS(plot.line("ragged", {1, 2}, {1}), std::runtime_error);
  CHECK_THROWS_AS(plot.line("empty", {}, {}), std::runtime_error);

  const std::string path = folder.path + "/it's";
  const std::string trouble = draw(plot, path);
  if (trouble.find("not installed") != std::string::npos) {
    MESSAGE(trouble);
    return;
  }
  CHECK(trouble == "");
  CHECK(file_text(path + ".svg").find("<svg") != std::string::npos);
  CHECK(file_text(path + ".png").starts_with("\x89PNG"));
  CHECK_FALSE(std::filesystem::exists(path + ".gp.log"));

  const std::string search = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  CHECK(draw(plot, path) == "gnuplot is not installed (Debian package gnuplot-nox)");
  setenv("PATH", search.c_str(), 1);
  CHECK_THROWS_AS(draw(plot, "/proc/nothing"), std::runtime_error);
}

}  // namespace examples_support_test

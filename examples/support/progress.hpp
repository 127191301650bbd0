// How far a loop has come: a bar on a terminal, redrawn at most ten times a second; elsewhere a plain line each tenth
// of the way, at least a second apart. Both go to standard error, so that standard output holds results alone.
//
//   Progress progress("training", steps);
//   for (...) progress.advance("loss", loss);
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace examples {

class Progress {
 public:
  // `total` steps, called `what`; null in place of a stream draws nothing.
  Progress(std::string what, std::int64_t total, std::FILE* stream = stderr);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // Leaves the last state and the time it took on a line of its own.
  ~Progress();

  // One step further; a figure worth watching stands beside the bar.
  void advance(const char* label = "", double figure = 0);

 private:
  void draw(double elapsed, bool last);

  std::string what_, label_;
  std::int64_t total_, done_ = 0, tenths_ = 0;
  double figure_ = 0, start_, drawn_at_ = 0;
  std::FILE* stream_;
  bool terminal_ = false, unicode_ = false;
};

}  // namespace examples

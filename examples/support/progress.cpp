#include "support/progress.hpp"

#include "support/text.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace examples {
namespace {

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = value;
    return locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

int columns_of(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string repeated(const char* piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

}  // namespace

Progress::Progress(std::string what, std::int64_t total, std::FILE* stream)
    : what_(std::move(what)), total_(std::max<std::int64_t>(total, 1)), start_(now()), stream_(stream) {
  if (stream_ == nullptr) return;
  const char* kind = std::getenv("TERM");
  terminal_ = isatty(fileno(stream_)) != 0 && !(kind != nullptr && std::string(kind) == "dumb");
  unicode_ = locale_is_utf8();
  if (terminal_) draw(0, false);
}

Progress::~Progress() {
  if (stream_ != nullptr) draw(now() - start_, true);
}

void Progress::advance(const char* label, double figure) {
  done_ = std::min(done_ + 1, total_);
  if (stream_ == nullptr) return;
  if (label_ != label) label_ = label;
  figure_ = figure;
  const double elapsed = now() - start_;
  const std::int64_t tenths = 10 * done_ / total_;
  if (terminal_ ? elapsed - drawn_at_ >= 0.1 : tenths > tenths_ && tenths < 10 && elapsed - drawn_at_ >= 1) {
    tenths_ = tenths;
    drawn_at_ = elapsed;
    draw(elapsed, false);
  }
}

void Progress::draw(double elapsed, bool last) {
  const double share = double(done_) / double(total_);
  std::string head = what_ + "  ";
  const std::string percent = std::to_string(100 * done_ / total_);
  std::string tail =
      "  " + std::string(percent.size() < 3 ? 3 - percent.size() : 0, ' ') + percent + " %  " + duration(elapsed);
  if (!last && done_ > 0) tail += ", " + duration(elapsed * (1 - share) / share) + " left";
  if (!label_.empty()) tail += "  " + label_ + " " + number(figure_);
  if (!terminal_) {
    std::fprintf(stream_, "%s\n", (what_ + tail).c_str());
    std::fflush(stream_);
    return;
  }
  // One column stays free: a full line would wrap.
  const int columns = columns_of(stream_);
  const int width = std::clamp(columns - 1 - int(head.size() + tail.size()), 0, 40);
  if (int(head.size() + tail.size()) >= columns)
    tail = tail.substr(0, std::size_t(std::max(columns - 1 - int(head.size()), 0)));
  const int full = int(share * width);
  const std::string bar = repeated(unicode_ ? "\u2501" : "=", full) + repeated(unicode_ ? "\u2500" : "-", width - full);
  std::fprintf(stream_, "\r%s%s%s\x1b[K%s", head.c_str(), bar.c_str(), tail.c_str(), last ? "\n" : "");
  std::fflush(stream_);
}

}  // namespace examples

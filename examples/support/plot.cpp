#include "support/plot.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

extern char** environ;

namespace examples {
namespace {

// A string of gnuplot's, in single quotes.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += c == '\n' ? ' ' : c;
  }
  return result + "'";
}

std::string exact(double x) {
  if (!std::isfinite(x)) return "NaN";
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", x);
  return text;
}

// Distinct for readers with a colour vision deficiency too (Okabe & Ito 2008).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

}  // namespace

Plot::Plot(std::string title, PlotOptions options) : title_(std::move(title)), options_(std::move(options)) {}

Plot& Plot::line(std::string label, std::vector<double> x, std::vector<double> y) {
  return add(std::move(label), "lines lw 2", std::move(x), std::move(y));
}
Plot& Plot::dashes(std::string label, std::vector<double> x, std::vector<double> y) {
  return add(std::move(label), "lines lw 2 dt 2", std::move(x), std::move(y));
}
Plot& Plot::points(std::string label, std::vector<double> x, std::vector<double> y) {
  return add(std::move(label), "points pt 7 ps 0.6", std::move(x), std::move(y));
}
Plot& Plot::bars(std::string label, std::vector<double> x, std::vector<double> y) {
  return add(std::move(label), "boxes fill solid 0.6 noborder", std::move(x), std::move(y));
}

Plot& Plot::add(std::string label, std::string style, std::vector<double> x, std::vector<double> y) {
  if (x.size() != y.size() || x.empty())
    throw std::runtime_error("[plot] " + title_ + ", " + label + ": " + std::to_string(x.size()) + " x and " +
                             std::to_string(y.size()) + " y; a series needs as many of each, and one at least");
  series_.push_back({std::move(label), std::move(style), std::move(x), std::move(y)});
  return *this;
}

std::string Plot::script(const std::string& path) const {
  std::string s;
  for (std::size_t i = 0; i < series_.size(); ++i) {
    s += "$series" + std::to_string(i) + " << EOD\n";
    for (std::size_t k = 0; k < series_[i].x.size(); ++k)
      s += exact(series_[i].x[k]) + " " + exact(series_[i].y[k]) + "\n";
    s += "EOD\n";
  }
  s += "set title " + quoted(title_) + " noenhanced\n";
  s += "set xlabel " + quoted(options_.x) + " noenhanced\nset ylabel " + quoted(options_.y) + " noenhanced\n";
  s += "set datafile missing 'NaN'\nset grid lc rgb '#dddddd' lt 1\nset border 3 lc rgb '#666666'\n";
  s += "set tics nomirror\nset key top right noenhanced\nset boxwidth 0.8 relative\nset autoscale xfix\nset offsets "
       "graph 0.02, graph 0.02, 0, 0\n";
  if (options_.log_x) s += "set logscale x\nset format x '%g'\n";
  if (options_.log_y) s += "set logscale y\nset format y '%g'\n";
  std::string plots;
  for (std::size_t i = 0; i < series_.size(); ++i) {
    const std::string& label = series_[i].label;
    plots += (i ? ", " : "plot ") + ("$series" + std::to_string(i)) + " using 1:2 with " + series_[i].style +
             " lc rgb '" + kColours[i % std::size(kColours)] + "' " +
             (label.empty() ? "notitle" : "title " + quoted(label));
  }
  s += "set terminal svg size 800,500 dynamic background rgb 'white'\nset output " + quoted(path + ".svg") + "\n";
  s += plots + "\nset output\n";
  s += "set terminal pngcairo size 800,500\nset output " + quoted(path + ".png") + "\n";
  s += plots + "\nset output\n";
  return s;
}

std::string draw(const Plot& plot, const std::string& path) {
  const std::string script = path + ".gp", messages = path + ".gp.log";
  std::ofstream file(script);
  file << plot.script(path) << std::flush;
  if (!file) throw std::runtime_error("[plot] " + script + ": cannot be written (" + std::strerror(errno) + ")");

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::string program = "gnuplot", argument = script;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  const bool drawn = failed == 0 && waitpid(child, &status, 0) == child && status == 0;
  if (drawn) {
    std::remove(messages.c_str());
    return "";
  }
  if (failed == ENOENT || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
    std::remove(messages.c_str());
    return "gnuplot is not installed (Debian package gnuplot-nox)";
  }
  return "gnuplot failed, see " + messages;
}

}  // namespace examples

// A plot: curves, points and bars over common axes, drawn by gnuplot as SVG and PNG.
//
//   Plot plot("Loss", {.x = "step", .y = "cross entropy", .log_y = true});
//   plot.line("training", steps, losses).points("test", epochs, test_losses);
//   draw(plot, "out/loss");                                           // out/loss.svg, out/loss.png, out/loss.gp
#pragma once

#include <string>
#include <vector>

namespace examples {

struct PlotOptions {
  std::string x = "", y = "";  // what the axes show
  bool log_x = false, log_y = false;
};

class Plot {
 public:
  explicit Plot(std::string title, PlotOptions options = {});

  // The curve through (x[i], y[i]), with its label in the key; dashes for theory over simulation. NaN leaves a gap.
  Plot& line(std::string label, std::vector<double> x, std::vector<double> y);
  Plot& dashes(std::string label, std::vector<double> x, std::vector<double> y);
  Plot& points(std::string label, std::vector<double> x, std::vector<double> y);
  // A vertical bar at each x[i].
  Plot& bars(std::string label, std::vector<double> x, std::vector<double> y);

  // The whole plot, data included, in gnuplot's language; it draws `path`.svg and `path`.png.
  std::string script(const std::string& path) const;

 private:
  struct Series {
    std::string label, style;
    std::vector<double> x, y;
  };
  Plot& add(std::string label, std::string style, std::vector<double> x, std::vector<double> y);

  std::string title_;
  PlotOptions options_;
  std::vector<Series> series_;
};

// Writes `path`.gp and has gnuplot draw it. Returns an empty string, or why there is no picture: a missing gnuplot is
// no reason to lose the result of a run, and the script can be drawn later.
std::string draw(const Plot& plot, const std::string& path);

}  // namespace examples

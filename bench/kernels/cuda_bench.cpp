// Times of ergo's operations on a CUDA device, a line of JSON each; bench/peers/cuda_torch.py does the same rows in
// PyTorch, bench/peers/cuda_report.py sets both side by side. The first line is the ceiling: a large copy within the
// device, its bytes read and written; `fraction` is of that.
//
// usage: kernels_cuda_bench [--tiny] [--list] [--samples=N] [PART...]
//
// PART is a part of "op shape dtype"; --tiny: sizes at which an emulated device is done in seconds, and there the
// default.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "bench/kernels/measure.hpp"

namespace {

using namespace bench;

#if defined(ERGO_EMULATED)
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

struct Options {
  bool tiny = kEmulated, list = false;
  int samples = kEmulated ? 2 : 25;
  std::vector<std::string> parts;
};

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--tiny")
      o.tiny = true;
    else if (a == "--list")
      o.list = true;
    else if (a.starts_with("--samples="))
      o.samples = std::max(1, std::atoi(a.c_str() + 10));
    else if (a.starts_with("--"))
      throw_error({"[bench] ", a, "? There are --tiny, --list, --samples=N, PART..."});
    else
      o.parts.push_back(a);
  }
  return o;
}

std::string quoted(const std::string& s) {
  std::string r = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') r += '\\';
    r += c == '\n' ? ' ' : c;
  }
  return r + "\"";
}
std::string version(int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

// What every line begins with.
std::string facts() {
  cudaDeviceProp p{};
  cuda::check(cudaGetDeviceProperties(&p, kDevice.index()), "device");
  int driver = 0, toolkit = 0;
  cuda::check(cudaDriverGetVersion(&driver), "device");
  cuda::check(cudaRuntimeGetVersion(&toolkit), "device");
  return "{\"device\": " + quoted(p.name) + ", \"driver\": " + quoted(version(driver)) +
         ", \"toolkit\": " + quoted(version(toolkit));
}

class Line {
 public:
  Line(const std::string& start, const Row& r) {
    out_ << start;
    add("op", quoted(r.op));
    add("shape", quoted(r.shape));
    add("dtype", quoted(r.dtype));
  }
  template <class V>
  void add(const char* key, const V& value) {
    out_ << ", \"" << key << "\": " << value;
  }
  void print() { std::cout << out_.str() << "}" << std::endl; }

 private:
  std::ostringstream out_;
};

void print_row(const std::string& start, const Row& r, const Timing& t, std::size_t sets, double copy) {
  Line line(start, r);
  line.add("us", t.median_us);
  line.add("low_us", t.low_us);
  line.add("high_us", t.high_us);
  line.add("spread", t.median_us > 0 ? (t.high_us - t.low_us) / t.median_us : 0);
  line.add("host_us", t.host_us);
  line.add("launches", t.launches);
  line.add("sets", sets);
  line.add("samples", t.samples);
  line.add("calls", t.calls);
  line.add("bytes", std::llround(r.bytes));
  const double seconds = 1e-6 * std::max(t.median_us, 1e-3);
  if (r.bytes > 0) line.add("fraction", r.bytes / seconds / copy);
  if (r.flops > 0) line.add("gflops", 1e-9 * r.flops / seconds);
  line.add("peer", "null");
  line.add("peer_us", "null");
  line.print();
}

// Inputs of several times the L2 cache in all; 1 to 16 sets.
std::size_t sets_for(const Row& r) {
  if (r.input_bytes <= 0) return 1;
  return std::size_t(std::clamp(std::ceil(256e6 / r.input_bytes), 2.0, 16.0));
}

bool chosen(const Options& o, const Row& r) {
  const std::string name = r.op + " " + r.shape + " " + r.dtype;
  return o.parts.empty() || std::any_of(o.parts.begin(), o.parts.end(),
                                        [&](const std::string& p) { return name.find(p) != std::string::npos; });
}

int run(const Options& o) {
  Rows rows;
  add_pointwise(rows, o.tiny);
  add_movement(rows, o.tiny);
  add_reductions(rows, o.tiny);
  add_axes(rows, o.tiny);
  add_norms(rows, o.tiny);
  add_attention(rows, o.tiny);
  add_scans(rows, o.tiny);
  add_ordering(rows, o.tiny);
  add_indexing(rows, o.tiny);
  add_spatial(rows, o.tiny);
  add_products(rows, o.tiny);
  add_networks(rows, o.tiny);
  std::erase_if(rows, [&](const Row& r) { return !chosen(o, r); });
  if (o.list) {
    for (const Row& r : rows) std::cout << r.op << " " << r.shape << " " << r.dtype << "\n";
    return 0;
  }

  const std::string start = facts();
  const std::size_t bytes = o.tiny ? 4096 : std::size_t{1} << 30;
  const double copy = copy_speed(bytes, o.samples);
  std::cout << start << ", \"op\": \"copy\", \"shape\": \"(" << bytes / 4
            << ")\", \"dtype\": \"float\", \"bytes\": " << 2 * bytes << ", \"us\": " << 2e6 * double(bytes) / copy
            << ", \"gbps\": " << 1e-9 * copy << "}" << std::endl;
  bool ok = true;
  for (const Row& r : rows) {
    try {
      std::vector<std::function<void()>> calls;
      const std::size_t sets = o.tiny ? 1 : sets_for(r);
      for (std::size_t i = 0; i < sets; ++i) calls.push_back(r.make(100 + 10 * i));
      print_row(start, r, measure(calls, o.samples), sets, copy);
    } catch (const std::exception& e) {  // the other rows are worth having
      ok = false;
      Line line(start, r);
      line.add("error", quoted(e.what()));
      line.print();
    }
    if (cudaDeviceSynchronize() != cudaSuccess) {
      std::cerr << "the device can be used no more after this row\n";
      return 3;
    }
    ergo::release_cached_memory();
  }
  return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 2;
  }
}

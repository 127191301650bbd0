#include "support/launch_costs.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "ergo/autograd/transforms.hpp"
#include "ergo/cuda/backend.hpp"
#include "support/case_inputs.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cases {
namespace {

using namespace ergo;

constexpr Device kDevice = Device::cuda(0);
std::vector<std::string> noted;

}  // namespace

LaunchCost launch_cost([[maybe_unused]] const std::function<void()>& work, [[maybe_unused]] int warm) {
  LaunchCost cost;
#if defined(ERGO_EMULATED)
  // Indices and labels stay until a wait has told whether they are right, lists of tensors for some calls.
  const auto live = [] {
    ergo::detail::backend(kDevice).synchronize(kDevice);
    return memory_info(kDevice).live;
  };
  for (int i = 0; i < warm; ++i) work();
  const std::int64_t before = live();
  simt::reset_counters();
  work();
  const simt::Counters c = simt::counters();
  cost = {c.launches, c.library_calls, c.copies_to_host, c.host_waits, live() - before};
#endif
  return cost;
}

void check_cost(const std::string& name, const char* part, const LaunchCost& cost, long launches, long counts) {
  char text[160];
  std::snprintf(text, sizeof text, "%-46s %-8s %8ld %8ld %8ld %8ld %8lld", name.c_str(), part, cost.launches,
                cost.products, cost.copies_to_host, cost.host_waits, static_cast<long long>(cost.bytes_left));
  noted.push_back(text);
  CHECK_MESSAGE(cost.all() == launches, name, ", ", std::string(part), ": ", cost.all(), " launches, and not ",
                launches);
  CHECK_MESSAGE(cost.copies_to_host == counts, name, ", ", part, ": copies to the host");
  CHECK_MESSAGE(cost.host_waits == counts, name, ", ", part, ": the host waits");
  CHECK_MESSAGE(cost.bytes_left == 0, name, ", ", part, ": memory is left");
}

void check_line(const LaunchLine& line, const Case& c) {
  const DeviceScope scope(kDevice);
  std::mt19937_64 g = generator(c, 13);
  std::vector<Shape> shapes = c.shapes.front();
  if (c.pointwise)  // of one shape, so that no cotangent is summed
    for (Shape& s : shapes) s = shapes[0];
  Floats x;
  for (const auto& t : to_floats(sample_inputs(c, shapes, g))) x.push_back(t.to(kDevice));
  const auto f = c.bare ? c.bare : c.f32;
  check_cost(c.name, "value", launch_cost([&] { f(x); }), line.value + line.around, line.counts);
  if (c.order == 0) return;
  const auto pulled = ergo::vjp(f, x);
  const Tensor<float> cotangent = cast<float>(sample(pulled.first.shape(), {-1, 1}, g)).to(kDevice);
  check_cost(c.name, "vjp", launch_cost([&] { pulled.second(cotangent); }), line.vjp + line.vjp_around);
}

void show_launches() {
  if (std::getenv("ERGO_SHOW_LAUNCHES") == nullptr) return;
  std::printf("%-46s %-8s %8s %8s %8s %8s %8s\n", "operation", "", "launches", "products", "to host", "waits", "left");
  for (const std::string& line : noted) std::printf("%s\n", line.c_str());
}

}  // namespace cases

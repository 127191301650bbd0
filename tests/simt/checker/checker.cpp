#include "checker.hpp"

#include <algorithm>
#include <cstring>

#include "engine/diagnosis.hpp"
#include "runtime/state.hpp"
#include "simt/execution.hpp"

namespace simt {
namespace {

constexpr std::size_t kDynamicRoom = std::size_t{1} << 20;  // more than any launch may have

bool is_builtin(const void* p) {
  const auto in = [p](const auto& variable) {
    return static_cast<std::size_t>(static_cast<const char*>(p) - reinterpret_cast<const char*>(&variable)) <
           sizeof variable;
  };
  return in(threadIdx) || in(blockIdx) || in(blockDim) || in(gridDim);
}

// Whether `bytes` at p lie in `size` bytes at begin.
bool within(const void* p, std::size_t bytes, const void* begin, std::size_t size) {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(p) - static_cast<const char*>(begin));
  return offset < size && bytes <= size - offset;
}

}  // namespace

// Never destroyed, as the runtime that it watches.
Checker& Checker::instance() {
  static auto* checker = new Checker;
  return *checker;
}

// Linked in by whatever calls observe().
static const bool installed = [] {
  observer = &Checker::instance();
  return true;
}();

void observe(const void* address, std::size_t bytes, unsigned kind, const void* pc) {
  const EngineCode here;
  Checker::instance().access(address, bytes, kind, pc);
}
void count_traffic(bool on) { Checker::instance().count_traffic(on); }
std::vector<KernelTraffic> take_traffic() { return Checker::instance().take_traffic(); }
void observe_fence() {
  const EngineCode here;
  Checker::instance().fence();
}

Checker::Checker() : static_(std::make_unique<Shadow>(program_.data(), program_.data_bytes())) {
  for (int d = 0; d < kDevices; ++d) {
    devices_[d] = std::make_unique<Shadow>(DeviceMemory::of(d).begin(), DeviceMemory::kAddresses);
  }
}

Shadow* Checker::of_device(const void* p) const {
  for (const auto& shadow : devices_) {
    if (shadow->contains(p)) return shadow.get();
  }
  return nullptr;
}

void Checker::launch_begins(const Launch& launch, int device) {
  current_ = {&launch, device, 0, 0, nullptr, 0};
  order_.launch_begins();
  if (counts_) traffic_.launch_begins(kernel_name(launch.kernel));
}

void Checker::block_begins(std::uint64_t block) {
  const dim3 size = current_.launch->block;
  current_.block = block;
  ++blocks_;
  if (counts_) traffic_.block_begins();
  order_.block_begins(static_cast<std::uint32_t>(block), size.x * size.y * size.z);
  if (const std::size_t bytes = current_.launch->shared) {
    const char* shared = Block::instance().shared;
    if (!dynamic_) dynamic_ = std::make_unique<Shadow>(shared + bytes - kDynamicRoom, 2 * kDynamicRoom);
    dynamic_->set(shared, bytes, kUnwritten);
  }
}

void Checker::thread_runs(unsigned rank, const char* stack, std::size_t stack_bytes) {
  current_.thread = rank;
  current_.stack = stack;
  current_.stack_bytes = stack_bytes;
}

void Checker::access(const void* address, std::size_t bytes, unsigned kind, const void* pc) {
  if (static_cast<std::size_t>(static_cast<const char*>(address) - current_.stack) < current_.stack_bytes) return;
  Access a{address, bytes, kind, pc};
  if ((kind & kAligned) && reinterpret_cast<std::uintptr_t>(address) % std::min<std::size_t>(bytes, 8)) misaligned(a);
  find_space(a);
  if (!a.space) return;
  check_race(a);
  check_written(a);
  if (counts_) traffic_.access(current_.thread, address, bytes, (kind & kWrite) != 0, a.shared, pc);
}

// Sets the shadow of the memory that the access is in.
void Checker::find_space(Access& a) {
  Shadow& mine = *devices_[current_.device];
  if (mine.contains(a.address)) {
    if (mine.first_absent(a.address, a.bytes) < a.bytes) outside(a);
    a.space = &mine;
    return;
  }
  const Block& block = Block::instance();
  if (current_.launch->shared && dynamic_->contains(a.address)) {
    if (!within(a.address, a.bytes, block.shared, block.shared_size)) outside(a);
    a.space = dynamic_.get();
    a.shared = true;
    return;
  }
  if (static_->contains(a.address)) {
    if (is_builtin(a.address) || program_.is_constant(a.address)) return;
    SharedVariable* v = program_.variable(a.address);
    if (!v || !within(a.address, a.bytes, v->begin, v->bytes)) outside(a);
    if (v->fresh_for != blocks_) {
      v->fresh_for = blocks_;
      static_->set(v->begin, v->bytes, kUnwritten);
    }
    a.space = static_.get();
    a.shared = true;
    return;
  }
  if (within(a.address, a.bytes, current_.launch->arguments, current_.launch->argument_bytes)) return;
  if (program_.is_constant(a.address) || Runtime::instance().is_pinned(a.address, a.bytes)) return;
  outside(a);
}

void Checker::check_written(const Access& a) {
  if (a.kind & kWrite) {
    if (!(a.kind & kAsync)) a.space->set(a.address, a.bytes, written_by(a.bytes));
    return;
  }
  const std::size_t first = a.space->first_unwritten(a.address, a.bytes);
  if (first < a.bytes) unwritten_read(a, first);
}

void Checker::check_race(const Access& a) {
  const unsigned thread = current_.thread;
  if ((a.kind & kStrong) && !(a.kind & kWrite)) order_.acquire(thread, a.address, a.shared, (a.kind & kAcquire) != 0);
  Record record = order_.now(thread);
  record.pc = program_.offset(a.pc);
  record.strong = (a.kind & kStrong) != 0;
  record.in_flight = (a.kind & kAsync) && (a.kind & kWrite);
  const Conflict conflict = find_race(*a.space, order_, a.address, a.bytes, a.kind, a.shared, record, thread);
  if (conflict.other.lanes) race(a, conflict);
  if ((a.kind & kStrong) && (a.kind & kWrite)) order_.release(thread, a.address, a.shared, (a.kind & kRelease) != 0);
}

void Checker::copy_begins(void* shared, const void* global, unsigned bytes, unsigned source_bytes, const void* pc) {
  if (source_bytes) access(global, source_bytes, kRead | kAsync, pc);
  access(shared, bytes, kWrite | kAsync, pc);
}

void Checker::copy_arrives(void* shared, unsigned bytes, const void* pc) {
  Access a{shared, bytes, kWrite | kAsync, pc};
  find_space(a);
  Record record = order_.now(current_.thread);
  record.pc = program_.offset(pc);
  arrive(*a.space, order_, shared, bytes, record);
  a.space->set(shared, bytes, written_by(bytes));
}

void Checker::exists(const void* p, std::size_t bytes) { of_device(p)->set(p, bytes, kUnwritten); }
void Checker::released(const void* p, std::size_t bytes) { of_device(p)->release(p, bytes); }
void Checker::written(const void* p, std::size_t bytes) { of_device(p)->set(p, bytes, kWritten); }
void Checker::copied(const void* to, const void* from, std::size_t bytes) {
  std::memmove(of_device(to)->state(to), of_device(from)->state(from), bytes);
}

}  // namespace simt

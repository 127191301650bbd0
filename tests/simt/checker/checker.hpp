// The checker: watches every access of a kernel, and ends the launch at the first that is a mistake. It does not
// collect more: what follows a mistake often follows from it, and a GPU's context is lost at a fault too.
#pragma once

#include <memory>

#include "access.hpp"
#include "engine/block.hpp"
#include "engine/device_memory.hpp"
#include "engine/observer.hpp"
#include "happens_before.hpp"
#include "program.hpp"
#include "races.hpp"
#include "shadow.hpp"
#include "traffic.hpp"

namespace simt {

class Checker final : public Observer {
 public:
  static Checker& instance();

  // Who runs: a thread of a block of a launch.
  struct Current {
    const Launch* launch = nullptr;
    int device = 0;
    std::uint64_t block = 0;
    unsigned thread = 0;
    const char* stack = nullptr;
    std::size_t stack_bytes = 0;
  };
  const Current& current() const { return current_; }

  void access(const void* address, std::size_t bytes, unsigned kind, const void* pc);
  void fence() { order_.fence(current_.thread); }

  void launch_begins(const Launch& launch, int device) override;
  void block_begins(std::uint64_t block) override;
  void thread_runs(unsigned rank, const char* stack, std::size_t stack_bytes) override;
  void lanes_meet(unsigned warp, unsigned lanes) override {
    order_.lanes_meet(warp, lanes);
    if (counts_) traffic_.lanes_meet(warp, lanes);
  }
  void arrives(int barrier, unsigned rank) override { order_.arrives(barrier, rank); }
  void opens(int barrier) override {
    order_.opens(barrier);
    if (counts_) traffic_.threads_meet();
  }
  void leaves(unsigned rank) override { order_.leaves(rank); }
  void copy_begins(void* shared, const void* global, unsigned bytes, unsigned source_bytes, const void* pc) override;
  void copy_arrives(void* shared, unsigned bytes, const void* pc) override;
  void exists(const void* p, std::size_t bytes) override;
  void released(const void* p, std::size_t bytes) override;
  void written(const void* p, std::size_t bytes) override;
  void copied(const void* to, const void* from, std::size_t bytes) override;
  std::string unwritten(const void* p, std::size_t bytes) const override;

  void count_traffic(bool on) { counts_ = on; }
  std::vector<KernelTraffic> take_traffic() { return traffic_.take(); }

 private:
  // Where an address lies, and what is wrong with it; a space of null is memory that needs no watching.
  struct Access {
    const void* address;
    std::size_t bytes;
    unsigned kind;
    const void* pc;
    Shadow* space = nullptr;
    bool shared = false;
  };
  Checker();
  Shadow* of_device(const void* p) const;
  void find_space(Access& a);
  void check_written(const Access& a);
  void check_race(const Access& a);

  [[noreturn]] void fail(const Access& a, const std::string& what, Outcome outcome);
  [[noreturn]] void misaligned(const Access& a);
  [[noreturn]] void outside(const Access& a);
  [[noreturn]] void unwritten_read(const Access& a, std::size_t first);
  [[noreturn]] void race(const Access& a, const Conflict& conflict);
  std::string deed(const Access& a) const;
  std::string object(const Access& a, std::size_t byte);

  Program program_;
  std::unique_ptr<Shadow> devices_[kDevices], dynamic_, static_;
  HappensBefore order_;
  Current current_;
  std::uint64_t blocks_ = 0;  // that have begun, of all launches
  TrafficCounter traffic_;
  bool counts_ = false;
};

}  // namespace simt

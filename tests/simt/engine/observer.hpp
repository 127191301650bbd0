// What watches the engine and the runtime: the checker of the checked build. Null in every other build.
//
// The loads and stores of a kernel do not come this way: the compiler's instrumentation reports them
// (checker/hooks.cpp). This is what it cannot know: whose code runs, how threads wait for each other, and what becomes
// of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

struct Launch;

class Observer {
 public:
  // A launch, its blocks one after another, and the thread whose code runs from now on, with its stack.
  virtual void launch_begins(const Launch& launch, int device) = 0;
  virtual void block_begins(std::uint64_t block) = 0;
  virtual void thread_runs(unsigned rank, const char* stack, std::size_t stack_bytes) = 0;

  // `lanes` of a warp have all come to an operation. A thread comes to a named barrier; a barrier opens, with nobody
  // come by name it is __syncthreads; a thread that waited there goes on.
  virtual void lanes_meet(unsigned warp, unsigned lanes) = 0;
  virtual void arrives(int barrier, unsigned rank) = 0;
  virtual void opens(int barrier) = 0;
  virtual void leaves(unsigned rank) = 0;

  // cp.async of the running thread: what it reads, and the shared memory that is in flight until it arrives.
  virtual void copy_begins(void* shared, const void* global, unsigned bytes, unsigned source_bytes, const void* pc) = 0;
  virtual void copy_arrives(void* shared, unsigned bytes, const void* pc) = 0;

  // Device memory begins and ceases to exist, and is written by the runtime or a library.
  virtual void exists(const void* p, std::size_t bytes) = 0;
  virtual void released(const void* p, std::size_t bytes) = 0;
  virtual void written(const void* p, std::size_t bytes) = 0;
  // Memory of devices is copied to memory of devices: what nobody has written stays so.
  virtual void copied(const void* to, const void* from, std::size_t bytes) = 0;
  // The runtime or a library reads: what is wrong with that, or empty.
  virtual std::string unwritten(const void* p, std::size_t bytes) const = 0;

 protected:
  ~Observer() = default;
};

inline constinit Observer* observer = nullptr;

// Whether the code that this host thread runs right now is a kernel's, and not the engine's or the host's.
extern thread_local constinit bool in_kernel;

// While one lives, the engine works for a kernel that has called it.
struct EngineCode {
  EngineCode() { in_kernel = false; }
  ~EngineCode() { in_kernel = true; }
  EngineCode(const EngineCode&) = delete;
  EngineCode& operator=(const EngineCode&) = delete;
};

}  // namespace simt

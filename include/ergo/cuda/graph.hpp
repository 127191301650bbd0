// cuda::capture: a function's work on a device as one graph, which replays at the cost of one launch.
//
//   auto step = cuda::capture([&] { auto [loss, g] = ...; opt.step(model, g); return loss; });  // takes one step
//   for (...) { cuda::refill(images, batch); opt.options.lr = ...; step(); }
//
// A replay repeats what reached the device, where it lay. So what varies is copied into tensors that stay (`refill`),
// and of an optimiser the options and the step number are read anew; every other number, a key too, is that of the
// capture. The function's own allocations belong to the graph, and so does memory of others that it works on, for the
// graph's life, even after its tensors are gone.
#pragma once

#include <functional>
#include <optional>

#include "ergo/cuda/views.hpp"

namespace ergo::inline ERGO_BUILD::cuda {
namespace detail {

// The graph of a function that ran twice on a stream of its own, and what its replays need.
class CapturedWork {
 public:
  explicit CapturedWork(Device d) {
    refuse_in_capture("capture", "there is no other capture");
    check_device(d);
    recording_.stream = take_stream(d.index());
    recording_.stream->keeps_blocks = true;
  }
  CapturedWork(const CapturedWork&) = delete;
  CapturedWork& operator=(const CapturedWork&) = delete;
  ~CapturedWork() {
    Stream& s = stream();
    if (graph_) (void)cudaGraphExecDestroy(graph_);
    recording_.before.clear();
    recording_.constants.clear();
    for (void* p : recording_.touched) Allocator::of(s.device).unpin(p);
    Allocator::of(s.device).close(s);
    give_stream(&s);
  }

  // The first run, which is a run like any other but for its stream and memory.
  void run(const std::function<void()>& f) {
    Stream& mine = current_stream(Device::cuda(stream().device));
    stream().wait_for(mine);
    record(f);
    mine.wait_for(stream());
  }
  // The second one, of which nothing happens but in replays.
  void capture(const std::function<void()>& f) {
    Stream& s = stream();
    const OnDevice on(s.device);
    const auto before = std::move(recording_.touched);
    recording_.touched.clear();
    struct Unpin {
      const std::unordered_set<void*>& blocks;
      int device;
      ~Unpin() {
        for (void* p : blocks) Allocator::of(device).unpin(p);
      }
    } const unpin{before, s.device};
    check(cudaStreamBeginCapture(s.handle, cudaStreamCaptureModeThreadLocal), "capture");
    recording_.capturing = true;
    cudaGraph_t graph = nullptr;
    try {
      record(f);
    } catch (...) {
      recording_.capturing = false;
      (void)cudaStreamEndCapture(s.handle, &graph);
      if (graph) (void)cudaGraphDestroy(graph);
      (void)cudaGetLastError();
      throw;
    }
    recording_.capturing = false;
    check(cudaStreamEndCapture(s.handle, &graph), "capture");
    const cudaError_t e = cudaGraphInstantiate(&graph_, graph, 0);
    (void)cudaGraphDestroy(graph);
    check(e, "capture");
    s.wait_for(current_stream(Device::cuda(s.device)));
    for (const Recording::Constant& c : recording_.constants)
      check(cudaMemcpyAsync(c.memory->data, c.bytes.data(), c.bytes.size(), cudaMemcpyHostToDevice, s.handle),
            "capture");
    s.synchronize("capture");
  }
  // After all that this thread did on the device, and before all that it will do.
  void replay() {
    refuse_in_capture("capture", "no graph is replayed");
    Stream& s = stream();
    const OnDevice on(s.device);
    Stream& mine = current_stream(Device::cuda(s.device));
    std::size_t prepared = 0;
    try {
      for (const auto& b : recording_.before) {
        b->prepare();
        ++prepared;
      }
      s.wait_for(mine);
      for (const auto& b : recording_.before) b->send(s);
      if (const cudaError_t e = cudaGraphLaunch(graph_, s.handle); e != cudaSuccess) fail(e, "capture", &s.launches);
    } catch (...) {
      while (prepared) recording_.before[--prepared]->undo();
      throw;
    }
    s.launches.add("capture");
    mine.wait_for(s);
  }

 private:
  Stream& stream() const { return *recording_.stream; }
  void record(const std::function<void()>& f) {
    recording_.outside = &current_stream(Device::cuda(stream().device));
    const OnStream on(stream());
    struct End {
      ~End() { recording = nullptr; }
    } const end;
    recording = &recording_;
    f();
  }

  Recording recording_;
  cudaGraphExec_t graph_ = nullptr;
};

inline Device capture_device() {
  const Device d = default_device();
  return d.is_cuda() ? d : Device::cuda();
}

struct Nothing {};

}  // namespace detail

// A captured function; what it returned is R. Movable.
template <class R>
class Graph {
  static constexpr bool kReturns = !std::is_void_v<R>;
  using Result = std::conditional_t<kReturns, R, detail::Nothing>;

 public:
  template <class F>
  Graph(F& f, Device d) : work_(std::make_unique<detail::CapturedWork>(d)) {
    work_->run([&] { (void)f(); });
    work_->capture([&] {
      if constexpr (kReturns)
        result_.emplace(f());
      else
        f();
    });
  }
  Graph(Graph&&) noexcept = default;
  Graph& operator=(Graph&& g) noexcept {
    result_.reset();  // before its memory's home
    work_ = std::move(g.work_);
    result_ = std::move(g.result_);
    return *this;
  }

  // Replays the work; no wait. The result's tensors are the same at each call, with the latest values.
  std::conditional_t<kReturns, const Result&, void> operator()() {
    work_->replay();
    if constexpr (kReturns) return *result_;
  }

 private:
  std::unique_ptr<detail::CapturedWork> work_;
  std::optional<Result> result_;
};

// Runs f() once, on a CUDA device, and captures it in a second run, whose work is done by the replays alone. f works on
// that device only, and in the same way each time. An Error: the host reads from the device inside, or copies to it.
template <class F>
auto capture(F&& f, Device d = detail::capture_device()) {
  return Graph<std::decay_t<std::invoke_result_t<F&>>>(f, d);
}

// Copies the elements of x, on any device, into the memory of `fixed`, on a CUDA device; everything that shares that
// memory sees them. Equal shapes.
template <class T>
void refill(const Tensor<T>& fixed, const Tensor<T>& x) {
  const Array &to = fixed.array(), &from = x.array();
  if (to.depth || from.depth || to.device.is_cpu() || !to.contiguous || to.shape != from.shape) {
    Array* in[] = {&fixed.array(), &x.array()};
    ergo::detail::fail("refill", in, 2, "equal shapes, outside transforms, and row-major on a CUDA device to copy to");
  }
  const Ref<Array> dense = ergo::detail::dense(from);
  detail::copy(to.data, *to.buffer, dense->data, *dense->buffer, std::size_t(to.numel()) * sizeof(T));
}

}  // namespace ergo::inline ERGO_BUILD::cuda

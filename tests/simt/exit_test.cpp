// The end of a program: with work pending, with threads that end first, with handles never destroyed; and host code
// that touches device memory, which ends it. Each in a child process.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "simt/support.hpp"
#include "support/skip.hpp"

namespace simt_exit_test {

using namespace simt_test;

template <int = 0>
__global__ void fill_kernel(float* x, int n) {
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) x[i] = 1;
}

struct End {
  int status;
  std::string output;  // stderr
};
template <class F>
End in_child(F f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    f();
    std::exit(0);  // with static and thread-local destructors
  }
  close(ends[1]);
  End end{0, {}};
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
    end.output.append(buffer, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  waitpid(child, &end.status, 0);
  return end;
}

// What frees and waits when the program's static objects are destroyed.
struct Late {
  float* memory = nullptr;
  cudaStream_t stream = nullptr;
  bool used = false;
  ~Late() {
    if (!used) return;
    cudaFreeAsync(memory, stream);
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
};
Late& late() {
  static Late l;
  return l;
}

void leave_work(int device) {
  cudaSetDevice(device);
  cudaStream_t s = nullptr;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  float *x = nullptr, *y = nullptr;
  cudaMallocAsync(&x, 4000, s);
  cudaMalloc(&y, 4000);
  for (int i = 0; i < 50; ++i) launch({2, 64, 0, s}, fill_kernel<>, x, 1000);
  cudaMemcpyAsync(y, x, 4000, cudaMemcpyDeviceToDevice, s);
  cudaFreeAsync(x, s);
}

TEST_CASE("a program may end with work pending") {
  const End end = in_child([] {
    leave_work(0);
    std::thread(leave_work, 1).join();
    cudaStream_t captured = nullptr;
    cudaStreamCreateWithFlags(&captured, cudaStreamNonBlocking);
    cudaStreamBeginCapture(captured, cudaStreamCaptureModeRelaxed);
    launch({2, 64, 0, captured}, fill_kernel<>, static_cast<float*>(nullptr), 0);
    Late& l = late();
    l.used = true;
    cudaSetDevice(0);
    cudaStreamCreateWithFlags(&l.stream, cudaStreamNonBlocking);
    cudaMalloc(&l.memory, 4000);
    launch({2, 64, 0, l.stream}, fill_kernel<>, l.memory, 1000);
  });
  CHECK_MESSAGE(end.status == 0, end.output);
}

TEST_CASE("and while another thread works") {
#if defined(__SANITIZE_ADDRESS__)
  return skip("ending while a kernel runs", "the leak sanitizer does not look at the stack of a thread on a fiber");
#endif
  const End end = in_child([] {
    std::thread([] {
      cudaStream_t s = nullptr;
      cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
      float* x = nullptr;
      cudaMalloc(&x, 40000);
      for (;;) {
        launch({4, 64, 0, s}, fill_kernel<>, x, 10000);
        cudaStreamSynchronize(s);
      }
    }).detach();
    for (int i = 0; i < 20; ++i) leave_work(i % 2);
  });
  CHECK_MESSAGE(end.status == 0, end.output);
}

TEST_CASE("host code that touches device memory is named, and dies") {
#if defined(__SANITIZE_ADDRESS__)
  skip("host code touching device memory", "the address sanitizer reports the fault");
#else
  const char* protect = std::getenv("SIMT_PROTECT");
  if (protect && *protect == '0') return skip("host code touching device memory", "SIMT_PROTECT=0");
  const End end = in_child([] {
    float* x = nullptr;
    cudaMalloc(&x, 400);
    cudaMemset(x, 0, 400);
    const volatile float* host = x;
    std::printf("%f\n", static_cast<double>(host[3]));
  });
  CHECK(end.status != 0);
  check_text(end.output, {"simt: host code touches memory of device 0 at 0x", "it must be copied to the host"});
#endif
}

// Run by the next one in a process of its own.
TEST_CASE("probe of the environment" * doctest::skip()) {
  CHECK(simt::options().order == simt::Order::random);
  CHECK(simt::options().order_seed == 7);
  CHECK(simt::options().streams == simt::Streams::random);
  CHECK(simt::options().streams_seed == 9);
  void* p = nullptr;
  CHECK(cudaMalloc(&p, 1000) == cudaSuccess);
  CHECK(cudaMalloc(&p, 1000) == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 1000) == cudaSuccess);
  CHECK(cudaMalloc(&p, 9000) == cudaErrorMemoryAllocation);
  std::size_t free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(total == 10000);
  CHECK(free == 8000);
}

TEST_CASE("the environment sets orders, the failing allocation and the size of a device") {
  const End end = in_child([] {
    setenv("SIMT_ORDER", "random:7", 1);
    setenv("SIMT_STREAMS", "random:9", 1);
    setenv("SIMT_FAIL_ALLOC", "2", 1);
    setenv("SIMT_MEMORY", "10000", 1);
    execl("/proc/self/exe", "simt_tests", "--no-skip", "--test-case=probe of the environment", nullptr);
    std::exit(1);
  });
  CHECK_MESSAGE(end.status == 0, end.output);
  check_text(end.output, {"1 passed"});
}

}  // namespace simt_exit_test

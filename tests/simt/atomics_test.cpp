// Atomics, fences and flags, within a block and between blocks; arithmetic built-ins.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "simt/support.hpp"

namespace simt_atomics_test {

using namespace simt_test;

template <int = 0>
__global__ void atomic_kernel(unsigned* u, int* s, float* f, double* d, unsigned long long* wide) {
  const unsigned t = blockIdx.x * blockDim.x + threadIdx.x;
  const int i = static_cast<int>(t);
  atomicAdd(&u[0], t);
  atomicSub(&u[1], 1u);
  atomicMax(&u[2], t);
  atomicMin(&u[3], t);
  atomicAnd(&u[4], ~(1u << t % 32));
  atomicOr(&u[5], 1u << t % 32);
  atomicXor(&u[6], t);
  atomicInc(&u[7], 9);
  atomicExch(&u[8], 77u);
  atomicDec(&u[9], 4);
  atomicMax(&s[0], i - 100);
  atomicMin(&s[1], -i);
  atomicAdd(f, 1.0f);
  atomicAdd(d, 0.5);
  unsigned long long seen = *wide, expected;
  do {
    expected = seen;
    seen = atomicCAS(wide, expected, expected + 3);
  } while (seen != expected);
}

TEST_CASE("atomics of every kind, from many blocks") {
  in_every_order([] {
    Array<unsigned> u(std::vector<unsigned>{0, 1000, 5, 5, ~0u, 0, 0, 0, 1, 0});
    Array<int> s(std::vector<int>{-1000, 0});
    Array<float> f(1, 0.0f);
    Array<double> d(1, 0.0);
    Array<unsigned long long> wide(1, 0ull);
    CHECK(launch({8, 50}, atomic_kernel<>, u.data(), s.data(), f.data(), d.data(), wide.data()) == cudaSuccess);
    unsigned x = 0;
    for (unsigned t = 0; t < 400; ++t) x ^= t;
    CHECK(u.host() == std::vector<unsigned>{79800, 600, 399, 0, 0, ~0u, x, 0, 77, 0});
    CHECK(s.host() == std::vector<int>{299, -399});
    CHECK(f.host()[0] == 400);
    CHECK(d.host()[0] == 200);
    CHECK(wide.host()[0] == 1200);
  });
}

// The last block to finish adds up what the others have written.
template <int BLOCK>
__global__ void last_block_kernel(float* part, unsigned* ticket, float* out) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    part[blockIdx.x] = static_cast<float>(blockIdx.x + 1);
    __threadfence();
    last = atomicAdd(ticket, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) sum += part[b];
    *out = sum;
  }
}

// Each block waits for the flag of the one before it, by tickets: any order of blocks will do.
template <int = 0>
__global__ void chain_kernel(unsigned* ticket, unsigned* flags, float* sums) {
  if (threadIdx.x != 0) return;
  const unsigned t = atomicAdd(ticket, 1u);
  while (t > 0 && simt::load_acquire(&flags[t - 1]) == 0) {}
  sums[t] = (t > 0 ? sums[t - 1] : 0.0f) + static_cast<float>(t);
  simt::store_release(&flags[t], 1u);
}

TEST_CASE("tickets, fences and flags between blocks") {
  in_every_order([] {
    Array<float> part(20), out(1);
    Array<unsigned> ticket(1, 0u);
    CHECK(launch({20, 64}, last_block_kernel<64>, part.data(), ticket.data(), out.data()) == cudaSuccess);
    CHECK(out.host()[0] == 210);
    Array<unsigned> ticket2(1, 0u), flags(40, 0u);
    Array<float> sums(40);
    CHECK(launch({40, 32}, chain_kernel<>, ticket2.data(), flags.data(), sums.data()) == cudaSuccess);
    CHECK(sums.host()[39] == 780);
  });
}

// Thread 0 spins until the last thread of its block, which no barrier starts, has set the flag.
template <int = 0>
__global__ void spin_kernel(unsigned* flag, unsigned* lock, int* count) {
  if (threadIdx.x == 0) {
    while (atomicAdd(flag, 0u) == 0) __nanosleep(20);
  }
  if (threadIdx.x == blockDim.x - 1) atomicExch(flag, 1u);
  while (atomicCAS(lock, 0u, 1u) != 0u) {}
  *count += 1;
  __threadfence();
  atomicExch(lock, 0u);
}

TEST_CASE("threads of a block may spin on each other") {
  in_every_order([] {
    Array<unsigned> flag(1, 0u), lock(1, 0u);
    Array<int> count(1, 0);
    CHECK(launch({1, 100}, spin_kernel<>, flag.data(), lock.data(), count.data()) == cudaSuccess);
    CHECK(count.host()[0] == 100);
  });
}

template <int = 0>
__global__ void clock_kernel(long long* out) {
  const long long before = clock64();
  __syncthreads();
  out[threadIdx.x] = clock64() - before;
}

TEST_CASE("the clock advances") {
  Array<long long> out(32);
  CHECK(launch({1, 32}, clock_kernel<>, out.data()) == cudaSuccess);
  for (const long long ticks : out.host()) CHECK(ticks >= 0);
}

TEST_CASE("integer and conversion built-ins") {
  CHECK(__popc(0xf0f0u) == 8);
  CHECK(__clz(1) == 31);
  CHECK(__clz(0) == 32);
  CHECK(__ffs(0) == 0);
  CHECK(__ffs(8) == 4);
  CHECK(__brev(1u) == 0x80000000u);
  CHECK(__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu);
  CHECK(__mulhi(-2, 1 << 30) == -1);
  CHECK(__umul64hi(~0ull, ~0ull) == ~0ull - 1);
  CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7530u) == 0x77553300u);
  CHECK(__funnelshift_l(0x80000000u, 1u, 1) == 3u);
  CHECK(__float2int_rn(2.5f) == 2);
  CHECK(__float2int_rn(1e10f) == std::numeric_limits<int>::max());
  CHECK(__float2int_rz(-1e10f) == std::numeric_limits<int>::min());
  CHECK(__float2int_rd(NAN) == 0);
  CHECK(__double2ll_rn(-1e300) == std::numeric_limits<long long>::min());
  CHECK(max(NAN, 1.0f) == 1.0f);
  CHECK(min(2, 3u) == 2u);
  CHECK(__saturatef(NAN) == 0.0f);
}

TEST_CASE("16-bit floats round to nearest even") {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto b = static_cast<std::uint16_t>(bits);
    const float f = simt::f16_to_float(b), g = simt::bf16_to_float(b);
    if (f == f)
      REQUIRE(simt::float_to_f16(f) == b);
    else
      REQUIRE(simt::float_to_f16(f) == 0x7fff);
    if (g == g)
      REQUIRE(simt::float_to_bf16(g) == b);
    else
      REQUIRE(simt::float_to_bf16(g) == 0x7fff);
    // Half way to the next number: to the even one.
    const auto next = static_cast<std::uint16_t>(bits + 1);
    if ((bits & 0x7fff) < 0x7bff) {
      const float middle = (f + simt::f16_to_float(next)) / 2;
      REQUIRE(simt::float_to_f16(middle) == (bits % 2 ? next : b));
      REQUIRE(simt::float_to_f16(std::nextafter(middle, f)) == b);
    }
    if ((bits & 0x7fff) < 0x7f7f) {
      const auto middle = static_cast<float>((double{g} + double{simt::bf16_to_float(next)}) / 2);
      REQUIRE(simt::float_to_bf16(middle) == (bits % 2 ? next : b));
    }
  }
  CHECK(simt::float_to_f16(65519.0f) == 0x7bff);
  CHECK(simt::float_to_f16(65520.0f) == 0x7c00);
  CHECK(float(__float2half(1.0f / 3)) == doctest::Approx(1.0 / 3).epsilon(1e-3));
  CHECK(float(__float2bfloat16(1.0f / 3)) == doctest::Approx(1.0 / 3).epsilon(4e-3));
  CHECK(__ushort_as_half(0x3c00) == 1.0f);
  CHECK(__bfloat16_as_ushort(__float2bfloat16(1.0f)) == 0x3f80);
}

}  // namespace simt_atomics_test

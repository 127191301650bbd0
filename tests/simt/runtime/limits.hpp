// The limits of an emulated device: those of compute capability 9.0.
#pragma once

#include <cstddef>

namespace simt {

constexpr unsigned kMostGridX = 0x7fffffff, kMostGridYZ = 65535, kMostThreads = 1024;
constexpr std::size_t kSharedWithoutOptIn = 48 << 10, kShared = 227 << 10, kSharedOfProcessor = 228 << 10;
// CUDA takes 32764 bytes since 12.1; ergo's kernels stay under the older limit, and are told when they do not.
constexpr std::size_t kMostParameterBytes = 4096;

}  // namespace simt

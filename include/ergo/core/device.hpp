// Devices, the default device, and the seam through which a device back end lends memory and copies bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ergo/core/error.hpp"
#include "ergo/core/ref.hpp"

namespace ergo::inline ERGO_BUILD {

// Where a tensor's bytes live: the CPU, or CUDA device `index`.
class Device {
 public:
  constexpr Device() = default;
  static constexpr Device cpu() { return {}; }
  static constexpr Device cuda(int index = 0) {
    if (index < 0 || index > 126) throw_error("[device] a CUDA device has an index from 0 to 126");
    return Device(std::int8_t(index));
  }
  // "cpu", "cuda" or "cuda:1"; anything else is an Error.
  static Device parse(std::string_view text) {
    if (text == "cpu") return cpu();
    if (text == "cuda") return cuda();
    if (text.starts_with("cuda:") && text.size() > 5 && text.size() <= 8) {
      int index = 0;
      for (char c : text.substr(5)) {
        if (c < '0' || c > '9') fail(text);
        index = index * 10 + (c - '0');
      }
      if (index <= 126) return cuda(index);
    }
    fail(text);
  }
  constexpr bool is_cpu() const { return index_ < 0; }
  constexpr bool is_cuda() const { return index_ >= 0; }
  constexpr int index() const { return index_ < 0 ? 0 : index_; }
  friend constexpr bool operator==(Device, Device) = default;

 private:
  explicit constexpr Device(std::int8_t index) : index_(index) {}
  [[noreturn, gnu::cold]] static void fail(std::string_view text) {
    throw_error({"[device] \"", std::string(text), "\" is not a device (cpu, cuda or cuda:1)"});
  }
  std::int8_t index_ = -1;
};

inline std::string to_string(Device d) { return d.is_cpu() ? "cpu" : "cuda:" + std::to_string(d.index()); }

// Bytes in use, kept for reuse, and the most ever in use.
struct MemoryInfo {
  std::int64_t live = 0, cached = 0, peak = 0;
};

namespace detail {
// What a device back end other than the CPU's provides; its headers install one with `install_backend`.
struct Buffer;  // core/array.hpp
struct Array;
// Pinned memory, from which a device copies beside its other work and the host's.
struct Staging {
  std::byte* data = nullptr;
};
struct Backend {
  void (*allocate)(Buffer&);  // `bytes` on `device`: sets `data`
  void (*deallocate)(Buffer&) noexcept;
  void (*copy)(std::byte* to, Buffer& to_buffer, const std::byte* from, Buffer& from_buffer, std::size_t bytes);
  void (*copy_strided)(const Array& y, const Array& x);  // on one device: equal shapes and dtypes, any strides
  void (*fill)(const Array& y, std::uint64_t bits);  // each element of a row-major y; `bits` is one, low bytes first
  void (*synchronize)(Device);
  MemoryInfo (*memory_info)(Device);
  void (*release_cached_memory)();
  int (*device_count)();
  void (*before_read)(const char* op);  // throws where the host may not read from a device
  // What feeds a device while it computes (data/prefetch.hpp).
  Staging& (*take_staging)(Device, std::size_t bytes);  // for the host to fill: no copy out of it is pending
  void (*give_staging)(Staging&) noexcept;              // done with it, but for copies
  Ref<Buffer> (*send)(Staging&, std::size_t bytes);     // its first bytes in memory of the device, at some time
  void (*receive)(Staging&, Buffer&);                   // what this thread does next comes after the copy
};
inline constinit const Backend* installed_backend = nullptr;

inline void install_backend(const Backend* b) { __atomic_store_n(&installed_backend, b, __ATOMIC_RELEASE); }
inline const Backend* backend_or_null() { return __atomic_load_n(&installed_backend, __ATOMIC_ACQUIRE); }
inline const Backend& backend(Device d) {
  const Backend* b = backend_or_null();
  if (!b) throw_error({"[device] ", d, ": this program was built without CUDA"});
  return *b;
}

inline constinit Device process_device{};
struct ScopedDevice {
  Device device;
  bool set;
};
inline constinit thread_local ScopedDevice scoped_device{};
}  // namespace detail

// The device of makers and random draws: the innermost DeviceScope of this thread, else what `set_default_device` chose
// for all threads, else the CPU.
inline Device default_device() {
  if (detail::scoped_device.set) return detail::scoped_device.device;
  Device d;
  __atomic_load(&detail::process_device, &d, __ATOMIC_RELAXED);
  return d;
}
inline void set_default_device(Device d) {
  if (!d.is_cpu()) detail::backend(d);
  __atomic_store(&detail::process_device, &d, __ATOMIC_RELAXED);
}

// Sets the default device of this thread for a block.
class DeviceScope {
 public:
  explicit DeviceScope(Device d) : before_(detail::scoped_device) {
    if (!d.is_cpu()) detail::backend(d);
    detail::scoped_device = {d, true};
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope() { detail::scoped_device = before_; }

 private:
  detail::ScopedDevice before_;
};

// Waits for all work given to the device; the CPU has none pending.
inline void synchronize(Device d = default_device()) {
  if (!d.is_cpu()) detail::backend(d).synchronize(d);
}

namespace cuda {
// The number of CUDA devices; 0 in a CPU build.
inline int device_count() {
  const detail::Backend* b = detail::backend_or_null();
  return b ? b->device_count() : 0;
}
}  // namespace cuda

}  // namespace ergo::inline ERGO_BUILD

// Atomics of every scope, and loads and stores with an order. Threads run one at a time, and switch only where they
// wait or poll: so an atomic is a read and a write, said to be atomic for the checked build alone. One that changes
// nothing may be a thread waiting for another: it counts as a poll.
#pragma once

#include <cstring>
#include <type_traits>

#include "execution.hpp"

namespace simt {

template <class T, class F>
T read_modify_write(T* p, F f, Place at) {
  T before;
  __atomic_load(p, &before, __ATOMIC_RELAXED);
  T after = f(before);
  if (std::memcmp(&before, &after, sizeof(T)) == 0) {
    poll(at);
  } else {
    __atomic_store(p, &after, __ATOMIC_RELAXED);
    progress();
  }
  return before;
}

// ld.acquire and st.release, for flags between blocks.
template <class T>
T load_acquire(const T* p, SIMT_AT) {
  T value;
  __atomic_load(const_cast<T*>(p), &value, __ATOMIC_ACQUIRE);
  poll(at);
  return value;
}
template <class T>
void store_release(T* p, std::type_identity_t<T> value) {
  __atomic_store(p, &value, __ATOMIC_RELEASE);
  progress();
}

}  // namespace simt

template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v, SIMT_AT) {
  return simt::read_modify_write(
      p, [v](T o) { return static_cast<T>(o + v); }, at);
}
template <class T>
T atomicSub(T* p, std::type_identity_t<T> v, SIMT_AT) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return simt::read_modify_write(
      p, [v](T o) { return static_cast<T>(o - v); }, at);
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> v, SIMT_AT) {
  static_assert(std::is_integral_v<T>);
  return simt::read_modify_write(
      p, [v](T o) { return v < o ? v : o; }, at);
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> v, SIMT_AT) {
  static_assert(std::is_integral_v<T>);
  return simt::read_modify_write(
      p, [v](T o) { return o < v ? v : o; }, at);
}
template <class T>
T atomicAnd(T* p, std::type_identity_t<T> v, SIMT_AT) {
  return simt::read_modify_write(
      p, [v](T o) { return o & v; }, at);
}
template <class T>
T atomicOr(T* p, std::type_identity_t<T> v, SIMT_AT) {
  return simt::read_modify_write(
      p, [v](T o) { return o | v; }, at);
}
template <class T>
T atomicXor(T* p, std::type_identity_t<T> v, SIMT_AT) {
  return simt::read_modify_write(
      p, [v](T o) { return o ^ v; }, at);
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v, SIMT_AT) {
  return simt::read_modify_write(
      p, [v](T) { return v; }, at);
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> compare, std::type_identity_t<T> v, SIMT_AT) {
  static_assert(std::is_integral_v<T>);
  return simt::read_modify_write(
      p, [=](T o) { return o == compare ? v : o; }, at);
}
inline unsigned atomicInc(unsigned* p, unsigned limit, SIMT_AT) {
  return simt::read_modify_write(
      p, [limit](unsigned o) { return o >= limit ? 0u : o + 1; }, at);
}
inline unsigned atomicDec(unsigned* p, unsigned limit, SIMT_AT) {
  return simt::read_modify_write(
      p, [limit](unsigned o) { return o == 0 || o > limit ? limit : o - 1; }, at);
}

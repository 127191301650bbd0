// Reference counts, and the owning pointer to what has one: arrays, buffers, nodes of the tape.
#pragma once

#include <utility>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// Counts change through the compiler's builtins (<atomic> alone costs 0.2 s to compile). A count of one is only read:
// nobody else can see the object then; the acquire pairs with the release of whoever dropped the other handle.
inline bool unique(const int& count) { return __atomic_load_n(&count, __ATOMIC_ACQUIRE) == 1; }
inline void retain(int& count) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }
inline bool released(int& count) { return unique(count) || __atomic_fetch_sub(&count, 1, __ATOMIC_ACQ_REL) == 1; }

// An owning pointer to P, which has `int refs` (born 1) and `static void destroy(P*)`.
template <class P>
class Ref {
 public:
  constexpr Ref() = default;
  static Ref adopt(P* p) { return Ref(p); }  // takes over the count that p was born with
  static Ref share(P* p) {
    if (p) retain(p->refs);
    return Ref(p);
  }
  Ref(const Ref& o) : p_(o.p_) {
    if (p_) retain(p_->refs);
  }
  Ref(Ref&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  Ref& operator=(const Ref& o) {
    if (o.p_) retain(o.p_->refs);
    replace(o.p_);
    return *this;
  }
  Ref& operator=(Ref&& o) noexcept {
    replace(std::exchange(o.p_, nullptr));
    return *this;
  }
  ~Ref() {
    if (p_) drop(p_);
  }
  P* get() const { return p_; }
  P* operator->() const { return p_; }
  P& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  explicit Ref(P* p) : p_(p) {}
  void replace(P* p) {  // p_ is dropped last: what it owns may be this very handle
    P* before = std::exchange(p_, p);
    if (before) drop(before);
  }
  // Out of line: handles are destroyed in very many places.
  [[gnu::noinline]] static void drop(P* p) noexcept {
    if (released(p->refs)) P::destroy(p);
  }
  P* p_ = nullptr;
};

}  // namespace ergo::inline ERGO_BUILD::detail

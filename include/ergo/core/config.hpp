// What every header starts from: the build's inline namespace, the refusal of unsafe floating point, one attribute.
//
// The library lives in `ergo::inline ERGO_BUILD`, named after the way the program is compiled, so that objects of a CPU
// build and of a CUDA build fail to link together instead of disagreeing about the same names at run time.
#pragma once

#if defined(__CUDACC__)
#define ERGO_BUILD cuda_build
#elif defined(ERGO_EMULATED)
#define ERGO_BUILD emulated_build
#else
#define ERGO_BUILD cpu_build
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error \
    "ergo needs IEEE arithmetic: NaN and infinities must propagate. Compile without -ffast-math / -ffinite-math-only."
#endif

#if !defined(__GNUC__)
#error "ergo needs g++ 12, clang++ 14 or nvcc 13, or newer: it uses their vector extensions."
#endif

namespace ergo::inline ERGO_BUILD::detail {
// Whether the address or the thread sanitizer watches this build: memory and time are then not what they are.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// Whether CUDA devices can hold tensors in this build.
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
inline constexpr bool kCuda = true;
#else
inline constexpr bool kCuda = false;
#endif
}  // namespace ergo::inline ERGO_BUILD::detail

// The library is headers alone. A program may also link the archive ergo::compiled, and then defines ERGO_COMPILED: the
// instances that ergo/compiled.hpp lists come from there, and so do long functions that are no templates: those are
// ERGO_ONCE. A program without the archive compiles them out of line, where it calls them. No constructor or destructor
// is ERGO_ONCE: of the several symbols of one, clang++ puts into the archive what that calls.
#if defined(ERGO_COMPILED_EVERYTHING)  // the archive's source that has them
#define ERGO_ONCE __attribute__((used, noinline)) inline
#elif (defined(ERGO_COMPILED) || defined(ERGO_COMPILED_PART)) && !defined(__CUDACC__)
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wgnu-inline-cpp-without-extern"
#pragma clang diagnostic ignored "-Wstatic-local-in-inline"
#define ERGO_ONCE __attribute__((gnu_inline, noinline)) inline
#else  // g++ takes no noinline beside gnu_inline, but inlines no function into one with other options
#define ERGO_ONCE __attribute__((gnu_inline, optimize("no-inline"))) inline
#endif
#else
#define ERGO_ONCE __attribute__((noinline)) inline
#endif

// For everything below an outermost loop that carries a target attribute (cpu/isa.hpp): inlined there, it is compiled
// for that instruction set, at -O0 too.
#define ERGO_INLINE inline __attribute__((always_inline))
#if defined(__CUDACC__)
#pragma nv_diag_suppress 2189  // it takes the attribute on every template for one on a redeclaration
#pragma nv_diag_suppress 554   // it warns of a conversion operator whose constraint fails that it is never called
#pragma nv_diag_suppress 1675  // its front end passes #pragma GCC unroll on, and warns that it does not know it
#endif

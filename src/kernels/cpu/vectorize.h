#pragma once

// Compiles a function once per instruction set and picks at load time. The loops are written for
// the compiler to vectorise; no result depends on the choice, since no operation is reordered or
// fused (but in gram.cpp, which says so). Levels, not processors: a processor's name matches that
// maker's alone. Sanitizers run before the resolvers that pick, so those builds take the portable
// path.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define SUTURE_VECTORIZE \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SUTURE_VECTORIZE
#endif

// For what such a function calls: only inlined code is compiled for its instruction set.
#define SUTURE_INLINE inline __attribute__((always_inline))

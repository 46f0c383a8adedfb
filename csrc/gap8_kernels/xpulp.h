/* The few Xpulp instructions that portable kernels use, in three spellings: the GAP SDK's builtins, `.insn` words for a
 * stock RISC-V compiler (DORY_XPULP_INSN), and plain C for everything else. */
#ifndef DORY_XPULP_H
#define DORY_XPULP_H

#include <stdint.h>

/* DORY_RT_GAP8 is what the application's SDK makefile defines: no guess at the compiler's own macros is needed. */
#if (defined(DORY_RT_GAP8) || defined(__pulp__)) && !defined(DORY_XPULP_INSN)
#define DORY_XPULP_BUILTIN 1
#endif

#if defined(DORY_XPULP_BUILTIN) || defined(DORY_XPULP_INSN)
/* The core reads and writes words at any address (one more cycle across a word); the compiler must not split them. */
typedef uint32_t __attribute__((may_alias)) xp_word_t;

static inline uint32_t xp_load(const void *p) { return *(const xp_word_t *)p; }

static inline void xp_store(void *p, uint32_t v) { *(xp_word_t *)p = v; }
#else
#include <string.h>

static inline uint32_t xp_load(const void *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void xp_store(void *p, uint32_t v) { memcpy(p, &v, sizeof v); }
#endif

/* acc + sum of unsigned byte i of a times signed byte i of b (pv.sdotusp.b); wraps at 32 bits. */
static inline int32_t xp_sdotusp4(uint32_t a, uint32_t b, int32_t acc) {
#if defined(DORY_XPULP_BUILTIN)
  typedef uint8_t v4u __attribute__((vector_size(4)));
  typedef int8_t v4s __attribute__((vector_size(4)));
  return __builtin_pulp_sdotusp4((v4u)a, (v4s)b, acc);
#elif defined(DORY_XPULP_INSN)
  __asm__(".insn r 0x57, 1, 0x54, %0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
  return acc;
#else
  /* Unsigned throughout: products and sums are equal modulo 2^32 and cannot overflow in C's sense. */
  uint32_t sum = (uint32_t)acc;
  sum += (a & 0xffu) * (uint32_t)(int8_t)(b & 0xffu);
  sum += (a >> 8 & 0xffu) * (uint32_t)(int8_t)(b >> 8 & 0xffu);
  sum += (a >> 16 & 0xffu) * (uint32_t)(int8_t)(b >> 16 & 0xffu);
  sum += (a >> 24) * (uint32_t)(int8_t)(b >> 24);
  return (int32_t)sum;
#endif
}

/* acc + x * w, wrapping: a partial sum may leave 32 bits where the whole one is proved not to. */
static inline int32_t xp_mac(int32_t acc, uint32_t x, int8_t w) { return (int32_t)((uint32_t)acc + x * (uint32_t)w); }

#endif

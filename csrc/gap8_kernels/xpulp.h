/* The few Xpulp instructions that portable kernels use, in three spellings: the GAP SDK's builtins, `.insn` words for a
 * stock RISC-V compiler (DORY_XPULP_INSN), and plain C for everything else. */
#ifndef DORY_XPULP_H
#define DORY_XPULP_H

#include <stdint.h>

#if defined(__riscv) && defined(__pulp__)
#define DORY_XPULP_BUILTIN 1
#endif

#if defined(__riscv)
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

/* acc + sum of unsigned byte i of a times signed byte i of b (pv.sdotusp.b). */
static inline int32_t xp_sdotusp4(uint32_t a, uint32_t b, int32_t acc) {
#if defined(DORY_XPULP_BUILTIN)
  typedef uint8_t v4u __attribute__((vector_size(4)));
  typedef int8_t v4s __attribute__((vector_size(4)));
  return __builtin_pulp_sdotusp4((v4u)a, (v4s)b, acc);
#elif defined(DORY_XPULP_INSN)
  __asm__(".insn r 0x57, 1, 0x54, %0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
  return acc;
#else
  for (int i = 0; i < 32; i += 8) acc += (int32_t)(uint8_t)(a >> i) * (int8_t)(uint8_t)(b >> i);
  return acc;
#endif
}

#endif

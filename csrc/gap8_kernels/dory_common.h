/* What several kernels share: the split of work over the team, the taps of a window, copies. */
#ifndef DORY_COMMON_H
#define DORY_COMMON_H

#include <stdint.h>

#include "dory_kernels.h"
#include "dory_requant.h"
#include "dory_rt.h"
#include "xpulp.h"

static inline int32_t dory_lesser(int32_t a, int32_t b) { return a < b ? a : b; }

/* What is left of n after `quotient` times `divisor`; left to itself, the compiler divides a second time for it. */
static inline int32_t dory_rest(int32_t n, int32_t quotient, int32_t divisor) {
  __asm__("" : "+r"(quotient));
  return n - quotient * divisor;
}

/* Items [from, to). */
typedef struct {
  int32_t from, to;
} dory_share_t;

/* A core's share of n items; the shares differ by one item at most. */
static inline dory_share_t dory_share_of(int32_t n, int32_t cores, int32_t core) {
  const int32_t each = cores == 8 ? n >> 3 : n / cores; /* a division takes up to 35 cycles */
  const int32_t rest = dory_rest(n, each, cores);
  const int32_t from = core * each + (core < rest ? core : rest);
  return (dory_share_t){from, from + each + (core < rest)};
}

static inline dory_share_t dory_share(int32_t n) { return dory_share_of(n, drt_core_count(), drt_core_id()); }

/* Kernel positions k in [0, kernel) with 0 <= first + k * dilation < size. Steps rather than divides: inside the tensor
 * there is nothing to step over, and a division takes up to 35 cycles. */
static inline dory_share_t dory_taps(int32_t first, int32_t kernel, int32_t dilation, int32_t size) {
  dory_share_t k = {0, kernel};
  while (k.from < kernel && first + k.from * dilation < 0) k.from++;
  while (k.to > k.from && first + (k.to - 1) * dilation >= size) k.to--;
  return k;
}

/* Elements [c0, c1) of the pixel (y, x) of an HWC tensor. */
typedef struct {
  int32_t y, x, c0, c1;
} dory_run_t;

/* The first elements of [i, to) as far as they lie in one pixel; w columns, c channels. */
static inline dory_run_t dory_run(int32_t i, int32_t to, int32_t w, int32_t c) {
  const int32_t p = i / c, c0 = dory_rest(i, p, c), y = p / w;
  return (dory_run_t){y, dory_rest(p, y, w), c0, c - c0 < to - i ? c : c0 + to - i};
}

/* Not inlined: the instruction cache is small. */
#define DORY_OUT_OF_LINE static __attribute__((noinline, unused))

DORY_OUT_OF_LINE void dory_copy(uint8_t *restrict to, const uint8_t *restrict from, int32_t bytes) {
  int32_t i = 0;
  for (; i + 4 <= bytes; i += 4) xp_store(to + i, xp_load(from + i));
  for (; i < bytes; i++) to[i] = from[i];
}

DORY_OUT_OF_LINE void dory_fill(uint8_t *to, int32_t value, int32_t bytes) {
  for (int32_t i = 0; i < bytes; i++) to[i] = (uint8_t)value;
}

#endif

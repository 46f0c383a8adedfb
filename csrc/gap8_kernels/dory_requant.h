/* From 32-bit accumulators to 8-bit outputs. */
#ifndef DORY_REQUANT_H
#define DORY_REQUANT_H

#include <stdint.h>

#include "dory_kernels.h"
#include "xpulp.h"

static inline int32_t dory_clip(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* zero_point + add + ((acc * mult + (1 << (shift-1))) >> shift) within lo..hi; 1 <= shift <= 62. The product has at most
 * 62 bits and a sign, so that no sum overflows 64; the rounding is half up because the shift is arithmetic (gcc defines >> of
 * negative numbers so). */
static inline uint8_t dory_requant_add(int32_t acc, int32_t mult, int32_t shift, int32_t add, const dory_clip_t *clip) {
  int64_t v = ((int64_t)acc * mult + ((int64_t)1 << (shift - 1))) >> shift;
  v += clip->zero_point + add;
  return (uint8_t)(v < clip->lo ? clip->lo : v > clip->hi ? clip->hi : (int32_t)v);
}

static inline uint8_t dory_requant(int32_t acc, int32_t mult, int32_t shift, const dory_clip_t *clip) {
  return dory_requant_add(acc, mult, shift, 0, clip);
}

/* Constants behind the weights of a group of `group` channels: bias, mult, shift + 64 * add. */
typedef struct {
  const uint8_t *at;
  int32_t group;
} dory_constants_t;

static inline int32_t dory_bias(const dory_constants_t *c, int32_t channel) {
  return (int32_t)xp_load(c->at + 4 * channel);
}

static inline uint8_t dory_finish(const dory_constants_t *c, int32_t channel, int32_t acc, const dory_clip_t *clip) {
  const int32_t mult = (int32_t)xp_load(c->at + 4 * (c->group + channel));
  const int32_t shift = (int32_t)xp_load(c->at + 4 * (2 * c->group + channel));
  return dory_requant_add(acc, mult, shift & 63, shift >> 6, clip);
}

#endif

/* Rescale forms: how a 32-bit sum becomes an 8-bit output, chosen offline for a layer (dory/layers/rescale.py has the
 * proofs). `raw` is the sum of products, without a bias:
 *
 *     narrow   v = (raw * mult + add) >> shift                     32 bits, wrapping; the bias is part of add
 *     mul15    v = ((((raw + bias) * mult) >> 16) + add) >> shift  mult < 2^15, packed twice in its word
 *     wide     v = ((((raw + bias) * mult) >> 32) + add) >> shift
 *     exact    v = (((raw + bias) * mult + (1 << (shift-1))) >> shift) + add    64 bits
 *
 * and y = lo + min(max(v, 0), hi - lo). A group of G channels is int32 bias[G] (not in the narrow form), the weights, then
 * mult, add, shift of each channel. */
#ifndef DORY_FORMS_H
#define DORY_FORMS_H

#include <stdint.h>

#include "dory_kernels.h"
#include "xpulp.h"
#include "xpulp_asm.h"

/* Bytes of the constants of a group of four channels. */
static inline int32_t dory_form_bytes(int32_t form) { return form == DORY_NARROW ? 48 : 64; }

/* Bytes before the weights of a group of four channels. */
static inline int32_t dory_form_head(int32_t form) { return form == DORY_NARROW ? 0 : 16; }

static inline int32_t dory_form_bias(int32_t form, const uint8_t *group, int32_t channel) {
  return form == DORY_NARROW ? 0 : (int32_t)xp_load(group + 4 * channel);
}

/* (sum * mult) >> 16; mult has 15 bits, twice in its word. */
static inline int32_t dory_high_product(int32_t sum, int32_t mult) {
#if defined(__riscv)
  int32_t v;
  /* clang-format off */
  __asm__(XP_BEGIN XP_MULUN(%0, %1, %2, 16) XP_MACHHS(%0, %1, %2) XP_END : "=&r"(v) : "r"(sum), "r"(mult));
  /* clang-format on */
  return v;
#else
  return (int32_t)(((int64_t)sum * (mult & 0xffff)) >> 16);
#endif
}

/* v within 0 .. reach. */
static inline int32_t dory_within(int32_t v, int32_t reach) {
#if defined(__riscv)
  /* clang-format off */
  __asm__(XP_BEGIN XP_CLIPUR(%0, %1, %2) XP_END : "=r"(v) : "r"(v), "r"(reach));
  /* clang-format on */
  return v;
#else
  return v < 0 ? 0 : v > reach ? reach : v;
#endif
}

/* The output of one channel of a group of four, whose constants follow its weights; sum includes the bias in all forms but the narrow one. */
static inline uint8_t dory_form_output(int32_t form, const uint8_t *constants, int32_t channel, int32_t sum,
                                       const dory_clip_t *clip) {
  const uint8_t *c = constants + 12 * channel;
  const int32_t mult = (int32_t)xp_load(c), add = (int32_t)xp_load(c + 4), shift = (int32_t)xp_load(c + 8);
  const int32_t reach = clip->hi - clip->lo;
  int32_t v;
  if (form == DORY_NARROW) {
    v = (int32_t)((uint32_t)sum * (uint32_t)mult + (uint32_t)add) >> shift;
  } else if (form == DORY_MUL15) {
    v = (dory_high_product(sum, mult) + add) >> shift;
  } else if (form == DORY_WIDE) {
    v = ((int32_t)(((int64_t)sum * mult) >> 32) + add) >> shift;
  } else {
    const int64_t wide = (((int64_t)sum * mult + ((int64_t)1 << (shift - 1))) >> shift) + add;
    v = wide < 0 ? 0 : wide > reach ? reach : (int32_t)wide;
  }
  return (uint8_t)(clip->lo + dory_within(v, reach));
}

#endif

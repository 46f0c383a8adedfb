/* Inside the depthwise kernel: packed constants, and the assembly functions where there are any. */
#ifndef DORY_DEPTHWISE_H
#define DORY_DEPTHWISE_H

#include "dory_common.h"

#if defined(__riscv) && (defined(DORY_XPULP_INSN) || defined(DORY_XPULP_BUILTIN))
#define DORY_DW_ASM 1
#endif

/* Behind a channel's weights lie four words: mult, bias, add and shift + (form << 8). The forms are those of
 * dory_forms.h, chosen for each channel; the narrow one's bias is 0. */
enum { DORY_DW_NARROW, DORY_DW_MUL15, DORY_DW_WIDE, DORY_DW_EXACT };

typedef struct {
  int32_t mult, bias, add, shift, form;
} dory_dw_channel_t;

static inline dory_dw_channel_t dory_dw_channel(const uint8_t *at) {
  const int32_t last = (int32_t)xp_load(at + 12);
  const dory_dw_channel_t k = {(int32_t)xp_load(at), (int32_t)xp_load(at + 4), (int32_t)xp_load(at + 8), last & 255,
                               last >> 8};
  return k;
}

/* The output, less the lower end of its range. */
static inline int32_t dory_dw_output(const dory_dw_channel_t *k, int32_t acc, int32_t reach) {
  int32_t v; /* whose sums are proved to fit in all forms but the exact one */
  if (k->form == DORY_DW_NARROW) {
    v = (int32_t)((uint32_t)acc * (uint32_t)k->mult + (uint32_t)k->add) >> k->shift;
  } else if (k->form == DORY_DW_MUL15) {
    v = ((int32_t)(((int64_t)acc * (k->mult & 0xffff)) >> 16) + k->add) >> k->shift;
  } else if (k->form == DORY_DW_WIDE) {
    v = ((int32_t)(((int64_t)acc * k->mult) >> 32) + k->add) >> k->shift;
  } else {
    const int64_t exact = (((int64_t)acc * k->mult + ((int64_t)1 << (k->shift - 1))) >> k->shift) + k->add;
    v = (int32_t)(exact < 0 ? 0 : exact > reach ? reach : exact);
  }
  return v < 0 ? 0 : v > reach ? reach : v;
}

/* How to take a tile apart; bytes. */
typedef struct {
  int32_t c;         /* from pixel to pixel */
  int32_t x_row;     /* from row to row of the input */
  int32_t row_bytes; /* from row to row of a plane */
  int32_t plane;     /* from plane to plane */
} dory_dw_split_t;

/* One band of rows; the assembly functions know the offsets. A strip is four output columns; the last one may overlap
 * the one before. Distances are bytes. */
typedef struct {
  int32_t row_bytes;        /* 0: from row to row of a plane */
  int32_t rounds, enter;    /* 4, 8: rows but for two in threes, rounded up; 0, -1 or 1 when there are 0, 1 or 2 rows
                               less, 2 when there are no rounds */
  int32_t strips;           /* 12 */
  int32_t c;                /* 16: from one output of the channel to the next */
  int32_t y_row;            /* 20: from the fourth output of a strip to the first one in the next row */
  int32_t rewind, y_rewind; /* 24, 28: from behind a strip's last row to the next strip's first, downwards */
  int32_t rows;             /* 32 */
  int32_t plane;            /* 36: from plane to plane */
  int32_t back, y_back;     /* 40, 44: how far the last strip begins before its place */
  int32_t y_next;           /* 48: from a channel's outputs to those of the next */
  int32_t x_after, y_after; /* 52, 56: from behind a channel's last strip to the next channel's first, of 3x3 kernels */
  int32_t reach;            /* 60: the largest output; the smallest is 0 */
  int32_t turns;            /* 64: twice the strips but one, odd when the last one does not overlap */
} dory_dw_job_t;

#ifdef DORY_DW_ASM
/* Convolve consecutive channels as long as their form is the function's; return how many are left. */
typedef int32_t dory_dw_fn(const uint8_t *plane, const uint8_t *w, uint8_t *y, const dory_dw_job_t *j,
                           int32_t channels);
dory_dw_fn dory_dw_3x3_s1_narrow, dory_dw_3x3_s1_mul15, dory_dw_3x3_s2_narrow, dory_dw_3x3_s2_mul15;
dory_dw_fn dory_dw_3x3_s2_even_narrow, dory_dw_3x3_s2_even_mul15;
dory_dw_fn dory_dw_5x5_s1_narrow, dory_dw_5x5_s1_mul15;
dory_dw_fn dory_dw_3x3_s1_wide, dory_dw_3x3_s2_wide, dory_dw_3x3_s2_even_wide, dory_dw_5x5_s1_wide;
void dory_dw_split4(const uint8_t *x, uint8_t *planes, const dory_dw_split_t *s, int32_t rows, int32_t blocks);
void dory_dw_fill(uint8_t *at, uint32_t word, int32_t words, int32_t step);
#endif

#endif

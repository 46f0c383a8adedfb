/* Shapes of a convolution, and what its parts know on the core. To be included by one C file. */
#ifndef DORY_CONV_WORK_H
#define DORY_CONV_WORK_H

#include "dory_common.h"
#include "dory_forms.h"

static inline int32_t round4(int32_t n) { return (n + 3) / 4 * 4; }

static inline int32_t taps_of(const dory_conv_args_t *a) { return a->win.kernel_h * a->win.kernel_w; }

static inline int32_t k_of(const dory_conv_args_t *a) { return taps_of(a) * a->c_in; }

enum { FLAT_CHANNELS = 16, FLAT_K = 320, FIVE = 5 };

/* Whether the input is gathered first, if it isn't read in place, into rows of all of K without gaps. Otherwise every tap's channels are filled up
 * to whole words, and read where they are. */
static inline int is_flat(const dory_conv_args_t *a) {
  if (a->c_in % 4) return a->c_in <= FLAT_CHANNELS;
  return taps_of(a) > 1 && k_of(a) <= FLAT_K;
}

static inline int32_t k4_of(const dory_conv_args_t *a) {
  if (!is_flat(a)) return taps_of(a) * round4(a->c_in);
  return k_of(a) > 4 ? round4(k_of(a)) : 8; /* a pixel has at least two words */
}

static inline int32_t greater(int32_t a, int32_t b) { return a > b ? a : b; }

/* Whether every tap of every pixel lies inside the tensor. */
DORY_OUT_OF_LINE int all_inside(const dory_conv_args_t *a) {
  const dory_window_t *win = &a->win;
  return win->pad_t == 0 && win->pad_l == 0 &&
         (a->h_out - 1) * win->stride_h + (win->kernel_h - 1) * win->dil_h < a->h_in &&
         (a->w_out - 1) * win->stride_w + (win->kernel_w - 1) * win->dil_w < a->w_in;
}

/* Rows and columns of a copy with padding: all that the windows read; columns of four outputs at least, and as many as
 * make rows begin on words. */
static inline int32_t padded_rows(const dory_conv_args_t *a) {
  return (a->h_out - 1) * a->win.stride_h + (a->win.kernel_h - 1) * a->win.dil_h + 1;
}

static inline int32_t padded_columns(const dory_conv_args_t *a) {
  return round4((greater(a->w_out, 4) - 1) * a->win.stride_w + (a->win.kernel_w - 1) * a->win.dil_w + 1);
}

static inline int32_t padded_bytes(const dory_conv_args_t *a) {
  return a->in_place && taps_of(a) > 1 && !all_inside(a) ? padded_rows(a) * padded_columns(a) * a->c_in : 0;
}

/* Whether windows of whole words are read as rows, where they lie inside; a row has two words at least. */
static inline int is_rows(const dory_conv_args_t *a) {
  return a->in_place && a->c_in % 4 == 0 && taps_of(a) > 1 && a->win.dil_w == 1 && a->win.kernel_w * a->c_in >= 8;
}

/* Whether neighbouring windows that are read as rows share two of their three columns. */
static inline int slides(const dory_conv_args_t *a) { return a->win.kernel_w == 3 && a->win.stride_w == 1; }

/* Pixels that are gathered at a time. */
static inline int32_t flat_pixels(int32_t k4) { return k4 <= 32 ? 4 * FIVE : k4 <= 64 ? 2 * FIVE : FIVE; }

#if defined(__riscv)
#include "dory_conv_blocks.h"

/* Rows of windows, to be copied to rows without gaps. Steps are from the last word of a row (the end of it, for more
 * than three words) to the next row, and from the end of the rows to the next pixel. */
typedef struct {
  int32_t words, rows;
  int32_t row_from, row_to, pixel_from, pixel_to;
} windows_t;

typedef struct {
  const dory_conv_args_t *a;
  block_fn_t *run; /* of this form */
  dory_blocks_t b;
  const uint8_t *w; /* of group 0 */
  int32_t pixels, groups, group_bytes;
  int32_t pitch;     /* from row to row of the input */
  int32_t words;     /* of K */
  uint8_t *rows;     /* gathered ones, of this core */
  windows_t windows; /* whole ones */
  int whole;         /* all of them, and what their copies run over, lie inside */
  int32_t row_words, reach_y;
  int32_t at, oy, ox;             /* next pixel to be gathered */
  int32_t from_column, to_column; /* of the output: windows inside the tensor */
  int32_t last_column;            /* as to_column, for windows that reach the last row */
} work_t;
#endif

#endif

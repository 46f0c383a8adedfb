/* Geometry of tiles and their transfers. */
#ifndef DORY_TILE_H
#define DORY_TILE_H

#include <stdint.h>

#include "dory_rt.h"

static inline int32_t dory_min(int32_t a, int32_t b) { return a < b ? a : b; }

static inline int32_t dory_max(int32_t a, int32_t b) { return a > b ? a : b; }

/* One axis of a tile: it reads inputs [i0, i0 + in) and sees pad_lo positions before and pad_hi behind them. */
typedef struct {
  int32_t i0, in, pad_lo, pad_hi;
} dory_range_t;

/* Inputs that outputs [o0, o0 + on) read; span is (kernel - 1) * dilation + 1. Equal to Window.in_range. */
static inline dory_range_t dory_range(int32_t o0, int32_t on, int32_t stride, int32_t pad, int32_t span, int32_t size) {
  const int32_t lo = o0 * stride - pad, hi = (o0 + on - 1) * stride - pad + span;
  const int32_t i0 = dory_min(dory_max(lo, 0), size), i1 = dory_max(i0, dory_max(dory_min(hi, size), 0));
  return (dory_range_t){i0, i1 - i0, dory_min(dory_max(-lo, 0), hi - lo), dory_min(dory_max(hi - size, 0), hi - lo)};
}

/* Rows [row, row + rows), columns [col, col + cols) and channels [c0, c0 + cn) of a tensor with `width` columns and
 * `channels` channels, as the fewest two-dimensional copies: none, one, or one a row when columns and channels are both
 * partial. */
static inline void dory_tile_in(drt_dma_t *job, uint8_t *l1, const uint8_t *tensor, int32_t width, int32_t channels,
                                int32_t row, int32_t rows, int32_t col, int32_t cols, int32_t c0, int32_t cn) {
  const uint8_t *from = tensor + (row * width + col) * channels + c0;
  if (rows <= 0 || cols <= 0) return;
  if (cn == channels) {
    if (cols == width) {
      drt_dma_in(job, l1, from, 1, (uint32_t)(rows * cols * cn), 0);
    } else {
      drt_dma_in(job, l1, from, (uint32_t)rows, (uint32_t)(cols * cn), (uint32_t)(width * channels));
    }
  } else if (cols == width) {
    drt_dma_in(job, l1, from, (uint32_t)(rows * cols), (uint32_t)cn, (uint32_t)channels);
  } else {
    for (int32_t r = 0; r < rows; r++) {
      drt_dma_in(job, l1 + r * cols * cn, from + r * width * channels, (uint32_t)cols, (uint32_t)cn,
                 (uint32_t)channels);
    }
  }
}

static inline void dory_tile_out(drt_dma_t *job, const uint8_t *l1, uint8_t *tensor, int32_t width, int32_t channels,
                                 int32_t row, int32_t rows, int32_t col, int32_t cols, int32_t c0, int32_t cn) {
  uint8_t *to = tensor + (row * width + col) * channels + c0;
  if (cn == channels) {
    if (cols == width) {
      drt_dma_out(job, to, l1, 1, (uint32_t)(rows * cols * cn), 0);
    } else {
      drt_dma_out(job, to, l1, (uint32_t)rows, (uint32_t)(cols * cn), (uint32_t)(width * channels));
    }
  } else if (cols == width) {
    drt_dma_out(job, to, l1, (uint32_t)(rows * cols), (uint32_t)cn, (uint32_t)channels);
  } else {
    for (int32_t r = 0; r < rows; r++) {
      drt_dma_out(job, to + r * width * channels, l1 + r * cols * cn, (uint32_t)cols, (uint32_t)cn, (uint32_t)channels);
    }
  }
}

#endif

/* The loop over a layer's tiles, the same code for every layer, so that it stays in the instruction cache. */
#ifndef DORY_ENGINE_H
#define DORY_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "dory_ctx.h"
#include "dory_kernels.h"
#include "dory_tile.h"

#ifdef DORY_SUBBYTE /* some layer has operands of fewer than 8 bits */
#include "dory_subbyte.h"
#endif

#define DORY_MAX_INPUTS 8

/* One input of a layer: the tensor's height x width x channels (bytes), how tiles read it, and its two buffers in L1. */
typedef struct {
  int32_t height, width, channels;
  int32_t stride_h, stride_w, pad_t, pad_l, span_h, span_w;
  int32_t slice; /* a tile reads its own channels; else all */
  int32_t kept;  /* the layer before has left it in L1 */
#ifdef DORY_SUBBYTE
  int32_t shift; /* 1 << shift elements a byte */
#endif
  uint32_t l1[2];
} dory_input_t;

/* Part of a layer's output, [h0, h0 + h) x [w0, w0 + w) x [c0, c0 + c). */
typedef struct {
  int32_t h0, w0, c0;
  int32_t h, w, c;
} dory_place_t;

/* A tile that the cores compute: its place, what it reads, and its buffers in L1. */
typedef struct {
  dory_place_t at;
  dory_range_t rows[DORY_MAX_INPUTS], cols[DORY_MAX_INPUTS];
  uint8_t *x[DORY_MAX_INPUTS];
  uint8_t *weights;
  uint8_t *y;
  uint8_t *l1;         /* the arena, for scratch */
  int32_t from, depth; /* input channels of the step, in layers that take them in steps (dory_sums.h) */
#ifdef DORY_SUBBYTE
  dory_subbyte_args_t *subbyte;
  int32_t fresh; /* what has come with this tile */
#endif
} dory_tile_t;

#ifdef DORY_SUBBYTE
enum { DORY_FRESH_X = 1, DORY_FRESH_W = 2 };
#endif

enum { DORY_INPUTS = 1, DORY_WEIGHTS = 2, DORY_OUTPUT = 4 };

typedef struct {
  int32_t out_h, out_w, out_c;
  int32_t tile_h, tile_w, tile_c;
  int32_t inputs_outer; /* channels are the innermost loop, else the outermost */
  int32_t single;       /* DORY_INPUTS, ... that have one buffer: they come behind the kernel of the tile before */
  int32_t stays;        /* the output stays in L1, and nobody wants it in L2 */
  int32_t group, group_bytes; /* packed weights: bytes for each `group` channels; group 0: one block for all */
  int32_t w_step;             /* bytes of weights of a full tile; 0: none */
  uint32_t w_l1[2], y_l1[2];
  void (*kernel)(const void *args);                                           /* runs on every core of the team */
  void (*fill)(const dory_tile_t *restrict tile, dory_args_t *restrict args); /* the kernel's arguments for a tile */
#ifdef DORY_SUBBYTE
  int32_t subbyte; /* the kernel is dory_subbyte */
  int32_t y_shift; /* 1 << y_shift elements of the output a byte */
#endif
  int32_t cores;
  int32_t inputs;
  const dory_input_t *x;
} dory_layer_t;

/* Part of a layer whose operands lie in L2: output rows [h0, h1), all channels. x_row and y_row are the tensor rows that
 * the pointers point to. Weights come in parts of part_c channels (0: one part) in a ring of slots from w on, the first
 * one in `slot`; part k is there when the stream has passed point + k. */
typedef struct {
  int32_t h0, h1;
  const uint8_t *x[DORY_MAX_INPUTS];
  int32_t x_row[DORY_MAX_INPUTS];
  uint8_t *y;
  int32_t y_row;
  const uint8_t *w;
  int32_t part_c;
  uint32_t slot, slots, slot_bytes, point;
} dory_block_t;

/* Loads of the next tile and stores of the last one run while the cores compute the current one. `bytes`: of the layer with
 * its inputs, which follow it at once. */
void dory_run_block(const dory_ctx_t *ctx, const dory_layer_t *layer, uint32_t bytes, const dory_block_t *block);

#endif

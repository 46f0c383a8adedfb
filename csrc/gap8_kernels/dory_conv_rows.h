/* Windows as rows of contiguous words at equal distances, on the core. To be included by one C file. */
#ifndef DORY_CONV_ROWS_H
#define DORY_CONV_ROWS_H

#include "dory_conv_work.h"

/* Blocks of `size` pixels in each row of the output, `count` from the column `first` on. */
typedef struct {
  block_fn_t *run;
  int32_t size, first, count;
} row_blocks_t;

/* Groups [g0, g1) of blocks [i, i + blocks) of output row y. */
DORY_OUT_OF_LINE void run_row(work_t *k, const row_blocks_t *s, int32_t y, int32_t i, int32_t blocks, int32_t g0,
                              int32_t g1) {
  const dory_conv_args_t *a = k->a;
  const int32_t x = s->first + i * s->size;
  k->b.x = a->x + y * a->win.stride_h * k->pitch + x * a->win.stride_w * a->c_in;
  k->b.y = a->y + (y * a->w_out + x) * a->c_out + 4 * g0;
  k->b.w = k->w + g0 * k->group_bytes;
  k->b.groups = g1 - g0;
  k->b.blocks = blocks;
  k->b.y_step = s->size * a->c_out - 4 * k->b.groups;
  s->run(&k->b);
}

/* This core's share of blocks x groups. */
DORY_OUT_OF_LINE void run_row_blocks(work_t *k, const row_blocks_t *s, int32_t groups) {
  const dory_conv_args_t *a = k->a;
  if (s->count == 0 || groups == 0) return;
  /* The larger shares of blocks of 4 go to the cores with the smaller ones of blocks of 5. */
  const int32_t cores = drt_core_count(), core = drt_core_id();
  const dory_share_t share = dory_share_of(a->h_out * s->count * groups, cores, s->size == 4 ? cores - 1 - core : core);
  int32_t left = share.to - share.from, block = share.from ? share.from / groups : 0;
  int32_t g0 = share.from - block * groups, y = block / s->count, i = block - y * s->count;
  const int32_t distance = a->win.stride_w * a->c_in;
  k->b.y_stride = a->c_out;
  k->b.y_back = 4 - (s->size - 1) * a->c_out;
  k->b.x_step = s->size * distance;
  k->b.offset[0] = distance;
  k->b.offset[1] = s->size == FIVE ? 4 - 4 * distance : 2 * distance;
  k->b.offset[2] = 3 * distance;
  while (left > 0) {
    int32_t blocks = 1, g1 = groups;
    if (g0 > 0 || left < groups) {
      g1 = dory_lesser(groups, g0 + left);
    } else {
      blocks = s->count - i;
      if (blocks * groups > left) blocks = left / groups;
    }
    run_row(k, s, y, i, blocks, g0, g1);
    left -= blocks * (g1 - g0);
    g0 = 0;
    i += blocks;
    if (i == s->count) i = 0, y++;
  }
}

/* Rows of the output in blocks of 5 and up to four of 4; 0 where they don't come out even. */
DORY_OUT_OF_LINE int run_in_rows(work_t *k, int32_t groups, block_fn_t *five, block_fn_t *four) {
  const int32_t w = k->a->w_out, fours = (5 - w % 5) % 5, fives = (w - 4 * fours) / 5;
  if (4 * fours > w) return 0;
  const row_blocks_t s5 = {five, FIVE, 0, fives}, s4 = {four, 4, 5 * fives, fours};
  run_row_blocks(k, &s5, groups);
  run_row_blocks(k, &s4, groups);
  return 1;
}

#endif

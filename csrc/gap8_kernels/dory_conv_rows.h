/* Windows as rows of contiguous words at equal distances, on the core. To be included by one C file. */
#ifndef DORY_CONV_ROWS_H
#define DORY_CONV_ROWS_H

#include "dory_conv_work.h"

/* Blocks of the output, one behind the other in lines: rows from column x on, or columns (down). */
typedef struct {
  int32_t size, x, lines, blocks, down;
} patch_t;

static inline void set_steps(work_t *k, const patch_t *p) {
  const dory_conv_args_t *a = k->a;
  const int32_t distance = p->down ? a->win.stride_h * k->pitch : a->win.stride_w * a->c_in;
  const int32_t y_stride = p->down ? a->w_out * a->c_out : a->c_out;
  k->b.y_stride = y_stride;
  k->b.y_back = 4 - (p->size - 1) * y_stride;
  k->b.x_step = p->size * distance;
  k->b.offset[0] = distance;
  k->b.offset[1] = p->size == FIVE ? 4 - 4 * distance : 2 * distance;
  k->b.offset[2] = 3 * distance;
}

/* This core's share of blocks x groups. */
DORY_OUT_OF_LINE void run_patch(work_t *k, block_fn_t *run, const patch_t *p, int32_t groups, int second) {
  const dory_conv_args_t *a = k->a;
  const int32_t units = p->lines * p->blocks * groups, cores = drt_core_count(), core = drt_core_id();
  if (units == 0) return;
  /* The larger shares of a second patch go to the cores with the smaller ones of the first. */
  const dory_share_t share = dory_share_of(units, cores, second ? cores - 1 - core : core);
  int32_t left = share.to - share.from, block = share.from ? share.from / groups : 0;
  int32_t g0 = share.from - block * groups, line = block ? block / p->blocks : 0, i = block - line * p->blocks;
  while (left > 0) {
    int32_t blocks = 1, g1 = groups;
    if (g0 > 0 || left < groups) {
      g1 = dory_lesser(groups, g0 + left);
    } else {
      blocks = p->blocks - i;
      if (blocks * groups > left) blocks = left / groups;
    }
    const int32_t y = p->down ? p->size * i : line, x = p->x + (p->down ? line : p->size * i);
    k->b.x = a->x + y * a->win.stride_h * k->pitch + x * a->win.stride_w * a->c_in;
    k->b.y = a->y + (y * a->w_out + x) * a->c_out + 4 * g0;
    k->b.w = k->w + g0 * k->group_bytes;
    k->b.groups = g1 - g0;
    k->b.blocks = blocks;
    k->b.y_step = p->size * k->b.y_stride - 4 * k->b.groups;
    run(&k->b);
    left -= blocks * (g1 - g0);
    g0 = 0;
    i += blocks;
    if (i == p->blocks) i = 0, line++;
  }
}

/* Rows of the output in blocks of five and up to four of four; 0 where they don't come out even. */
DORY_OUT_OF_LINE int run_in_rows(work_t *k, int32_t groups, block_fn_t *five, block_fn_t *four) {
  const int32_t h = k->a->h_out, w = k->a->w_out, fours = (5 - w % 5) % 5, fives = (w - 4 * fours) / 5;
  if (4 * fours > w) return 0;
  const patch_t rows5 = {FIVE, 0, h, fives, 0}, rows4 = {4, 5 * fives, h, fours, 0};
  set_steps(k, &rows5);
  run_patch(k, five, &rows5, groups, 0);
  set_steps(k, &rows4);
  run_patch(k, four, &rows4, groups, 1);
  return 1;
}

/* Where a block of four pixels of the last rows and columns reads and writes; absent ones repeat the last. */
DORY_OUT_OF_LINE void point_at_corner(work_t *k, int32_t rows, int32_t columns, int32_t block, uint8_t *to[4]) {
  const dory_conv_args_t *a = k->a;
  int32_t y = a->h_out - rows, x = a->w_out - columns + 4 * block;
  while (x >= a->w_out) x -= columns, y++;
  for (int32_t i = 0; i < 4; i++) {
    const uint8_t *from = a->x + y * a->win.stride_h * k->pitch + x * a->win.stride_w * a->c_in;
    if (i) {
      k->b.offset[i - 1] = from - k->b.x;
    } else {
      k->b.x = from;
    }
    to[i] = a->y + (y * a->w_out + x) * a->c_out;
    if (x + 1 < a->w_out) {
      x++;
    } else if (y + 1 < a->h_out) {
      x -= columns - 1, y++;
    }
  }
}

/* A corner's outputs go by way of a buffer: its pixels are anywhere. */
DORY_OUT_OF_LINE void run_corner(work_t *k, block_fn_t *run, int32_t rows, int32_t columns, int32_t groups) {
  const int32_t cores = drt_core_count();
  const dory_share_t share = dory_share_of((rows * columns + 3) / 4 * groups, cores, cores - 1 - drt_core_id());
  uint8_t buffer[16] __attribute__((aligned(4)));
  uint8_t *to[4];
  int32_t block = 0, g = share.from, known = -1;
  while (g >= groups) g -= groups, block++;
  k->b.y_stride = 4;
  k->b.y_back = -8;
  k->b.blocks = k->b.groups = 1;
  for (int32_t unit = share.from; unit < share.to; unit++) {
    if (block != known) point_at_corner(k, rows, columns, known = block, to);
    k->b.w = k->w + g * k->group_bytes;
    k->b.y = buffer;
    run(&k->b);
    for (int32_t i = 0; i < 4; i++) xp_store(to[i] + 4 * g, xp_load(buffer + 4 * i));
    if (++g == groups) g = 0, block++;
  }
}

/* Windows of three columns, one pixel apart: rows of the output in blocks of four neighbours, which share what they
 * read; the columns that are left in blocks of four rows, and a corner. */
DORY_OUT_OF_LINE void run_slides(work_t *k, int32_t groups, block_fn_t *slide, block_fn_t *four) {
  const dory_conv_args_t *a = k->a;
  const int32_t h = a->h_out, r = a->w_out & 3;
  patch_t p = {4, 0, h, a->w_out >> 2, 0};
  set_steps(k, &p);
  k->b.words = a->c_in / 4;
  k->b.x_jump += 2 * a->c_in;
  k->b.offset[1] = 4 - 5 * a->c_in;
  k->b.offset[2] = 4 * a->c_in - 12;
  run_patch(k, slide, &p, groups, 0);
  k->b.words = 3 * (a->c_in / 4);
  k->b.x_jump -= 2 * a->c_in;
  if (r == 0) return;
  p.x = a->w_out - r, p.lines = r, p.blocks = h >> 2, p.down = 1;
  set_steps(k, &p);
  run_patch(k, four, &p, groups, 1);
  if (h & 3 && groups) run_corner(k, four, h & 3, r, groups);
}

#endif

/* Windows as runs of contiguous words, on the core. To be included by one C file. */
#ifndef DORY_CONV_RUNS_H
#define DORY_CONV_RUNS_H

#include "dory_conv_work.h"

/* Top left input positions of four pixels; absent ones repeat the last. */
typedef struct {
  int32_t y[4], x[4];
} corners_t;

DORY_OUT_OF_LINE void corners_of(const work_t *k, int32_t p0, corners_t *c) {
  const dory_conv_args_t *a = k->a;
  int32_t oy = p0 / a->w_out, ox = p0 - oy * a->w_out;
  for (int32_t i = 0; i < 4; i++) {
    c->y[i] = oy * a->win.stride_h - a->win.pad_t;
    c->x[i] = ox * a->win.stride_w - a->win.pad_l;
    if (i + 1 < k->pixels && ++ox == a->w_out) ox = 0, oy++;
  }
}

/* The scratch of a convolution with runs. */
typedef struct {
  const uint8_t *padding; /* a kernel row of it */
  const uint8_t *last;    /* the last pixel and zeros, when it must not be read beyond */
  uint32_t *table;
} runs_t;

/* Addresses of a tap, or of a row of taps, of the four pixels. */
static inline void put_run(uint32_t *to, const uint8_t *const from[4]) {
  const uint32_t first = (uint32_t)from[0];
  to[0] = first;
  to[1] = (uint32_t)from[1] - first;
  to[2] = (uint32_t)from[2] - first;
  to[3] = (uint32_t)from[3] - first;
}

/* Four windows whose columns are inside the tensor: a run for each row. */
DORY_OUT_OF_LINE void fill_rows(const dory_conv_args_t *a, uint32_t *to, const corners_t *at, const uint8_t *padding) {
  const int32_t row_bytes = a->w_in * a->c_in, step = a->win.dil_h * row_bytes;
  const uint8_t *from[4];
  for (int32_t i = 0; i < 4; i++) from[i] = a->x + at->y[i] * row_bytes + at->x[i] * a->c_in;
  const int32_t last = at->y[3] + (a->win.kernel_h - 1) * a->win.dil_h;
  if (at->y[0] >= 0 && last < a->h_in) {
    for (int32_t ky = 0; ky < a->win.kernel_h; ky++, to += 4) {
      put_run(to, from);
      for (int32_t i = 0; i < 4; i++) from[i] += step;
    }
    return;
  }
  for (int32_t ky = 0; ky < a->win.kernel_h; ky++, to += 4) {
    const uint8_t *row[4];
    for (int32_t i = 0; i < 4; i++) {
      const int32_t iy = at->y[i] + ky * a->win.dil_h;
      row[i] = iy >= 0 && iy < a->h_in ? from[i] + ky * step : padding;
    }
    put_run(to, row);
  }
}

/* Any four windows: a run for each tap. */
DORY_OUT_OF_LINE void fill_taps(const dory_conv_args_t *a, uint32_t *to, const corners_t *at, const runs_t *r) {
  const dory_window_t *win = &a->win;
  const int32_t row_bytes = a->w_in * a->c_in, step = win->dil_w * a->c_in;
  const uint8_t *const end = r->last ? a->x + a->h_in * row_bytes - a->c_in : 0;
  for (int32_t i = 0; i < 4; i++) {
    uint32_t *tap = to + i;
    for (int32_t ky = 0; ky < win->kernel_h; ky++) {
      const int32_t iy = at->y[i] + ky * win->dil_h;
      const int inside = iy >= 0 && iy < a->h_in;
      const uint8_t *pixel = a->x + iy * row_bytes + at->x[i] * a->c_in;
      int32_t ix = at->x[i];
      for (int32_t kx = 0; kx < win->kernel_w; kx++, ix += win->dil_w, pixel += step, tap += 4) {
        const uint8_t *from = inside && ix >= 0 && ix < a->w_in ? pixel : r->padding;
        if (from == end) from = r->last;
        *tap = (uint32_t)from - (i ? tap[-i] : 0);
      }
    }
  }
}

DORY_OUT_OF_LINE void fill_table(work_t *k, const runs_t *r, int32_t p0) {
  const dory_conv_args_t *a = k->a;
  const dory_window_t *win = &a->win;
  const int32_t words = round4(a->c_in) / 4;
  corners_t at;
  corners_of(k, p0, &at);
  int whole_rows = win->dil_w == 1 && a->c_in % 4 == 0;
  for (int32_t i = 0; i < 4; i++) whole_rows = whole_rows && at.x[i] >= 0 && at.x[i] + win->kernel_w <= a->w_in;
  if (whole_rows) {
    fill_rows(a, r->table, &at, r->padding);
    k->b.runs = win->kernel_h;
    k->b.words = win->kernel_w * words;
  } else {
    fill_taps(a, r->table, &at, r);
    k->b.runs = taps_of(a);
    k->b.words = words;
  }
  uint32_t *end = r->table + 4 * k->b.runs;
  end[0] = end[1] = end[2] = end[3] = 0; /* read, not used */
}

/* All cores fill their part of the common scratch. */
DORY_OUT_OF_LINE void prepare_runs(const work_t *k, runs_t *r) {
  const dory_conv_args_t *a = k->a;
  const int32_t c4 = round4(a->c_in), row = a->win.kernel_w * c4;
  uint8_t *last = a->scratch + row;
  r->padding = a->scratch;
  r->table = (uint32_t *)(last + c4 + drt_core_id() * 16 * (taps_of(a) + 1));
  r->last = a->c_in % 4 ? last : 0;
  const dory_share_t share = dory_share(row / 4);
  for (int32_t i = share.from; i < share.to; i++) xp_store(a->scratch + 4 * i, (uint32_t)a->pad_value * 0x01010101u);
  if (r->last && drt_core_id() == 0 && a->h_in * a->w_in > 0) { /* a tile may see padding alone */
    dory_copy(last, a->x + (a->h_in * a->w_in - 1) * a->c_in, a->c_in);
    for (int32_t i = a->c_in; i < c4; i++) last[i] = 0;
  }
  drt_team_barrier();
}

#endif

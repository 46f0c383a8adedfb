/* A copy of the tile with its padding, on the core. To be included by one C file. */
#ifndef DORY_CONV_PAD_H
#define DORY_CONV_PAD_H

#include "dory_conv_work.h"

/* clang-format off */
/* n bytes, at any address. */
DORY_OUT_OF_LINE void copy_span(uint8_t *to, const uint8_t *from, int32_t n) {
  uint32_t u, v;
  const int32_t rest = n & 7;
  if (n >= 8) {
    __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[pairs], 4) XP_LW_POST(%[u], 4, %[from]) XP_LW_POST(%[v], 4, %[from])
                         XP_SW_POST(%[u], 4, %[to]) XP_SW_POST(%[v], 4, %[to]) XP_END
                     : [u] "=&r"(u), [v] "=&r"(v), [from] "+r"(from), [to] "+r"(to)
                     : [pairs] "r"(n >> 3)
                     : "memory");
  }
  if (rest == 0) return;
  if (rest >= 4) xp_store(to, xp_load(from));
  if (n >= 4) {
    xp_store(to + rest - 4, xp_load(from + rest - 4)); /* some of it once more */
  } else {
    for (int32_t i = 0; i < n; i++) to[i] = from[i];
  }
}

static inline void fill_words(uint8_t *to, uint32_t word, int32_t n) {
  if (n >= 2) {
    __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[pairs], 2) XP_SW_POST(%[word], 4, %[to]) XP_SW_POST(%[word], 4, %[to]) XP_END
                     : [to] "+r"(to)
                     : [pairs] "r"(n >> 1), [word] "r"(word)
                     : "memory");
  }
  if (n & 1) xp_store(to, word);
}
/* clang-format on */

/* Rows of the copy, `row` bytes each, of which [left, end) are the tensor's; from and to are multiples of 4. */
typedef struct {
  const dory_conv_args_t *a;
  int32_t row, left, end;
  uint32_t word; /* of padding */
} pads_t;

/* Bytes [from, to) of row y. Padding comes first, in words, which may reach into the tensor's bytes. */
static inline void pad_part(const pads_t *p, int32_t y, int32_t from, int32_t to) {
  const dory_conv_args_t *a = p->a;
  uint8_t *const line = a->scratch + y * p->row;
  const int32_t iy = y - a->win.pad_t;
  if (iy < 0 || iy >= a->h_in) {
    fill_words(line + from, p->word, (to - from) / 4);
    return;
  }
  const int32_t left = dory_lesser(round4(p->left), to), right = greater(p->end & ~3, from);
  if (from < left) fill_words(line + from, p->word, (left - from) / 4);
  if (right < to) fill_words(line + right, p->word, (to - right) / 4);
  const int32_t begin = greater(p->left, from), end = dory_lesser(p->end, to);
  if (begin < end) copy_span(line + begin, a->x + iy * a->w_in * a->c_in + begin - p->left, end - begin);
}

/* Rows [from, to). */
DORY_OUT_OF_LINE void pad_rows(const pads_t *p, int32_t from, int32_t to) {
  const dory_conv_args_t *a = p->a;
  const int32_t own = p->end - p->left, right = p->end & ~3, before = round4(p->left) / 4,
                behind = (p->row - right) / 4;
  uint8_t *line = a->scratch + from * p->row;
  const uint8_t *x = a->x + (from - a->win.pad_t) * own;
  for (int32_t iy = from - a->win.pad_t; iy < to - a->win.pad_t; iy++, line += p->row, x += own) {
    if (iy < 0 || iy >= a->h_in) {
      fill_words(line, p->word, p->row / 4);
      continue;
    }
    fill_words(line, p->word, before);
    fill_words(line + right, p->word, behind);
    copy_span(line + p->left, x, own);
  }
}

/* Bytes from row to row. Within what the columns leave, rows of the next output begin two banks further on: cores at
 * different rows would wait for each other otherwise. */
static inline int32_t padded_pitch(const dory_conv_args_t *a) {
  const dory_window_t *win = &a->win;
  const int32_t most = padded_columns(a) * a->c_in;
  if (a->c_in % 4) return most;
  int32_t pitch = ((a->w_out - 1) * win->stride_w + (win->kernel_w - 1) * win->dil_w + 1) * a->c_in;
  while (pitch < most && (win->stride_h * pitch / 4) % 16 != 2) pitch += 4;
  return pitch;
}

/* All cores copy rows, or parts of few rows; then *own is a tile whose windows lie inside. Bytes from row to row. */
DORY_OUT_OF_LINE int32_t pad_tile(const dory_conv_args_t *a, dory_conv_args_t *own) {
  const int32_t rows = padded_rows(a), row = padded_pitch(a);
  const int32_t parts = dory_lesser((2 * drt_core_count() + rows - 1) / rows, row / 64 + 1); /* one of many rows */
  const int32_t part = parts == 1 ? row : round4(row / parts + 1);
  const int32_t left = a->win.pad_l * a->c_in;
  const pads_t p = {a, row, left, left + a->w_in * a->c_in, (uint32_t)a->pad_value * 0x01010101u};
  const dory_share_t share = dory_share(rows * parts);
  if (parts == 1) {
    pad_rows(&p, share.from, share.to);
  } else {
    int32_t y = share.from / parts, from = (share.from - y * parts) * part;
    for (int32_t i = share.from; i < share.to; i++) {
      const int32_t to = dory_lesser(from + part, row);
      if (from < to) pad_part(&p, y, from, to);
      from += part;
      if (from >= parts * part) from = 0, y++;
    }
  }
  *own = *a;
  own->x = a->scratch;
  own->scratch = a->scratch + padded_bytes(a);
  own->h_in = rows;
  own->w_in = padded_columns(a);
  own->win.pad_t = own->win.pad_l = 0;
  drt_team_barrier();
  return row;
}

#endif

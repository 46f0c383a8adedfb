/* Windows gathered into rows, on the core. To be included by one C file. */
#ifndef DORY_CONV_GATHER_H
#define DORY_CONV_GATHER_H

#include "dory_conv_work.h"

/* clang-format off */
/* One loop inside the other: instructions for a row, the last load and the last store with the steps between rows. */
#define COPY_(ROW, length)                                                                                           \
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(1, %[pixels], length + 3)                                                    \
                       XP_LP_SETUP(0, %[rows], length) ROW                                                           \
                       "add %[from], %[from], %[pf]\nadd %[to], %[to], %[pt]\n" XP_END                               \
                   : [u] "=&r"(u), [v] "=&r"(v), [z] "=&r"(z), [from] "+r"(from), [to] "+r"(to)                      \
                   : [rows] "r"(w->rows), [pixels] "r"(pixels), [rf] "r"(w->row_from), [rt] "r"(w->row_to),       \
                     [pf] "r"(w->pixel_from), [pt] "r"(w->pixel_to)                                                  \
                   : "memory")

/* Copies whole words (more than three: an even number), at any address. What they run over is written later: rows and
 * pixels come in ascending order. */
DORY_OUT_OF_LINE void copy_windows(uint8_t *to, const uint8_t *from, const windows_t *w, int32_t pixels) {
  uint32_t u, v, z;
  if (w->words == 1) {
    COPY_(XP_LW_RR_POST(%[u], %[rf], %[from]) "nop\n" XP_SW_RR_POST(%[u], %[rt], %[to]), 3);
  } else if (w->words == 2) {
    COPY_(XP_LW_POST(%[u], 4, %[from]) XP_LW_RR_POST(%[v], %[rf], %[from]) XP_SW_POST(%[u], 4, %[to])
              XP_SW_RR_POST(%[v], %[rt], %[to]),
          4);
  } else if (w->words == 3) {
    COPY_(XP_LW_POST(%[u], 4, %[from]) XP_LW_POST(%[v], 4, %[from]) XP_LW_RR_POST(%[z], %[rf], %[from])
              XP_SW_POST(%[u], 4, %[to]) XP_SW_POST(%[v], 4, %[to]) XP_SW_RR_POST(%[z], %[rt], %[to]),
          6);
  } else {
    for (int32_t i = 0; i < pixels; i++) {
      __asm__ volatile(XP_BEGIN XP_LP_SETUP(1, %[rows], 7) XP_LP_SETUP(0, %[pairs], 4) XP_LW_POST(%[u], 4, %[from])
                           XP_LW_POST(%[v], 4, %[from]) XP_SW_POST(%[u], 4, %[to]) XP_SW_POST(%[v], 4, %[to])
                       "add %[from], %[from], %[rf]\nadd %[to], %[to], %[rt]\n" XP_END
                       : [u] "=&r"(u), [v] "=&r"(v), [from] "+r"(from), [to] "+r"(to)
                       : [pairs] "r"(w->words / 2), [rows] "r"(w->rows), [rf] "r"(w->row_from), [rt] "r"(w->row_to)
                       : "memory");
      from += w->pixel_from, to += w->pixel_to;
    }
  }
}
/* clang-format on */

/* n bytes and no more. */
DORY_OUT_OF_LINE void fill(uint8_t *to, int32_t value, int32_t n) {
  const uint32_t word = (uint32_t)value * 0x01010101u;
  uint8_t *const last = to + n - 4;
  for (; to < last; to += 4) xp_store(to, word);
  if (n >= 4) {
    xp_store(last, word);
  } else {
    for (int32_t i = 0; i < n; i++) to[i] = (uint8_t)value;
  }
}

/* A window of which any part may be outside. */
DORY_OUT_OF_LINE void gather_border(const dory_conv_args_t *a, uint8_t *to, int32_t y0, int32_t x0) {
  const dory_window_t *win = &a->win;
  const int32_t c = a->c_in, row_bytes = win->kernel_w * c;
  const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
  const int32_t left = kx.from * c, inside = (kx.to - kx.from) * c;
  const uint8_t *from = a->x + (y0 * a->w_in + x0 + kx.from * win->dil_w) * c;
  for (int32_t ky = 0; ky < win->kernel_h; ky++, to += row_bytes, y0 += win->dil_h, from += win->dil_h * a->w_in * c) {
    if (y0 < 0 || y0 >= a->h_in) {
      fill(to, a->pad_value, row_bytes);
      continue;
    }
    if (left) fill(to, a->pad_value, left);
    if (win->dil_w == 1) {
      dory_copy(to + left, from, inside);
    } else {
      for (int32_t i = 0; i < kx.to - kx.from; i++) dory_copy(to + left + i * c, from + i * win->dil_w * c, c);
    }
    if (left + inside < row_bytes) fill(to + left + inside, a->pad_value, row_bytes - left - inside);
  }
}

/* Copies of windows of which `rows` rows lie inside. */
static inline void set_windows(const work_t *k, windows_t *w, int32_t rows) {
  const dory_conv_args_t *a = k->a;
  const int32_t row_bytes = a->win.kernel_w * a->c_in, step = a->win.dil_h * a->w_in * a->c_in;
  const int32_t copied = 4 * k->row_words, tail = k->row_words > 3 ? copied : copied - 4;
  w->words = k->row_words;
  w->rows = rows;
  w->row_from = step - tail;
  w->row_to = row_bytes - tail;
  w->pixel_from = a->win.stride_w * a->c_in - rows * step;
  w->pixel_to = 4 * k->words - rows * row_bytes;
}

/* Windows of n pixels of one row whose columns, though not all rows, are inside the tensor. */
DORY_OUT_OF_LINE void gather_inside(const work_t *k, uint8_t *to, int32_t y0, int32_t x0, int32_t n) {
  const dory_conv_args_t *a = k->a;
  const int32_t row_bytes = a->win.kernel_w * a->c_in;
  const dory_share_t ky = dory_taps(y0, a->win.kernel_h, a->win.dil_h, a->h_in);
  const int32_t rows = ky.to - ky.from, above = ky.from * row_bytes, below = (a->win.kernel_h - ky.to) * row_bytes;
  if (rows > 0) {
    windows_t w;
    set_windows(k, &w, rows);
    copy_windows(to + above, a->x + ((y0 + ky.from * a->win.dil_h) * a->w_in + x0) * a->c_in, &w, n);
  }
  if (rows == a->win.kernel_h) return;
  for (int32_t i = 0; i < n; i++, to += 4 * k->words) {
    fill(to, a->pad_value, above);
    fill(to + above + rows * row_bytes, a->pad_value, below);
  }
}

/* The pixel that the next gather begins with. */
static void gather_from(work_t *k, int32_t p0) {
  k->at = p0;
  k->oy = p0 / k->a->w_out;
  k->ox = p0 - k->oy * k->a->w_out;
}

/* A window inside the tensor, and not a byte behind it. */
static inline void gather_exactly(const dory_conv_args_t *a, uint8_t *to, const uint8_t *from) {
  const int32_t row_bytes = a->win.kernel_w * a->c_in, step = a->win.dil_h * a->w_in * a->c_in;
  for (int32_t ky = 0; ky < a->win.kernel_h; ky++, to += row_bytes, from += step) dory_copy(to, from, row_bytes);
}

/* Windows of the next n pixels, any of which may reach outside; behind the last of them. */
DORY_OUT_OF_LINE uint8_t *gather_any(work_t *k, uint8_t *to, int32_t n) {
  const dory_conv_args_t *a = k->a;
  const dory_window_t *win = &a->win;
  while (n > 0) {
    const int32_t y0 = k->oy * win->stride_h - win->pad_t, x0 = k->ox * win->stride_w - win->pad_l;
    /* The very last windows' copies would leave the tensor. */
    const int32_t limit = y0 + k->reach_y >= a->h_in - 1 ? k->last_column : k->to_column;
    int32_t here = dory_lesser(n, limit - k->ox);
    if (k->ox >= k->from_column && here > 0) {
      gather_inside(k, to, y0, x0, here);
    } else {
      here = 1;
      if (k->ox >= k->from_column && k->ox < k->to_column && y0 >= 0 && y0 + k->reach_y < a->h_in) {
        gather_exactly(a, to, a->x + (y0 * a->w_in + x0) * a->c_in);
      } else {
        gather_border(a, to, y0, x0);
      }
    }
    n -= here;
    to += 4 * k->words * here;
    k->ox += here;
    if (k->ox == a->w_out) k->ox = 0, k->oy++;
  }
  return to;
}

/* The same, where none does: a copy for each row of the output. */
static inline uint8_t *gather_whole(work_t *k, uint8_t *to, int32_t n) {
  const dory_conv_args_t *a = k->a;
  while (n > 0) {
    const int32_t here = dory_lesser(n, a->w_out - k->ox);
    const uint8_t *from = a->x + k->oy * a->win.stride_h * k->pitch + k->ox * a->win.stride_w * a->c_in;
    copy_windows(to, from, &k->windows, here);
    n -= here;
    to += 4 * k->words * here;
    k->ox += here;
    if (k->ox == a->w_out) k->ox = 0, k->oy++;
  }
  return to;
}

/* Rows of the next n pixels, gathered in the weights' order; absent ones are zeros. */
DORY_OUT_OF_LINE void gather(work_t *k, int32_t n) {
  const int32_t present = dory_lesser(n, k->pixels - k->at);
  k->at += n;
  uint8_t *to = k->whole ? gather_whole(k, k->rows, present) : gather_any(k, k->rows, present);
  for (uint8_t *end = k->rows + 4 * k->words * n; to < end; to += 4) xp_store(to, 0);
}

/* What gathering `at_once` pixels at a time needs to know. */
DORY_OUT_OF_LINE void prepare_gather(work_t *k, int32_t at_once) {
  const dory_conv_args_t *a = k->a;
  const dory_window_t *win = &a->win;
  const int32_t k4 = 4 * k->words, words = (win->kernel_w * a->c_in + 3) / 4;
  k->row_words = words > 3 ? (words + 1) / 2 * 2 : words;
  k->reach_y = (win->kernel_h - 1) * win->dil_h;
  k->from_column = k->to_column = k->last_column = 0;
  if (win->dil_w == 1 && a->w_in >= win->kernel_w && a->w_in * a->c_in >= 8) {
    int32_t windows = (a->w_in - win->kernel_w + win->pad_l) / win->stride_w + 1;
    k->from_column = (win->pad_l + win->stride_w - 1) / win->stride_w;
    k->to_column = dory_lesser(a->w_out, windows);
    const int32_t step = win->stride_w * a->c_in;
    for (int32_t over = 4 * k->row_words - win->kernel_w * a->c_in; over > 0; over -= step) windows--;
    k->last_column = dory_lesser(a->w_out, windows);
  }
  k->whole = all_inside(a) && k->last_column >= a->w_out && k->pitch == a->w_in * a->c_in;
  set_windows(k, &k->windows, win->kernel_h);
  k->rows = a->scratch + drt_core_id() * (flat_pixels(k4) * k4 + 8);
  /* Bytes that no window covers. */
  for (int32_t i = 0; i < at_once; i++) {
    if (k4 == 8) xp_store(k->rows + i * k4, 0);
    xp_store(k->rows + i * k4 + k4 - 4, 0);
  }
}

#endif

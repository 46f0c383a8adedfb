/* Average over the valid inputs of a window, one rescale with the multiplier of their number. */
#include "dory_common.h"
#include "xpulp_asm.h"

/* Taps of an output pixel that lie inside the tensor: rows x columns from `first` on, steps in bytes. */
typedef struct {
  const uint8_t *first;
  int32_t rows, cols, row_step, col_step;
} taps_t;

static taps_t taps_at(const dory_avgpool_args_t *a, int32_t y, int32_t x) {
  const dory_window_t *win = &a->win;
  const int32_t y0 = y * win->stride_h - win->pad_t, x0 = x * win->stride_w - win->pad_l;
  const dory_share_t ky = dory_taps(y0, win->kernel_h, win->dil_h, a->h_in);
  const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
  const int32_t row = (y0 + ky.from * win->dil_h) * a->w_in + x0 + kx.from * win->dil_w;
  return (taps_t){a->x + row * a->c, ky.to - ky.from, kx.to - kx.from, win->dil_h * a->w_in * a->c, win->dil_w * a->c};
}

/* Adds the four channels at each of `count` places to their sums. */
static void add_column(int32_t sum[4], const uint8_t *at, int32_t count, int32_t step) {
#if defined(__riscv)
  int32_t p = sum[0], q = sum[1], r = sum[2], s = sum[3];
  uint32_t v; /* 5 instructions for four inputs */
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 5) XP_LW_RR_POST(%[v], %[step], %[at])           //
                   XP_SDOTUP_B(%[p], %[v], %[one0]) XP_SDOTUP_B(%[q], %[v], %[one1])            //
                   XP_SDOTUP_B(%[r], %[v], %[one2]) XP_SDOTUP_B(%[s], %[v], %[one3]) XP_END     //
                   : [p] "+r"(p), [q] "+r"(q), [r] "+r"(r), [s] "+r"(s), [at] "+r"(at), [v] "=&r"(v)  //
                   : [n] "r"(count), [step] "r"(step), [one0] "r"(1u), [one1] "r"(1u << 8),           //
                     [one2] "r"(1u << 16), [one3] "r"(1u << 24)
                   : "memory");
  /* clang-format on */
  sum[0] = p, sum[1] = q, sum[2] = r, sum[3] = s;
#else
  for (int32_t i = 0; i < count; i++, at += step) {
    for (int32_t j = 0; j < 4; j++) sum[j] += at[j];
  }
#endif
}

static void finish(const dory_avgpool_args_t *a, int32_t count, int32_t sum, uint8_t *y) {
  *y = dory_requant(sum, (int32_t)xp_load(a->mult + 4 * count), a->shift, &a->clip);
}

static void one_channel(const dory_avgpool_args_t *a, const taps_t *t, int32_t c, uint8_t *y) {
  int32_t sum = -t->rows * t->cols * a->zero_in;
  for (int32_t k = 0; k < t->rows; k++) {
    for (int32_t j = 0; j < t->cols; j++) sum += t->first[k * t->row_step + j * t->col_step + c];
  }
  finish(a, t->rows * t->cols, sum, y + c);
}

static void four_channels(const dory_avgpool_args_t *a, const taps_t *t, int32_t c, uint8_t *y) {
  const int32_t count = t->rows * t->cols, start = -count * a->zero_in;
  int32_t sum[4] = {start, start, start, start};
  if (count && t->row_step == t->cols * t->col_step) { /* whole rows: one column of places */
    add_column(sum, t->first + c, count, t->col_step);
  } else if (t->cols) {
    for (int32_t k = 0; k < t->rows; k++) add_column(sum, t->first + k * t->row_step + c, t->cols, t->col_step);
  }
  for (int32_t j = 0; j < 4; j++) finish(a, count, sum[j], y + c + j);
}

/* Split over words of channels, so that a global average keeps all cores busy. */
void dory_avgpool(const void *args) {
  const dory_avgpool_args_t *a = args;
  const int32_t full = a->c / 4, words = (a->c + 3) / 4;
  const dory_share_t share = dory_share(a->h_out * a->w_out * words);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, words);
    const taps_t t = taps_at(a, run.y, run.x);
    uint8_t *y = a->y + (run.y * a->w_out + run.x) * a->c;
    for (int32_t w = run.c0; w < dory_lesser(run.c1, full); w++) four_channels(a, &t, 4 * w, y);
    for (int32_t c = 4 * full; run.c1 > full && c < a->c; c++) one_channel(a, &t, c, y);
    i += run.c1 - run.c0;
  }
}

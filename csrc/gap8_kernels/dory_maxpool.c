/* Maximum over a window; padding never wins. */
#include "dory_common.h"
#include "xpulp_asm.h"

/* Taps of an output pixel that lie inside the tensor: rows x columns from `first` on, steps in bytes. */
typedef struct {
  const uint8_t *first;
  int32_t rows, cols, row_step, col_step;
} taps_t;

static taps_t taps_at(const dory_maxpool_args_t *a, int32_t y, int32_t x) {
  const dory_window_t *win = &a->win;
  const int32_t y0 = y * win->stride_h - win->pad_t, x0 = x * win->stride_w - win->pad_l;
  const dory_share_t ky = dory_taps(y0, win->kernel_h, win->dil_h, a->h_in);
  const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
  const int32_t row = (y0 + ky.from * win->dil_h) * a->w_in + x0 + kx.from * win->dil_w;
  return (taps_t){a->x + row * a->c, ky.to - ky.from, kx.to - kx.from, win->dil_h * a->w_in * a->c, win->dil_w * a->c};
}

static void by_bytes(const dory_maxpool_args_t *a, const taps_t *t, int32_t c0, int32_t c1, uint8_t *y) {
  for (int32_t c = c0; c < c1; c++) {
    int32_t top = 0;
    for (int32_t k = 0; k < t->rows; k++) {
      for (int32_t j = 0; j < t->cols; j++) {
        const int32_t v = t->first[k * t->row_step + j * t->col_step + c];
        top = v > top ? v : top;
      }
    }
    y[c] = (uint8_t)dory_clip(top, a->lo, a->hi);
  }
}

#if defined(__riscv)
/* clang-format off */
/* 8 or, with limits, 10 instructions for four channels of a 2x2 window; 5 more a pixel. */
#define TWO_BY_TWO(BODY, LIMITS)                                                                                       \
  XP_BEGIN XP_LP_SETUP(1, %[pixels], (BODY + 5)) XP_LP_SETUP(0, %[words], BODY)                                        \
  XP_LW_POST(%[v], 4, %[p]) XP_LW_POST(%[w], 4, %[q]) XP_LW_POST(%[u], 4, %[r]) XP_LW_POST(%[z], 4, %[s])              \
  XP_MAXU_B(%[v], %[v], %[w]) XP_MAXU_B(%[u], %[u], %[z]) XP_MAXU_B(%[v], %[v], %[u]) LIMITS                           \
  XP_SW_POST(%[v], 4, %[y])                                                                                            \
  "add %[p], %[p], %[skip]\nadd %[q], %[q], %[skip]\nadd %[r], %[r], %[skip]\nadd %[s], %[s], %[skip]\n"               \
  XP_END                                                                                   \
  : [p] "+r"(p), [q] "+r"(q), [r] "+r"(r), [s] "+r"(s), [y] "+r"(y), [v] "=&r"(v), [w] "=&r"(w), [u] "=&r"(u),         \
    [z] "=&r"(z)                                                                                                       \
  : [pixels] "r"(pixels), [words] "r"(words), [skip] "r"((a->win.stride_w - 1) * a->c), [lo] "r"(lo), [hi] "r"(hi)     \
  : "memory"

/* All channels of some pixels of a row whose windows lie inside, from the first one's. */
static void two_by_two(const dory_maxpool_args_t *a, const uint8_t *p, int32_t pixels, uint8_t *y) {
  const int32_t words = a->c >> 2;
  const uint8_t *q = p + a->c, *r = p + a->w_in * a->c, *s = r + a->c;
  uint32_t v, w, u, z, lo = 0, hi = 0;
  if (a->lo == 0 && a->hi == 255) {
    __asm__ volatile(TWO_BY_TWO(8, ""));
  } else {
    lo = (uint32_t)a->lo * 0x01010101u;
    hi = (uint32_t)a->hi * 0x01010101u;
    __asm__ volatile(TWO_BY_TWO(10, XP_MAXU_B(%[v], %[v], %[lo]) XP_MINU_B(%[v], %[v], %[hi])));
  }
}

/* The larger of `top` and, byte by byte, of the words at `count` places. */
static uint32_t largest(uint32_t top, const uint8_t *at, int32_t count, int32_t step) {
  uint32_t v;
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 2) XP_LW_RR_POST(%[v], %[step], %[at])
                   XP_MAXU_B(%[top], %[top], %[v]) XP_END
                   : [top] "+r"(top), [at] "+r"(at), [v] "=&r"(v)
                   : [n] "r"(count), [step] "r"(step)
                   : "memory");
  return top;
}

static uint32_t smaller(uint32_t a, uint32_t b) {
  __asm__(XP_BEGIN XP_MINU_B(%0, %1, %2) XP_END : "=r"(a) : "r"(a), "r"(b));
  return a;
}
/* clang-format on */

static void by_words(const dory_maxpool_args_t *a, const taps_t *t, int32_t word0, int32_t words, uint8_t *y) {
  const uint32_t lo = (uint32_t)a->lo * 0x01010101u, hi = (uint32_t)a->hi * 0x01010101u;
  for (int32_t c = 4 * word0; c < 4 * (word0 + words); c += 4) {
    uint32_t top = lo;
    if (t->cols) {
      for (int32_t k = 0; k < t->rows; k++) top = largest(top, t->first + c + k * t->row_step, t->cols, t->col_step);
    }
    xp_store(y + c, smaller(top, hi));
  }
}
#else
static void two_by_two(const dory_maxpool_args_t *a, const uint8_t *p, int32_t pixels, uint8_t *y) {
  const taps_t t = {p, 2, 2, a->w_in * a->c, a->c};
  for (taps_t at = t; pixels--; at.first += a->win.stride_w * a->c, y += a->c) by_bytes(a, &at, 0, a->c, y);
}

static void by_words(const dory_maxpool_args_t *a, const taps_t *t, int32_t word0, int32_t words, uint8_t *y) {
  by_bytes(a, t, 4 * word0, 4 * (word0 + words), y);
}
#endif

/* 2x2 windows that all lie inside, and whole words of channels. */
static int is_plain(const dory_maxpool_args_t *a) {
  const dory_window_t *win = &a->win;
  return win->kernel_h == 2 && win->kernel_w == 2 && win->dil_h == 1 && win->dil_w == 1 && win->pad_t == 0 &&
         win->pad_l == 0 && (a->h_out - 1) * win->stride_h + 2 <= a->h_in &&
         (a->w_out - 1) * win->stride_w + 2 <= a->w_in && (a->c & 3) == 0;
}

static void plain(const dory_maxpool_args_t *a) {
  const dory_share_t share = dory_share(a->h_out * a->w_out);
  int32_t y = share.from / a->w_out, x = dory_rest(share.from, y, a->w_out);
  for (int32_t i = share.from, n; i < share.to; i += n, x = 0, y++) {
    n = dory_lesser(a->w_out - x, share.to - i);
    two_by_two(a, a->x + (y * a->win.stride_h * a->w_in + x * a->win.stride_w) * a->c, n, a->y + i * a->c);
  }
}

/* Split over pixels or, where there are few, over words of channels. A window that sees padding alone gives lo. */
void dory_maxpool(const void *args) {
  const dory_maxpool_args_t *a = args;
  const int32_t pixels = a->h_out * a->w_out, full = a->c >> 2, words = (a->c + 3) >> 2;
  const int by_pixels = pixels >= 2 * drt_core_count();
  if (by_pixels && is_plain(a)) {
    plain(a);
    return;
  }
  const dory_share_t p = by_pixels ? dory_share(pixels) : (dory_share_t){0, pixels};
  const dory_share_t w = by_pixels ? (dory_share_t){0, words} : dory_share(words);
  if (w.from >= w.to) return;
  int32_t y = p.from / a->w_out, x = dory_rest(p.from, y, a->w_out);
  for (int32_t i = p.from; i < p.to; i++) {
    const taps_t t = taps_at(a, y, x);
    by_words(a, &t, w.from, dory_lesser(w.to, full) - w.from, a->y + i * a->c);
    if (w.to > full) by_bytes(a, &t, 4 * full, a->c, a->y + i * a->c);
    if (++x == a->w_out) x = 0, y++;
  }
}

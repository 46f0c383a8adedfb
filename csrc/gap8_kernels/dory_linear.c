/* Fully connected layer: groups of four outputs, split over the cores. */
#include "dory_common.h"
#include "dory_forms.h"
#include "xpulp_asm.h"

/* The last inputs as a word, without reading behind them. */
static uint32_t tail(const uint8_t *x, int32_t bytes) {
  uint32_t word = 0;
  for (int32_t i = 0; i < bytes; i++) word |= (uint32_t)x[i] << (8 * i);
  return word;
}

/* Adds the products of whole words to four sums; the weights behind them. */
static const uint8_t *add_words(int32_t sum[4], const uint8_t *x, const uint8_t *w, int32_t words) {
  if (words == 0) return w;
  int32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
#if defined(__riscv)
  uint32_t xv, wa, wb, wc, wd; /* 9 instructions for 16 multiply-accumulates */
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 9)  //
                   XP_LW_POST(%[xv], 4, %[x]) XP_LW_POST(%[wa], 4, %[w]) XP_LW_POST(%[wb], 4, %[w])  //
                   XP_LW_POST(%[wc], 4, %[w]) XP_LW_POST(%[wd], 4, %[w])                               //
                   XP_SDOTUSP_B(%[a], %[xv], %[wa]) XP_SDOTUSP_B(%[b], %[xv], %[wb])                 //
                   XP_SDOTUSP_B(%[c], %[xv], %[wc]) XP_SDOTUSP_B(%[d], %[xv], %[wd]) XP_END          //
                   : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x), [w] "+r"(w),         //
                     [xv] "=&r"(xv), [wa] "=&r"(wa), [wb] "=&r"(wb), [wc] "=&r"(wc), [wd] "=&r"(wd)        //
                   : [n] "r"(words)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t k = 0; k < words; k++, x += 4, w += 16) {
    const uint32_t xv = xp_load(x);
    a = xp_sdotusp4(xv, xp_load(w), a);
    b = xp_sdotusp4(xv, xp_load(w + 4), b);
    c = xp_sdotusp4(xv, xp_load(w + 8), c);
    d = xp_sdotusp4(xv, xp_load(w + 12), d);
  }
#endif
  sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
  return w;
}

static void four_outputs(const dory_linear_args_t *a, const uint8_t *group, int32_t outputs, uint8_t *y) {
  int32_t sum[4] = {dory_form_bias(a->form, group, 0), dory_form_bias(a->form, group, 1),
                    dory_form_bias(a->form, group, 2), dory_form_bias(a->form, group, 3)};
  const uint8_t *w = add_words(sum, a->x, group + dory_form_head(a->form), a->k >> 2);
  if (a->k & 3) {
    const uint32_t x = tail(a->x + (a->k & ~3), (a->k & 3));
    for (int32_t i = 0; i < 4; i++) sum[i] = xp_sdotusp4(x, xp_load(w + 4 * i), sum[i]);
    w += 16;
  }
  const int32_t form = a->form;
  const dory_clip_t clip = a->clip;
  for (int32_t i = 0; i < outputs; i++) y[i] = dory_form_output(form, w, i, sum[i], &clip);
}

void dory_linear(const void *args) {
  const dory_linear_args_t *a = args;
  const int32_t bytes = ((a->k + 3) >> 2) * 16 + dory_form_bytes(a->form);
  const dory_share_t share = dory_share((a->n + 3) >> 2);
  for (int32_t g = share.from; g < share.to; g++) {
    four_outputs(a, a->w + g * bytes, dory_lesser(a->n - 4 * g, 4), a->y + 4 * g);
  }
}

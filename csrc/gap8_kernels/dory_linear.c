/* Fully connected layer: groups of four outputs, split over the cores. */
#include "dory_common.h"

/* The last inputs as a word, without reading behind them. */
static uint32_t tail(const uint8_t *x, int32_t bytes) {
  uint32_t word = 0;
  for (int32_t i = 0; i < bytes; i++) word |= (uint32_t)x[i] << (8 * i);
  return word;
}

static void block_4(const dory_linear_args_t *a, const uint8_t *w, int32_t outputs, uint8_t *y) {
  const int32_t words = (a->k + 3) / 4, full = a->k / 4;
  const dory_constants_t constants = {w + 16 * words, 4};
  int32_t a0 = dory_bias(&constants, 0), a1 = dory_bias(&constants, 1);
  int32_t a2 = dory_bias(&constants, 2), a3 = dory_bias(&constants, 3);
  for (int32_t k = 0; k < words; k++, w += 16) {
    const uint32_t x = k < full ? xp_load(a->x + 4 * k) : tail(a->x + 4 * k, a->k - 4 * k);
    a0 = xp_sdotusp4(x, xp_load(w), a0);
    a1 = xp_sdotusp4(x, xp_load(w + 4), a1);
    a2 = xp_sdotusp4(x, xp_load(w + 8), a2);
    a3 = xp_sdotusp4(x, xp_load(w + 12), a3);
  }
  const int32_t acc[4] = {a0, a1, a2, a3};
  for (int32_t i = 0; i < outputs; i++) y[i] = dory_finish(&constants, i, acc[i], &a->clip);
}

void dory_linear(const void *args) {
  const dory_linear_args_t *a = args;
  const int32_t bytes = (a->k + 3) / 4 * 16 + 48;
  const dory_share_t share = dory_share((a->n + 3) / 4);
  for (int32_t g = share.from; g < share.to; g++) {
    const int32_t left = a->n - 4 * g;
    block_4(a, a->w + g * bytes, left < 4 ? left : 4, a->y + 4 * g);
  }
}

/* Fully connected layer: groups of four outputs, split over the cores. */
#include "dory_common.h"

/* The last inputs as a word, without reading behind them. */
static uint32_t tail(const uint8_t *x, int32_t bytes) {
  uint32_t word = 0;
  for (int32_t i = 0; i < bytes; i++) word |= (uint32_t)x[i] << (8 * i);
  return word;
}

void dory_linear(const void *args) {
  const dory_linear_args_t *a = args;
  const int32_t words = (a->k + 3) / 4, full = a->k / 4;
  const dory_share_t share = dory_share((a->n + 3) / 4);
  for (int32_t g = share.from; g < share.to; g++) {
    const uint8_t *w = a->w + g * (16 * words + 48);
    const dory_constants_t constants = {w + 16 * words, 4};
    int32_t acc[4];
    for (int i = 0; i < 4; i++) acc[i] = dory_bias(&constants, i);
    for (int32_t k = 0; k < words; k++, w += 16) {
      const uint32_t x = k < full ? xp_load(a->x + 4 * k) : tail(a->x + 4 * k, a->k - 4 * k);
      for (int i = 0; i < 4; i++) acc[i] = xp_sdotusp4(x, xp_load(w + 4 * i), acc[i]);
    }
    for (int32_t i = 0; i < 4 && 4 * g + i < a->n; i++) a->y[4 * g + i] = dory_finish(&constants, i, acc[i], &a->clip);
  }
}

/* Fully connected layer with 32-bit results: groups of four sums, split over the cores. */
#include "dory_common.h"

/* The last inputs as a word, without reading behind them. */
static uint32_t tail(const uint8_t *x, int32_t bytes) {
  uint32_t word = 0;
  for (int32_t i = 0; i < bytes; i++) word |= (uint32_t)x[i] << (8 * i);
  return word;
}

static void block_4(const dory_linear32_args_t *a, const uint8_t *w, int32_t sums, uint8_t *y) {
  const int32_t words = (a->k + 3) / 4, full = a->k / 4;
  const uint8_t *bias = w + 16 * words;
  int32_t s0 = (int32_t)xp_load(bias), s1 = (int32_t)xp_load(bias + 4);
  int32_t s2 = (int32_t)xp_load(bias + 8), s3 = (int32_t)xp_load(bias + 12);
  for (int32_t k = 0; k < words; k++, w += 16) {
    const uint32_t x = k < full ? xp_load(a->x + 4 * k) : tail(a->x + 4 * k, a->k - 4 * k);
    s0 = xp_sdotusp4(x, xp_load(w), s0);
    s1 = xp_sdotusp4(x, xp_load(w + 4), s1);
    s2 = xp_sdotusp4(x, xp_load(w + 8), s2);
    s3 = xp_sdotusp4(x, xp_load(w + 12), s3);
  }
  const int32_t sum[4] = {s0, s1, s2, s3};
  for (int32_t i = 0; i < sums; i++) xp_store(y + 4 * i, (uint32_t)sum[i]);
}

void dory_linear32(const void *args) {
  const dory_linear32_args_t *a = args;
  const int32_t bytes = (a->k + 3) / 4 * 16 + 16;
  const dory_share_t share = dory_share((a->n + 3) / 4);
  for (int32_t g = share.from; g < share.to; g++) {
    const int32_t left = a->n - 4 * g;
    block_4(a, a->w + g * bytes, left < 4 ? left : 4, a->y + 16 * g);
  }
}

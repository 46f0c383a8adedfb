/* Softmax over the channels of each row, by a table of exponentials and one division an output. */
#include "dory_common.h"

void dory_softmax(const void *args) {
  const dory_softmax_args_t *a = args;
  const dory_share_t share = dory_share(a->rows);
  for (int32_t r = share.from; r < share.to; r++) {
    const uint8_t *x = a->x + r * a->c;
    uint8_t *y = a->y + r * a->c;
    int32_t top = 0;
    for (int32_t c = 0; c < a->c; c++) top = x[c] > top ? x[c] : top;
    uint32_t sum = 0; /* not zero: the maximum itself contributes table[0] */
    for (int32_t c = 0; c < a->c; c++) sum += xp_load(a->table + 4 * (top - x[c]));
    for (int32_t c = 0; c < a->c; c++) {
      const uint64_t e = xp_load(a->table + 4 * (top - x[c]));
      const int64_t v = (int64_t)((e * (uint32_t)a->numerator + sum / 2) / sum) + a->clip.zero_point;
      y[c] = (uint8_t)(v < a->clip.lo ? a->clip.lo : v > a->clip.hi ? a->clip.hi : (int32_t)v);
    }
  }
}

/* A border of one value around a tile; pixels are split over the cores. */
#include "dory_common.h"

void dory_pad(const void *args) {
  const dory_pad_args_t *a = args;
  const dory_share_t share = dory_share(a->h_out * a->w_out);
  for (int32_t p = share.from; p < share.to; p++) {
    const int32_t y = p / a->w_out - a->pad_t, x = p % a->w_out - a->pad_l;
    if (y >= 0 && y < a->h_in && x >= 0 && x < a->w_in) {
      dory_copy(a->y + p * a->c, a->x + (y * a->w_in + x) * a->c, a->c);
    } else {
      dory_fill(a->y + p * a->c, a->value, a->c);
    }
  }
}

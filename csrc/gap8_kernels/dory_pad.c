/* A border of one value around a tile; rows are split over the cores. */
#include "dory_common.h"

void dory_pad(const void *args) {
  const dory_pad_args_t *a = args;
  const dory_share_t share = dory_share(a->h_out);
  for (int32_t oy = share.from; oy < share.to; oy++) {
    const int32_t y = oy - a->pad_t;
    for (int32_t ox = 0; ox < a->w_out; ox++) {
      const int32_t x = ox - a->pad_l;
      const int inside = y >= 0 && y < a->h_in && x >= 0 && x < a->w_in;
      const uint8_t *from = inside ? a->x + (y * a->w_in + x) * a->c : 0;
      uint8_t *to = a->y + (oy * a->w_out + ox) * a->c;
      for (int32_t c = 0; c < a->c; c++) to[c] = from ? from[c] : (uint8_t)a->value;
    }
  }
}

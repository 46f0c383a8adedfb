/* Maximum over a window; padding never wins. */
#include "dory_common.h"

void dory_maxpool(const void *args) {
  const dory_maxpool_args_t *a = args;
  const dory_window_t *win = &a->win;
  const dory_share_t share = dory_share(a->h_out * a->w_out);
  for (int32_t p = share.from; p < share.to; p++) {
    const int32_t y0 = p / a->w_out * win->stride_h - win->pad_t, x0 = p % a->w_out * win->stride_w - win->pad_l;
    uint8_t *to = a->y + p * a->c;
    for (int32_t c = 0; c < a->c; c++) to[c] = 0;
    for (int32_t ky = 0; ky < win->kernel_h; ky++) {
      const int32_t y = y0 + ky * win->dil_h;
      if (y < 0 || y >= a->h_in) continue;
      for (int32_t kx = 0; kx < win->kernel_w; kx++) {
        const int32_t x = x0 + kx * win->dil_w;
        if (x < 0 || x >= a->w_in) continue;
        const uint8_t *from = a->x + (y * a->w_in + x) * a->c;
        for (int32_t c = 0; c < a->c; c++) to[c] = from[c] > to[c] ? from[c] : to[c];
      }
    }
    for (int32_t c = 0; c < a->c; c++) to[c] = (uint8_t)dory_clip(to[c], a->lo, a->hi);
  }
}

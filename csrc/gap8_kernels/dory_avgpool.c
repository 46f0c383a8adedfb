/* Average over the valid inputs of a window, one rescale with the multiplier of their number. */
#include "dory_common.h"

void dory_avgpool(const void *args) {
  const dory_avgpool_args_t *a = args;
  const dory_window_t *win = &a->win;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c);
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t c = i % a->c, p = i / a->c;
    const int32_t y0 = p / a->w_out * win->stride_h - win->pad_t, x0 = p % a->w_out * win->stride_w - win->pad_l;
    int32_t sum = 0, count = 0;
    for (int32_t ky = 0; ky < win->kernel_h; ky++) {
      const int32_t y = y0 + ky * win->dil_h;
      if (y < 0 || y >= a->h_in) continue;
      for (int32_t kx = 0; kx < win->kernel_w; kx++) {
        const int32_t x = x0 + kx * win->dil_w;
        if (x < 0 || x >= a->w_in) continue;
        sum += a->x[(y * a->w_in + x) * a->c + c] - a->zero_in;
        count++;
      }
    }
    a->y[i] = dory_requant(sum, (int32_t)xp_load(a->mult + 4 * count), a->shift, &a->clip);
  }
}

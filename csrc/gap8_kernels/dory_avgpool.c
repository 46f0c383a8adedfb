/* Average over the valid inputs of a window, one rescale with the multiplier of their number. */
#include "dory_common.h"

/* Split over elements, so that a global average keeps all cores busy. */
void dory_avgpool(const void *args) {
  const dory_avgpool_args_t *a = args;
  const dory_window_t *win = &a->win;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, a->c);
    const int32_t y0 = run.y * win->stride_h - win->pad_t, x0 = run.x * win->stride_w - win->pad_l;
    const dory_share_t ky = dory_taps(y0, win->kernel_h, win->dil_h, a->h_in);
    const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
    const int32_t count = (ky.to - ky.from) * (kx.to - kx.from);
    const int32_t mult = (int32_t)xp_load(a->mult + 4 * count);
    for (int32_t c = run.c0; c < run.c1; c++, i++) {
      int32_t sum = -count * a->zero_in;
      for (int32_t k = ky.from; k < ky.to; k++) {
        const uint8_t *row = a->x + (y0 + k * win->dil_h) * a->w_in * a->c + c;
        for (int32_t j = kx.from; j < kx.to; j++) sum += row[(x0 + j * win->dil_w) * a->c];
      }
      a->y[i] = dory_requant(sum, mult, a->shift, &a->clip);
    }
  }
}

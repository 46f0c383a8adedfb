/* Maximum over a window; padding never wins. */
#include "dory_common.h"

/* Split over elements, so that a single pixel keeps all cores busy. A window that sees padding alone gives lo. */
void dory_maxpool(const void *args) {
  const dory_maxpool_args_t *a = args;
  const dory_window_t *win = &a->win;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, a->c);
    const int32_t y0 = run.y * win->stride_h - win->pad_t, x0 = run.x * win->stride_w - win->pad_l;
    const dory_share_t ky = dory_taps(y0, win->kernel_h, win->dil_h, a->h_in);
    const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
    for (int32_t c = run.c0; c < run.c1; c++, i++) {
      int32_t top = 0;
      for (int32_t k = ky.from; k < ky.to; k++) {
        const uint8_t *row = a->x + (y0 + k * win->dil_h) * a->w_in * a->c + c;
        for (int32_t j = kx.from; j < kx.to; j++) {
          const int32_t v = row[(x0 + j * win->dil_w) * a->c];
          top = v > top ? v : top;
        }
      }
      a->y[i] = (uint8_t)dory_clip(top, a->lo, a->hi);
    }
  }
}

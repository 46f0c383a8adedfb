/* Grouped convolution, one output at a time. */
#include "dory_common.h"

/* Weights are walked in order, positions outside the tensor read the padding. */
static int32_t sum_of(const dory_grouped_conv_args_t *a, const uint8_t *w, int32_t y0, int32_t x0, int32_t c0,
                      int32_t acc) {
  const dory_window_t *win = &a->win;
  for (int32_t ky = 0; ky < win->kernel_h; ky++) {
    const int32_t y = y0 + ky * win->dil_h;
    for (int32_t kx = 0; kx < win->kernel_w; kx++) {
      const int32_t x = x0 + kx * win->dil_w;
      if (y >= 0 && y < a->h_in && x >= 0 && x < a->w_in) {
        const uint8_t *from = a->x + (y * a->w_in + x) * a->c_in + c0;
        for (int32_t c = 0; c < a->c_group_in; c++, w++) acc = xp_mac(acc, from[c], (int8_t)*w);
      } else {
        for (int32_t c = 0; c < a->c_group_in; c++, w++) acc = xp_mac(acc, (uint8_t)a->pad_value, (int8_t)*w);
      }
    }
  }
  return acc;
}

void dory_grouped_conv(const void *args) {
  const dory_grouped_conv_args_t *a = args;
  const int32_t k = (a->win.kernel_h * a->win.kernel_w * a->c_group_in + 3) / 4 * 4;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c_out);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, a->c_out);
    const int32_t y0 = run.y * a->win.stride_h - a->win.pad_t, x0 = run.x * a->win.stride_w - a->win.pad_l;
    for (int32_t c = run.c0; c < run.c1; c++, i++) {
      const uint8_t *w = a->w + c * (k + 12);
      const dory_constants_t constants = {w + k, 1};
      const int32_t c0 = (a->c_first + c) / a->c_group_out * a->c_group_in;
      const int32_t acc = sum_of(a, w, y0, x0, c0, dory_bias(&constants, 0));
      a->y[i] = dory_finish(&constants, 0, acc, &a->clip);
    }
  }
}

/* Depthwise convolution, four channels of an output pixel at a time. */
#include "dory_common.h"

/* None: every output reads its inputs in place. */
uint32_t dory_depthwise_scratch(const dory_depthwise_args_t *a, int32_t cores) {
  (void)a, (void)cores;
  return 0;
}

static void pixel(const dory_depthwise_args_t *a, const uint8_t *w, int32_t y0, int32_t x0, int32_t c0, int32_t n,
                  uint8_t *y) {
  const dory_window_t *win = &a->win;
  const dory_constants_t constants = {w + 4 * win->kernel_h * win->kernel_w, 4};
  const uint8_t pad = (uint8_t)a->pad_value, outside[4] = {pad, pad, pad, pad};
  int32_t acc[4];
  for (int i = 0; i < 4; i++) acc[i] = dory_bias(&constants, i);
  for (int32_t ky = 0; ky < win->kernel_h; ky++) {
    const int32_t row = y0 + ky * win->dil_h;
    for (int32_t kx = 0; kx < win->kernel_w; kx++, w += 4) {
      const int32_t col = x0 + kx * win->dil_w;
      const int inside = row >= 0 && row < a->h_in && col >= 0 && col < a->w_in;
      const uint8_t *from = inside ? a->x + (row * a->w_in + col) * a->c + c0 : outside;
      if (n == 4) {
        acc[0] = xp_mac(acc[0], from[0], (int8_t)w[0]);
        acc[1] = xp_mac(acc[1], from[1], (int8_t)w[1]);
        acc[2] = xp_mac(acc[2], from[2], (int8_t)w[2]);
        acc[3] = xp_mac(acc[3], from[3], (int8_t)w[3]);
      } else {
        for (int32_t i = 0; i < n; i++) acc[i] = xp_mac(acc[i], from[i], (int8_t)w[i]);
      }
    }
  }
  for (int32_t i = 0; i < n; i++) y[i] = dory_finish(&constants, i, acc[i], &a->clip);
}

/* Split over pixels and channel groups together. */
void dory_depthwise(const void *args) {
  const dory_depthwise_args_t *a = args;
  const dory_window_t *win = &a->win;
  const int32_t groups = (a->c + 3) / 4, bytes = 4 * win->kernel_h * win->kernel_w + 48;
  const dory_share_t share = dory_share(a->h_out * a->w_out * groups);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, groups);
    const int32_t y0 = run.y * win->stride_h - win->pad_t, x0 = run.x * win->stride_w - win->pad_l;
    uint8_t *y = a->y + (run.y * a->w_out + run.x) * a->c;
    for (int32_t g = run.c0; g < run.c1; g++, i++) {
      const int32_t left = a->c - 4 * g;
      pixel(a, a->w + g * bytes, y0, x0, 4 * g, left < 4 ? left : 4, y + 4 * g);
    }
  }
}

/* Depthwise convolution, four channels of an output row at a time. */
#include "dory_common.h"

uint32_t dory_depthwise_scratch(const dory_depthwise_args_t *a, int32_t cores) {
  (void)a, (void)cores;
  return 0;
}

static void pixel(const dory_depthwise_args_t *a, const uint8_t *w, int32_t y0, int32_t x0, int32_t c0, int32_t n,
                  uint8_t *y) {
  const dory_window_t *win = &a->win;
  const int32_t taps = win->kernel_h * win->kernel_w;
  const dory_constants_t constants = {w + 4 * taps, 4};
  int32_t acc[4];
  for (int i = 0; i < 4; i++) acc[i] = dory_bias(&constants, i);
  for (int32_t ky = 0; ky < win->kernel_h; ky++) {
    const int32_t row = y0 + ky * win->dil_h;
    for (int32_t kx = 0; kx < win->kernel_w; kx++, w += 4) {
      const int32_t col = x0 + kx * win->dil_w;
      const int inside = row >= 0 && row < a->h_in && col >= 0 && col < a->w_in;
      const uint8_t *from = inside ? a->x + (row * a->w_in + col) * a->c + c0 : 0;
      for (int32_t i = 0; i < n; i++) acc[i] += (int8_t)w[i] * (from ? from[i] : a->pad_value);
    }
  }
  for (int32_t i = 0; i < n; i++) y[i] = dory_finish(&constants, i, acc[i], &a->clip);
}

/* Split over rows and channel groups together. */
void dory_depthwise(const void *args) {
  const dory_depthwise_args_t *a = args;
  const int32_t groups = (a->c + 3) / 4, bytes = 4 * a->win.kernel_h * a->win.kernel_w + 48;
  const dory_share_t share = dory_share(a->h_out * groups);
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t g = i % groups, oy = i / groups, left = a->c - 4 * g;
    const int32_t y0 = oy * a->win.stride_h - a->win.pad_t;
    for (int32_t ox = 0; ox < a->w_out; ox++) {
      pixel(a, a->w + g * bytes, y0, ox * a->win.stride_w - a->win.pad_l, 4 * g, left < 4 ? left : 4,
            a->y + (oy * a->w_out + ox) * a->c + 4 * g);
    }
  }
}

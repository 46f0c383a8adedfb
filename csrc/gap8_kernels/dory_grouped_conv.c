/* Grouped convolution, one output at a time. */
#include "dory_common.h"

void dory_grouped_conv(const void *args) {
  const dory_grouped_conv_args_t *a = args;
  const dory_window_t *win = &a->win;
  const int32_t k = (win->kernel_h * win->kernel_w * a->c_group_in + 3) / 4 * 4;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c_out);
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t o = i % a->c_out, p = i / a->c_out;
    const int32_t y0 = p / a->w_out * win->stride_h - win->pad_t, x0 = p % a->w_out * win->stride_w - win->pad_l;
    const int32_t c0 = (a->c_first + o) / a->c_group_out * a->c_group_in;
    const uint8_t *w = a->w + o * (k + 12);
    const dory_constants_t constants = {w + k, 1};
    int32_t acc = dory_bias(&constants, 0);
    for (int32_t ky = 0; ky < win->kernel_h; ky++) {
      const int32_t y = y0 + ky * win->dil_h;
      for (int32_t kx = 0; kx < win->kernel_w; kx++) {
        const int32_t x = x0 + kx * win->dil_w;
        const int inside = y >= 0 && y < a->h_in && x >= 0 && x < a->w_in;
        const uint8_t *from = inside ? a->x + (y * a->w_in + x) * a->c_in + c0 : 0;
        for (int32_t c = 0; c < a->c_group_in; c++, w++) acc += (int8_t)*w * (from ? from[c] : a->pad_value);
      }
    }
    a->y[i] = dory_finish(&constants, 0, acc, &a->clip);
  }
}

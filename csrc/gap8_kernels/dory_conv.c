/* Standard convolution: 4 output channels x 2 pixels at a time over im2col rows; 1x1 reads the input in place. */
#include "dory_common.h"

static int32_t k_bytes(const dory_conv_args_t *a) { return a->win.kernel_h * a->win.kernel_w * a->c_in; }

/* Two im2col rows for each core, each filled up to whole words. */
uint32_t dory_conv_scratch(const dory_conv_args_t *a, int32_t cores) {
  return (uint32_t)cores * 2u * (uint32_t)((k_bytes(a) + 3) / 4 * 4);
}

static void fill(uint8_t *to, int32_t value, int32_t bytes) {
  for (int32_t i = 0; i < bytes; i++) to[i] = (uint8_t)value;
}

static void copy(uint8_t *to, const uint8_t *from, int32_t bytes) {
  int32_t i = 0;
  for (; i + 4 <= bytes; i += 4) xp_store(to + i, xp_load(from + i));
  for (; i < bytes; i++) to[i] = from[i];
}

/* The inputs of output pixel `p` in the weights' order; in place where they are contiguous whole words. */
static const uint8_t *row_of(const dory_conv_args_t *a, int32_t p, uint8_t *buffer) {
  const dory_window_t *win = &a->win;
  const int32_t y0 = p / a->w_out * win->stride_h - win->pad_t, x0 = p % a->w_out * win->stride_w - win->pad_l;
  const int32_t c = a->c_in;
  if (win->kernel_h == 1 && win->kernel_w == 1 && c % 4 == 0 && y0 >= 0 && y0 < a->h_in && x0 >= 0 && x0 < a->w_in) {
    return a->x + (y0 * a->w_in + x0) * c;
  }
  uint8_t *to = buffer;
  for (int32_t ky = 0; ky < win->kernel_h; ky++) {
    const int32_t y = y0 + ky * win->dil_h;
    for (int32_t kx = 0; kx < win->kernel_w; kx++, to += c) {
      const int32_t x = x0 + kx * win->dil_w;
      if (y >= 0 && y < a->h_in && x >= 0 && x < a->w_in) {
        copy(to, a->x + (y * a->w_in + x) * c, c);
      } else {
        fill(to, a->pad_value, c);
      }
    }
  }
  const int32_t k = k_bytes(a);
  fill(to, 0, (k + 3) / 4 * 4 - k);
  return buffer;
}

static void block_4x2(const dory_conv_args_t *a, const uint8_t *w, int32_t words, const uint8_t *p0, const uint8_t *p1,
                      int32_t channels, uint8_t *y0, uint8_t *y1) {
  const dory_constants_t constants = {w + 16 * words, 4};
  int32_t acc0[4], acc1[4];
  for (int i = 0; i < 4; i++) acc0[i] = acc1[i] = dory_bias(&constants, i);
  for (int32_t k = 0; k < words; k++, w += 16) {
    const uint32_t x0 = xp_load(p0 + 4 * k), x1 = xp_load(p1 + 4 * k);
    for (int i = 0; i < 4; i++) {
      const uint32_t wi = xp_load(w + 4 * i);
      acc0[i] = xp_sdotusp4(x0, wi, acc0[i]);
      acc1[i] = xp_sdotusp4(x1, wi, acc1[i]);
    }
  }
  for (int32_t i = 0; i < channels; i++) {
    y0[i] = dory_finish(&constants, i, acc0[i], &a->clip);
    if (y1) y1[i] = dory_finish(&constants, i, acc1[i], &a->clip);
  }
}

/* Split over pixels, over channel groups when there are few pixels. */
void dory_conv(const void *args) {
  const dory_conv_args_t *a = args;
  const int32_t pixels = a->h_out * a->w_out, groups = (a->c_out + 3) / 4, words = (k_bytes(a) + 3) / 4;
  const int by_pixels = pixels >= 2 * rt_core_count();
  const dory_share_t p = by_pixels ? dory_share(pixels) : (dory_share_t){0, pixels};
  const dory_share_t g = by_pixels ? (dory_share_t){0, groups} : dory_share(groups);
  if (g.from >= g.to) return;
  uint8_t *buffer = a->scratch + rt_core_id() * 8 * words;
  for (int32_t i = p.from; i < p.to; i += 2) {
    const int two = i + 1 < p.to;
    const uint8_t *row0 = row_of(a, i, buffer), *row1 = two ? row_of(a, i + 1, buffer + 4 * words) : row0;
    for (int32_t j = g.from; j < g.to; j++) {
      const int32_t left = a->c_out - 4 * j;
      uint8_t *y = a->y + i * a->c_out + 4 * j;
      block_4x2(a, a->w + j * (16 * words + 48), words, row0, row1, left < 4 ? left : 4, y, two ? y + a->c_out : 0);
    }
  }
}

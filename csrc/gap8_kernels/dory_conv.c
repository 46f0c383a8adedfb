/* Standard convolution: 4 output channels x 2 pixels at a time over im2col rows; 1x1 reads the input in place. */
#include "dory_common.h"

static int32_t words_of(const dory_conv_args_t *a) { return (a->win.kernel_h * a->win.kernel_w * a->c_in + 3) / 4; }

/* Two im2col rows for each core, each filled up to whole words. */
uint32_t dory_conv_scratch(const dory_conv_args_t *a, int32_t cores) {
  return (uint32_t)cores * 2u * 4u * (uint32_t)words_of(a);
}

/* One kernel row: pad, what lies inside the tensor, pad. Returns where the next one starts. */
static uint8_t *gather_row(const dory_conv_args_t *a, const uint8_t *row, int32_t x0, dory_share_t kx, uint8_t *to) {
  const int32_t c = a->c_in, dil = a->win.dil_w;
  dory_fill(to, a->pad_value, kx.from * c);
  if (dil == 1) {
    dory_copy(to + kx.from * c, row + (x0 + kx.from) * c, (kx.to - kx.from) * c);
  } else {
    for (int32_t k = kx.from; k < kx.to; k++) dory_copy(to + k * c, row + (x0 + k * dil) * c, c);
  }
  dory_fill(to + kx.to * c, a->pad_value, (a->win.kernel_w - kx.to) * c);
  return to + a->win.kernel_w * c;
}

/* The inputs of output pixel `p` in the weights' order; in place where they are contiguous whole words. */
static const uint8_t *row_of(const dory_conv_args_t *a, int32_t p, uint8_t *buffer) {
  const dory_window_t *win = &a->win;
  const int32_t y0 = p / a->w_out * win->stride_h - win->pad_t, x0 = p % a->w_out * win->stride_w - win->pad_l;
  const dory_share_t ky = dory_taps(y0, win->kernel_h, win->dil_h, a->h_in);
  const dory_share_t kx = dory_taps(x0, win->kernel_w, win->dil_w, a->w_in);
  const int32_t row_bytes = a->w_in * a->c_in;
  if (win->kernel_h == 1 && win->kernel_w == 1 && a->c_in % 4 == 0 && ky.to > ky.from && kx.to > kx.from) {
    return a->x + y0 * row_bytes + x0 * a->c_in;
  }
  uint8_t *to = buffer;
  for (int32_t k = 0; k < win->kernel_h; k++) {
    if (k < ky.from || k >= ky.to || kx.from == kx.to) {
      dory_fill(to, a->pad_value, win->kernel_w * a->c_in);
      to += win->kernel_w * a->c_in;
    } else {
      to = gather_row(a, a->x + (y0 + k * win->dil_h) * row_bytes, x0, kx, to);
    }
  }
  dory_fill(to, 0, (int32_t)(buffer + 4 * words_of(a) - to));
  return buffer;
}

/* Written out and not inlined: eight accumulators in registers at -O2 of any compiler. */
static __attribute__((noinline)) void block_4x2(const dory_conv_args_t *a, const uint8_t *w, int32_t words,
                                                const uint8_t *p0, const uint8_t *p1, int32_t channels, uint8_t *y0,
                                                uint8_t *y1) {
  const dory_constants_t constants = {w + 16 * words, 4};
  int32_t a0 = dory_bias(&constants, 0), a1 = dory_bias(&constants, 1);
  int32_t a2 = dory_bias(&constants, 2), a3 = dory_bias(&constants, 3);
  int32_t b0 = a0, b1 = a1, b2 = a2, b3 = a3;
  for (int32_t k = 0; k < words; k++, w += 16, p0 += 4, p1 += 4) {
    const uint32_t w0 = xp_load(w), w1 = xp_load(w + 4), w2 = xp_load(w + 8), w3 = xp_load(w + 12);
    const uint32_t x0 = xp_load(p0), x1 = xp_load(p1);
    a0 = xp_sdotusp4(x0, w0, a0);
    a1 = xp_sdotusp4(x0, w1, a1);
    a2 = xp_sdotusp4(x0, w2, a2);
    a3 = xp_sdotusp4(x0, w3, a3);
    b0 = xp_sdotusp4(x1, w0, b0);
    b1 = xp_sdotusp4(x1, w1, b1);
    b2 = xp_sdotusp4(x1, w2, b2);
    b3 = xp_sdotusp4(x1, w3, b3);
  }
  const int32_t acc0[4] = {a0, a1, a2, a3}, acc1[4] = {b0, b1, b2, b3};
  for (int32_t i = 0; i < channels; i++) {
    y0[i] = dory_finish(&constants, i, acc0[i], &a->clip);
    if (y1) y1[i] = dory_finish(&constants, i, acc1[i], &a->clip);
  }
}

/* Split over pixels or over channel groups, whichever leaves the busiest core less to do. */
void dory_conv(const void *args) {
  const dory_conv_args_t *a = args;
  const int32_t pixels = a->h_out * a->w_out, groups = (a->c_out + 3) / 4, words = words_of(a);
  const int32_t cores = drt_core_count();
  const int32_t cost_pixels = (pixels + 2 * cores - 1) / (2 * cores) * groups;
  const int32_t cost_groups = (groups + cores - 1) / cores * ((pixels + 1) / 2);
  const int by_pixels = cost_pixels <= cost_groups;
  const dory_share_t p = by_pixels ? dory_share(pixels) : (dory_share_t){0, pixels};
  const dory_share_t g = by_pixels ? (dory_share_t){0, groups} : dory_share(groups);
  if (g.from >= g.to) return;
  uint8_t *buffer = a->scratch + drt_core_id() * 8 * words;
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

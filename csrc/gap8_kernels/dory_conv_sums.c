/* Convolution of some of the input channels, for layers whose weights of four outputs are too many for L1: sums of
 * products stay in L1 as 32-bit integers from step to step; the last step makes outputs of them.
 *
 * A unit is four pixels x four channels, 16 sums in a row; the last four pixels end with the tile. A core has the same
 * units in every step. On the core, pixels are read as runs of contiguous words, see dory_conv_runs.h. */
#include "dory_conv_work.h"

/* As dory_conv_scratch where pixels are read in place. */
uint32_t dory_conv_sums_scratch(const dory_conv_sums_args_t *args, int32_t cores) {
  const dory_conv_args_t *a = &args->conv;
  return (uint32_t)((a->win.kernel_w + 1) * round4(a->c_in) + cores * 16 * (taps_of(a) + 1));
}

uint32_t dory_conv_sums_bytes(const dory_conv_sums_args_t *args) {
  const dory_conv_args_t *a = &args->conv;
  return (uint32_t)((a->h_out * a->w_out + 3) / 4 * ((a->c_out + 3) / 4) * 64);
}

/* Outputs of one unit; pixels before `from` belong to the block before. */
DORY_OUT_OF_LINE void finish(const dory_conv_sums_args_t *args, const int32_t *sums, int32_t p0, int32_t from,
                             int32_t to, int32_t g) {
  const dory_conv_args_t *a = &args->conv;
  for (int32_t j = 0; j < 4 && 4 * g + j < a->c_out; j++) {
    const int32_t bias = dory_form_bias(a->form, args->heads + 16 * g, j);
    for (int32_t p = from; p < to; p++) {
      a->y[(p0 + p) * a->c_out + 4 * g + j] =
          dory_form_output(a->form, args->tails + 48 * g, j, sums[4 * p + j] + bias, &a->clip);
    }
  }
}

#if defined(__riscv)
#include "dory_conv_runs.h"

/* clang-format off */
#define B_LOAD_SUMS                                                                                                  \
  "lw x5, 0(x1)\nlw x6, 4(x1)\nlw x7, 8(x1)\nlw x8, 12(x1)\nlw x9, 16(x1)\nlw x10, 20(x1)\nlw x11, 24(x1)\n"         \
  "lw x12, 28(x1)\nlw x13, 32(x1)\nlw x14, 36(x1)\nlw x15, 40(x1)\nlw x16, 44(x1)\nlw x17, 48(x1)\nlw x18, 52(x1)\n" \
  "lw x19, 56(x1)\nlw x20, 60(x1)\n"
#define B_STORE_SUMS                                                                                                 \
  "sw x5, 0(x1)\nsw x6, 4(x1)\nsw x7, 8(x1)\nsw x8, 12(x1)\nsw x9, 16(x1)\nsw x10, 20(x1)\nsw x11, 24(x1)\n"         \
  "sw x12, 28(x1)\nsw x13, 32(x1)\nsw x14, 36(x1)\nsw x15, 40(x1)\nsw x16, 44(x1)\nsw x17, 48(x1)\nsw x18, 52(x1)\n" \
  "sw x19, 56(x1)\nsw x20, 60(x1)\naddi x1, x1, 64\n"
__asm__(B_RUNS_TO(dory_runs_sums, B_LOAD_SUMS, B_STORE_SUMS));
/* clang-format on */

void dory_runs_sums(const dory_blocks_t *b);

typedef struct {
  work_t k;
  runs_t r;
} steps_t;

static void begin(steps_t *s, const dory_conv_args_t *a) {
  s->k.a = a;
  s->k.pixels = a->h_out * a->w_out;
  s->k.b.runs = s->k.b.x_step = s->k.b.y_step = s->k.b.reach = s->k.b.y_stride = s->k.b.y_back = 0;
  s->k.b.blocks = 1;
  prepare_runs(&s->k, &s->r);
  s->k.b.table = s->r.table;
}

static void add(steps_t *s, int32_t *sums, int32_t p0, int32_t g0, int32_t g1) {
  const dory_conv_args_t *a = s->k.a;
  fill_table(&s->k, &s->r, p0);
  s->k.b.w = a->w + g0 * taps_of(a) * 4 * round4(a->c_in);
  s->k.b.y = (uint8_t *)sums;
  s->k.b.groups = g1 - g0;
  dory_runs_sums(&s->k.b);
}
#else
typedef struct {
  const dory_conv_args_t *a;
} steps_t;

static void begin(steps_t *s, const dory_conv_args_t *a) { s->a = a; }

/* Adds the products of one pixel and one group. */
static void add_pixel(const dory_conv_args_t *a, int32_t *sums, int32_t y, int32_t x, const uint8_t *w) {
  const dory_window_t *win = &a->win;
  for (int32_t ky = 0, tap = 0; ky < win->kernel_h; ky++) {
    for (int32_t kx = 0; kx < win->kernel_w; kx++, tap++) {
      const int32_t iy = y * win->stride_h - win->pad_t + ky * win->dil_h;
      const int32_t ix = x * win->stride_w - win->pad_l + kx * win->dil_w;
      const int inside = iy >= 0 && iy < a->h_in && ix >= 0 && ix < a->w_in;
      const uint8_t *pixel = inside ? a->x + (iy * a->w_in + ix) * a->c_in : 0;
      for (int32_t c = 0; c < a->c_in; c++) {
        const int32_t k = tap * round4(a->c_in) + c;
        const int8_t *wk = (const int8_t *)w + k / 4 * 16 + k % 4;
        const uint32_t value = pixel ? pixel[c] : (uint32_t)a->pad_value;
        for (int32_t j = 0; j < 4; j++) sums[j] = xp_mac(sums[j], value, wk[4 * j]);
      }
    }
  }
}

static void add(steps_t *s, int32_t *sums, int32_t p0, int32_t g0, int32_t g1) {
  const dory_conv_args_t *a = s->a;
  for (int32_t g = g0; g < g1; g++, sums += 16) {
    for (int32_t p = p0; p < p0 + 4 && p < a->h_out * a->w_out; p++) {
      add_pixel(a, sums + 4 * (p - p0), p / a->w_out, p % a->w_out, a->w + g * taps_of(a) * 4 * round4(a->c_in));
    }
  }
}
#endif

void dory_conv_sums(const void *args_) {
  const dory_conv_sums_args_t *args = args_;
  const dory_conv_args_t *a = &args->conv;
  const int32_t pixels = a->h_out * a->w_out, groups = (a->c_out + 3) / 4;
  const dory_share_t share = dory_share((pixels + 3) / 4 * groups);
  steps_t s;
  begin(&s, a);
  for (int32_t unit = share.from; unit < share.to;) {
    const int32_t block = unit / groups, g0 = unit - block * groups;
    const int32_t g1 = dory_lesser(groups, g0 + share.to - unit);
    const int32_t p0 = pixels < 4 ? 0 : dory_lesser(4 * block, pixels - 4);
    int32_t *sums = args->sums + 16 * unit;
    if (args->first) {
      for (int32_t i = 0; i < 16 * (g1 - g0); i++) sums[i] = 0;
    }
    add(&s, sums, p0, g0, g1);
    if (args->last) {
      for (int32_t g = g0; g < g1; g++) {
        finish(args, sums + 16 * (g - g0), p0, 4 * block - p0, dory_lesser(4, pixels - p0), g);
      }
    }
    unit += g1 - g0;
  }
}

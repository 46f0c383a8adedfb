/* Standard convolution, pointwise included.
 *
 * On the core: blocks of 4 channels x 4 pixels in assembly. What a pixel reads are runs of contiguous words: one for 1x1, one a
 * kernel row inside the tensor, one a tap where columns lie outside (taps outside read a run of padding). Only few input
 * channels that are no multiple of 4 are gathered into rows first. The work, blocks x channel groups, is cut into equal
 * shares. */
#include "dory_common.h"
#include "dory_forms.h"

static int32_t round4(int32_t n) { return (n + 3) / 4 * 4; }

static int32_t taps_of(const dory_conv_args_t *a) { return a->win.kernel_h * a->win.kernel_w; }

/* Whether K is packed without gaps, for gathered rows; otherwise every tap is filled up to whole words. */
static int is_flat(const dory_conv_args_t *a) { return a->c_in % 4 != 0 && a->c_in <= 16 && taps_of(a) * a->c_in > 4; }

static int32_t k4_of(const dory_conv_args_t *a) {
  return is_flat(a) ? round4(taps_of(a) * a->c_in) : taps_of(a) * round4(a->c_in);
}

/* Flat: rows of four pixels for each core. Otherwise a row of padding, one pixel, and for each core the addresses of up to
 * one run a tap of four pixels, and 16 bytes more. */
uint32_t dory_conv_scratch(const dory_conv_args_t *a, int32_t cores) {
  if (is_flat(a)) return (uint32_t)(cores * 4 * k4_of(a));
  return (uint32_t)((a->win.kernel_w + 1) * round4(a->c_in) + cores * 16 * (taps_of(a) + 1));
}

/* The plain twin, and the exact form. */
static void plain_pixel(const dory_conv_args_t *a, int32_t y, int32_t x, int32_t g, uint8_t *out) {
  const dory_window_t *win = &a->win;
  const int32_t k4 = k4_of(a), per_tap = is_flat(a) ? a->c_in : round4(a->c_in);
  const uint8_t *group = a->w + g * (4 * k4 + dory_form_bytes(a->form));
  const uint8_t *w = group + dory_form_head(a->form), *constants = w + 4 * k4;
  int32_t sum[4];
  for (int32_t j = 0; j < 4; j++) sum[j] = dory_form_bias(a->form, group, j);
  for (int32_t tap = 0, ky = 0; ky < win->kernel_h; ky++) {
    for (int32_t kx = 0; kx < win->kernel_w; kx++, tap++) {
      const int32_t iy = y * win->stride_h - win->pad_t + ky * win->dil_h;
      const int32_t ix = x * win->stride_w - win->pad_l + kx * win->dil_w;
      const int inside = iy >= 0 && iy < a->h_in && ix >= 0 && ix < a->w_in;
      const uint8_t *pixel = inside ? a->x + (iy * a->w_in + ix) * a->c_in : 0;
      for (int32_t c = 0; c < a->c_in; c++) {
        const int32_t k = tap * per_tap + c;
        const int8_t *wk = (const int8_t *)w + k / 4 * 16 + k % 4;
        const uint32_t value = pixel ? pixel[c] : (uint32_t)a->pad_value;
        for (int32_t j = 0; j < 4; j++) sum[j] = xp_mac(sum[j], value, wk[4 * j]);
      }
    }
  }
  for (int32_t j = 0; j < 4 && 4 * g + j < a->c_out; j++) {
    out[4 * g + j] = dory_form_output(a->form, constants, j, sum[j], &a->clip);
  }
}

static void plain(const dory_conv_args_t *a) {
  const int32_t groups = (a->c_out + 3) / 4;
  const dory_share_t share = dory_share(a->h_out * a->w_out * groups);
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t p = i / groups;
    plain_pixel(a, p / a->w_out, p % a->w_out, i - p * groups, a->y + p * a->c_out);
  }
}

#if !defined(__riscv)
void dory_conv(const void *args) { plain(args); }
#else
#include "dory_block_asm.h"

typedef void (*block_fn_t)(const dory_blocks_t *);

typedef struct {
  const dory_conv_args_t *a;
  block_fn_t run; /* of this form */
  dory_blocks_t b;
  const uint8_t *w; /* of group 0 */
  int32_t pixels, groups, group_bytes;
} work_t;

/* Channel groups [g0, g1) of the four pixels from p0 on; of the last block of few pixels only some exist. The last
 * group may be partial. Both kinds take the way over a buffer. */
static void run_groups(work_t *k, int32_t p0, int32_t g0, int32_t g1) {
  const dory_conv_args_t *a = k->a;
  const int32_t full = k->pixels < 4 ? g0 : dory_lesser(g1, a->c_out / 4);
  k->b.w = k->w + g0 * k->group_bytes;
  k->b.y = a->y + p0 * a->c_out + 4 * g0;
  if (full > g0) {
    k->b.y_stride = a->c_out;
    k->b.y_back = 4 - 3 * a->c_out;
    k->b.groups = full - g0;
    k->run(&k->b);
  }
  uint8_t buffer[16] __attribute__((aligned(4)));
  for (int32_t g = full; g < g1; g++) {
    k->b.w = k->w + g * k->group_bytes;
    k->b.y = buffer;
    k->b.y_stride = 4;
    k->b.y_back = -8;
    k->b.groups = 1;
    k->run(&k->b);
    for (int32_t p = 0; p < 4 && p < k->pixels; p++) {
      for (int32_t j = 0; j < 4 && 4 * g + j < a->c_out; j++) a->y[(p0 + p) * a->c_out + 4 * g + j] = buffer[4 * p + j];
    }
  }
}

/* Whether every tap of every pixel lies inside the tensor. */
static int all_inside(const dory_conv_args_t *a) {
  const dory_window_t *win = &a->win;
  return win->pad_t == 0 && win->pad_l == 0 &&
         (a->h_out - 1) * win->stride_h + (win->kernel_h - 1) * win->dil_h < a->h_in &&
         (a->w_out - 1) * win->stride_w + (win->kernel_w - 1) * win->dil_w < a->w_in;
}

/* Top left input positions of four pixels; absent ones repeat the last. */
typedef struct {
  int32_t y[4], x[4];
} corners_t;

static void corners_of(const work_t *k, int32_t p0, corners_t *c) {
  const dory_conv_args_t *a = k->a;
  int32_t oy = p0 / a->w_out, ox = p0 - oy * a->w_out;
  for (int32_t i = 0; i < 4; i++) {
    c->y[i] = oy * a->win.stride_h - a->win.pad_t;
    c->x[i] = ox * a->win.stride_w - a->win.pad_l;
    if (i + 1 < k->pixels && ++ox == a->w_out) ox = 0, oy++;
  }
}

/* 1x1 without padding: pixels are read in place. */
static void point_at(work_t *k, int32_t p0) {
  const dory_conv_args_t *a = k->a;
  corners_t c;
  corners_of(k, p0, &c);
  const int32_t first = (c.y[0] * a->w_in + c.x[0]) * a->c_in;
  k->b.x = a->x + first;
  for (int32_t i = 1; i < 4; i++) k->b.offset[i - 1] = (c.y[i] * a->w_in + c.x[i]) * a->c_in - first;
}

/* Rows of the four pixels, gathered in the weights' order. */
static void gather(work_t *k, int32_t p0) {
  const dory_conv_args_t *a = k->a;
  const dory_window_t *win = &a->win;
  const int32_t c = a->c_in, k4 = k4_of(a), row_bytes = win->kernel_w * c;
  corners_t at;
  corners_of(k, p0, &at);
  for (int32_t i = 0; i < 4; i++) {
    uint8_t *to = (uint8_t *)k->b.x + i * k4;
    const dory_share_t kx = dory_taps(at.x[i], win->kernel_w, win->dil_w, a->w_in);
    for (int32_t ky = 0; ky < win->kernel_h; ky++, to += row_bytes) {
      const int32_t iy = at.y[i] + ky * win->dil_h;
      const int inside = iy >= 0 && iy < a->h_in;
      const uint8_t *row = a->x + (iy * a->w_in + at.x[i]) * c;
      if (inside && win->dil_w == 1 && kx.to - kx.from == win->kernel_w) {
        dory_copy(to, row, row_bytes);
        continue;
      }
      for (int32_t x = 0; x < win->kernel_w; x++) {
        if (inside && x >= kx.from && x < kx.to) {
          dory_copy(to + x * c, row + x * win->dil_w * c, c);
        } else {
          dory_fill(to + x * c, a->pad_value, c);
        }
      }
    }
    for (uint8_t *end = (uint8_t *)k->b.x + (i + 1) * k4; to < end;) *to++ = 0;
  }
}

/* The scratch of a convolution with runs. */
typedef struct {
  const uint8_t *padding; /* a kernel row of it */
  const uint8_t *last;    /* the last pixel and zeros, when it must not be read beyond */
  uint32_t *table;
} runs_t;

static void fill_table(work_t *k, const runs_t *r, int32_t p0) {
  const dory_conv_args_t *a = k->a;
  const dory_window_t *win = &a->win;
  const int32_t c4 = round4(a->c_in), row_bytes = a->w_in * a->c_in;
  corners_t at;
  corners_of(k, p0, &at);
  int whole_rows = win->dil_w == 1 && a->c_in % 4 == 0;
  for (int32_t i = 0; i < 4; i++) whole_rows = whole_rows && at.x[i] >= 0 && at.x[i] + win->kernel_w <= a->w_in;
  const int32_t steps = whole_rows ? 1 : win->kernel_w;
  uint32_t *to = r->table;
  for (int32_t ky = 0; ky < win->kernel_h; ky++) {
    const uint8_t *row[4]; /* of each pixel, or none */
    for (int32_t i = 0; i < 4; i++) {
      const int32_t iy = at.y[i] + ky * win->dil_h;
      row[i] = iy >= 0 && iy < a->h_in ? a->x + iy * row_bytes : 0;
    }
    for (int32_t kx = 0; kx < steps; kx++, to += 4) {
      for (int32_t i = 0; i < 4; i++) {
        const int32_t ix = at.x[i] + kx * win->dil_w;
        const uint8_t *from = r->padding;
        if (row[i] && ix >= 0 && ix < a->w_in) from = row[i] + ix * a->c_in;
        if (r->last && from == a->x + a->h_in * row_bytes - a->c_in) from = r->last;
        to[i] = (uint32_t)from;
      }
      for (int32_t i = 1; i < 4; i++) to[i] -= to[0];
    }
  }
  to[0] = to[1] = to[2] = to[3] = 0; /* read, not used */
  k->b.runs = win->kernel_h * steps;
  k->b.words = (whole_rows ? win->kernel_w : 1) * c4 / 4;
}

/* All cores fill their part of the common scratch. */
static void prepare_runs(const work_t *k, runs_t *r) {
  const dory_conv_args_t *a = k->a;
  const int32_t c4 = round4(a->c_in), row = a->win.kernel_w * c4;
  uint8_t *last = a->scratch + row;
  r->padding = a->scratch;
  r->table = (uint32_t *)(last + c4 + drt_core_id() * 16 * (taps_of(a) + 1));
  r->last = a->c_in % 4 ? last : 0;
  const dory_share_t share = dory_share(row / 4);
  for (int32_t i = share.from; i < share.to; i++) xp_store(a->scratch + 4 * i, (uint32_t)a->pad_value * 0x01010101u);
  if (r->last && drt_core_id() == 0 && a->h_in * a->w_in > 0) { /* a tile may see padding alone */
    dory_copy(last, a->x + (a->h_in * a->w_in - 1) * a->c_in, a->c_in);
    for (int32_t i = a->c_in; i < c4; i++) last[i] = 0;
  }
  drt_team_barrier();
}

/* The output's lower limit, where it isn't 0, is added at last. */
static void add_low(const dory_conv_args_t *a) {
  drt_team_barrier();
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c_out);
  for (int32_t i = share.from; i < share.to; i++) a->y[i] = (uint8_t)(a->y[i] + a->clip.lo);
}

static const block_fn_t pointwise[] = {dory_pointwise_narrow, dory_pointwise_mul15, dory_pointwise_wide};
static const block_fn_t runs[] = {dory_runs_narrow, dory_runs_mul15, dory_runs_wide};

static void run_share(work_t *k, runs_t *r, int flat) {
  const int32_t blocks = (k->pixels + 3) / 4;
  const dory_share_t share = dory_share(blocks * k->groups);
  for (int32_t unit = share.from; unit < share.to;) {
    const int32_t block = unit / k->groups, g0 = unit - block * k->groups;
    const int32_t g1 = dory_lesser(k->groups, g0 + share.to - unit);
    /* The last block ends with the last pixel, and repeats what others do as well. */
    const int32_t p0 = k->pixels < 4 ? 0 : dory_lesser(4 * block, k->pixels - 4);
    if (flat) {
      gather(k, p0);
    } else if (r->table) {
      fill_table(k, r, p0);
    } else {
      point_at(k, p0);
    }
    run_groups(k, p0, g0, g1);
    unit += g1 - g0;
  }
}

void dory_conv(const void *args) {
  const dory_conv_args_t *a = args;
  /* Of one channel, words would reach over the tile's last three pixels. */
  if (a->form == DORY_EXACT || (a->c_in == 1 && !is_flat(a))) {
    plain(a);
    return;
  }
  const int flat = is_flat(a), k4 = k4_of(a);
  work_t k = {.a = a, .w = a->w, .pixels = a->h_out * a->w_out, .groups = (a->c_out + 3) / 4};
  runs_t r = {0};
  k.group_bytes = 4 * k4 + dory_form_bytes(a->form);
  k.b.reach = a->clip.hi - a->clip.lo;
  k.b.blocks = 1;
  k.b.words = k4 / 4;
  k.run = pointwise[a->form];
  if (flat) {
    k.b.x = a->scratch + drt_core_id() * 4 * k4;
    k.b.offset[0] = k4, k.b.offset[1] = 2 * k4, k.b.offset[2] = 3 * k4;
  } else if (taps_of(a) > 1 || a->c_in % 4 || a->c_in < 8 || !all_inside(a)) {
    prepare_runs(&k, &r);
    k.run = runs[a->form];
    k.b.table = r.table;
  }
  run_share(&k, &r, flat);
  if (a->clip.lo) add_low(a);
}
#endif

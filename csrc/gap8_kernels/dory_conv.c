/* Standard convolution, pointwise included.
 *
 * On the core: blocks of 4 channels x 4 or 5 pixels in assembly. Contiguous pixels of a 1x1 kernel are read in place,
 * in calls of many blocks. Windows of whole words are read as rows at equal distances; where they reach outside, the
 * tile is copied with its padding first. Few input channels are gathered into rows first, and so are few taps of
 * layers without such a copy. Otherwise a pixel reads runs of contiguous words: one a kernel row inside the tensor, one
 * a tap where columns lie outside (taps outside read a run of padding). The work, blocks x channel groups or pixels, is
 * cut into equal shares. */
#include "dory_conv_work.h"

/* The copy with padding, and behind it, unless windows are read as rows: flat, for each core the rows of some pixels,
 * and two words that copies may run over; otherwise a row of padding, one pixel, and for each core the addresses of up
 * to one run a tap of four pixels, and 16 bytes more. */
uint32_t dory_conv_scratch(const dory_conv_args_t *a, int32_t cores) {
  const int32_t k4 = k4_of(a);
  if (is_rows(a)) return (uint32_t)padded_bytes(a);
  if (is_flat(a)) return (uint32_t)(padded_bytes(a) + cores * (flat_pixels(k4) * k4 + 8));
  return (uint32_t)(padded_bytes(a) + (a->win.kernel_w + 1) * round4(a->c_in) + cores * 16 * (taps_of(a) + 1));
}

/* The plain twin, and the exact form. */
DORY_OUT_OF_LINE void plain_pixel(const dory_conv_args_t *a, int32_t y, int32_t x, int32_t g, uint8_t *out) {
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

DORY_OUT_OF_LINE void plain(const dory_conv_args_t *a) {
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
#include "dory_conv_gather.h"
#include "dory_conv_pad.h"
#include "dory_conv_rows.h"
#include "dory_conv_runs.h"

/* Channel groups [g0, g1) of the four pixels from p0 on; of the last block of few pixels only some exist. The last
 * group may be partial. Both kinds take the way over a buffer. */
DORY_OUT_OF_LINE void run_groups(work_t *k, int32_t p0, int32_t g0, int32_t g1) {
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

/* Windows inside the tensor: pixels are read in place. */
static void point_at(work_t *k, int32_t p0) {
  const dory_conv_args_t *a = k->a;
  corners_t c;
  corners_of(k, p0, &c);
  const int32_t first = c.y[0] * k->pitch + c.x[0] * a->c_in;
  k->b.x = a->x + first;
  for (int32_t i = 1; i < 4; i++) k->b.offset[i - 1] = c.y[i] * k->pitch + c.x[i] * a->c_in - first;
}

/* The output's lower limit, where it isn't 0, is added at last. */
DORY_OUT_OF_LINE void add_low(const dory_conv_args_t *a) {
  drt_team_barrier();
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c_out);
  for (int32_t i = share.from; i < share.to; i++) a->y[i] = (uint8_t)(a->y[i] + a->clip.lo);
}

/* The functions of a form; not from tables, which would lie in L2. */
#define BY_FORM(kind) (form == DORY_NARROW ? kind##_narrow : form == DORY_MUL15 ? kind##_mul15 : kind##_wide)

static block_fn_t *pointwise(int32_t form) { return BY_FORM(dory_pointwise); }

static block_fn_t *pointwise5(int32_t form) { return BY_FORM(dory_pointwise5); }

static block_fn_t *rows(int32_t form) { return BY_FORM(dory_rows); }

static block_fn_t *rows5(int32_t form) { return BY_FORM(dory_rows5); }

static block_fn_t *slide(int32_t form) { return BY_FORM(dory_slide); }

static block_fn_t *runs(int32_t form) { return BY_FORM(dory_runs); }

DORY_OUT_OF_LINE void run_share(work_t *k, runs_t *r, int flat) {
  const int32_t blocks = (k->pixels + 3) / 4;
  const dory_share_t share = dory_share(blocks * k->groups);
  int32_t block = share.from ? share.from / k->groups : 0, g0 = share.from - block * k->groups;
  for (int32_t left = share.to - share.from; left > 0; block++, g0 = 0) {
    const int32_t g1 = dory_lesser(k->groups, g0 + left);
    /* The last block ends with the last pixel, and repeats what others do as well. */
    const int32_t p0 = k->pixels < 4 ? 0 : dory_lesser(4 * block, k->pixels - 4);
    if (flat) {
      gather_from(k, p0);
      gather(k, 4);
    } else if (r->table) {
      fill_table(k, r, p0);
    } else {
      point_at(k, p0);
    }
    run_groups(k, p0, g0, g1);
    left -= g1 - g0;
  }
}

/* Blocks of contiguous pixels: `size` of them from the pixel `first` on, `count` blocks. */
typedef struct {
  block_fn_t *run;
  int32_t size, first, count;
} stretch_t;

/* Groups [g0, g1) of blocks [block, block + blocks) of a stretch; no partial group. */
DORY_OUT_OF_LINE void run_blocks(work_t *k, const stretch_t *s, int32_t block, int32_t blocks, int32_t g0, int32_t g1) {
  const dory_conv_args_t *a = k->a;
  const int32_t p0 = s->first + block * s->size;
  k->b.x = a->x + p0 * a->c_in;
  k->b.y = a->y + p0 * a->c_out + 4 * g0;
  k->b.w = k->w + g0 * k->group_bytes;
  k->b.groups = g1 - g0;
  k->b.blocks = blocks;
  k->b.y_step = s->size * a->c_out - 4 * k->b.groups;
  s->run(&k->b);
}

/* This core's share: the rest of a block, whole blocks, the beginning of another one. */
DORY_OUT_OF_LINE void run_stretch(work_t *k, const stretch_t *s) {
  const dory_conv_args_t *a = k->a;
  const int32_t groups = a->c_out / 4;
  if (s->count == 0 || groups == 0) return;
  /* The larger shares of blocks of 4 go to the cores with the smaller ones of blocks of 5. */
  const int32_t cores = drt_core_count(), core = drt_core_id();
  const dory_share_t share = dory_share_of(s->count * groups, cores, s->size == 4 ? cores - 1 - core : core);
  int32_t left = share.to - share.from, block = share.from ? share.from / groups : 0;
  const int32_t g0 = share.from - block * groups;
  k->b.y_stride = a->c_out;
  k->b.y_back = 4 - (s->size - 1) * a->c_out;
  k->b.x_step = s->size * a->c_in;
  k->b.offset[0] = a->c_in;
  k->b.offset[1] = s->size == 5 ? 4 - 4 * a->c_in : 2 * a->c_in;
  k->b.offset[2] = 3 * a->c_in;
  if (g0 > 0 && left > 0) {
    const int32_t n = dory_lesser(left, groups - g0);
    run_blocks(k, s, block++, 1, g0, g0 + n);
    left -= n;
  }
  const int32_t whole = left < groups ? 0 : left / groups;
  if (whole > 0) run_blocks(k, s, block, whole, 0, groups);
  left -= whole * groups;
  if (left > 0) run_blocks(k, s, block + whole, 1, 0, left);
}

/* The last, partial group of every pixel. */
DORY_OUT_OF_LINE void run_last_group(work_t *k) {
  k->b.blocks = 1;
  const dory_share_t share = dory_share((k->pixels + 3) / 4);
  for (int32_t block = share.from; block < share.to; block++) {
    const int32_t p0 = dory_lesser(4 * block, k->pixels - 4);
    point_at(k, p0);
    run_groups(k, p0, k->groups - 1, k->groups);
  }
}

/* Contiguous pixels: all of them in blocks of 5 and, for what that leaves, up to four blocks of 4. */
DORY_OUT_OF_LINE int run_contiguous(work_t *k) {
  const int32_t form = k->a->form, fours = (5 - k->pixels % 5) % 5, fives = (k->pixels - 4 * fours) / 5;
  if (4 * fours > k->pixels) return 0;
  const stretch_t s5 = {pointwise5(form), 5, 0, fives}, s4 = {pointwise(form), 4, 5 * fives, fours};
  run_stretch(k, &s5);
  run_stretch(k, &s4);
  if (k->a->c_out % 4) run_last_group(k);
  return 1;
}

/* Gathered pixels, as many as there is room for at a time: count blocks of `size` pixels from p0 on. */
DORY_OUT_OF_LINE void run_rows(work_t *k, block_fn_t *run, int32_t size, int32_t p0, int32_t count) {
  const dory_conv_args_t *a = k->a;
  const int32_t k4 = 4 * k->words, at_once = flat_pixels(k4) / FIVE;
  k->b.offset[0] = k4;
  k->b.offset[1] = size == FIVE ? 4 - 4 * k4 : 2 * k4;
  k->b.offset[2] = 3 * k4;
  k->b.x_step = size * k4;
  k->b.y_stride = a->c_out;
  k->b.y_back = 4 - (size - 1) * a->c_out;
  k->b.y_step = size * a->c_out - 4 * k->groups;
  k->b.groups = k->groups;
  for (; count > 0; count -= at_once, p0 += at_once * size) {
    k->b.blocks = dory_lesser(count, at_once);
    gather(k, size * k->b.blocks);
    k->b.x = k->rows;
    k->b.w = k->w;
    k->b.y = a->y + p0 * a->c_out;
    run(&k->b);
  }
}

/* Cores take pixels, where there are enough of them and no partial group. */
DORY_OUT_OF_LINE void run_gathered(work_t *k) {
  const int32_t form = k->a->form;
  const dory_share_t share = dory_share(k->pixels);
  const int32_t n = share.to - share.from, fours = (5 - n % 5) % 5, fives = (n - 4 * fours) / 5;
  gather_from(k, share.from);
  run_rows(k, pointwise5(form), 5, share.from, fives);
  run_rows(k, pointwise(form), 4, share.from + 5 * fives, fours);
}

static int is_contiguous(const dory_conv_args_t *a) {
  return taps_of(a) == 1 && a->win.stride_h == 1 && a->win.stride_w == 1 && all_inside(a) && a->w_out == a->w_in;
}

/* Windows inside the tensor, each a few rows of words. */
static void run_windows(work_t *k, runs_t *r) {
  const dory_conv_args_t *a = k->a;
  const int32_t form = a->form, run = a->win.kernel_w * a->c_in;
  k->b.runs = a->win.kernel_h;
  k->b.words = run / 4;
  k->b.x_jump = a->win.dil_h * k->pitch - run;
  k->run = rows(form);
  if (slides(a) && k->pixels >= 4) {
    run_slides(k, a->c_out / 4, slide(form), rows(form));
    if (a->c_out % 4) run_last_group(k);
  } else if (run_in_rows(k, a->c_out / 4, rows5(form), rows(form))) {
    if (a->c_out % 4) run_last_group(k);
  } else {
    run_share(k, r, 0);
  }
}

/* 1x1 without padding; 0 where the pixels don't come out even. */
static int run_points(work_t *k) {
  const dory_conv_args_t *a = k->a;
  if (is_contiguous(a)) return run_contiguous(k);
  if (!run_in_rows(k, a->c_out / 4, pointwise5(a->form), pointwise(a->form))) return 0;
  if (a->c_out % 4) run_last_group(k);
  return 1;
}

/* Other pixels are gathered, read through tables, or alone. */
static void run_any(work_t *k, runs_t *r) {
  const dory_conv_args_t *a = k->a;
  const int flat = is_flat(a);
  const int32_t k4 = 4 * k->words;
  const int apart = flat && a->c_out % 4 == 0 && k->pixels >= 12 * drt_core_count();
  k->run = pointwise(a->form);
  if (flat) {
    prepare_gather(k, apart ? flat_pixels(k4) : 4);
    k->b.x = k->rows;
    k->b.offset[0] = k4, k->b.offset[1] = 2 * k4, k->b.offset[2] = 3 * k4;
  } else if (taps_of(a) > 1 || a->c_in % 4 || a->c_in < 8 || !all_inside(a)) {
    prepare_runs(k, r);
    k->run = runs(a->form);
    k->b.table = r->table;
  }
  if (apart) {
    run_gathered(k);
  } else if (flat || r->table || !run_points(k)) {
    run_share(k, r, flat);
  }
}

/* `pitch` bytes from row to row of the input; in_rows: all windows lie inside. */
DORY_OUT_OF_LINE void convolve(const dory_conv_args_t *a, int32_t pitch, int in_rows) {
  const int32_t k4 = k4_of(a);
  /* Not cleared: that takes as long as the rest. */
  work_t k;
  runs_t r;
  k.a = a;
  k.w = a->w;
  k.pitch = pitch;
  k.pixels = a->h_out * a->w_out;
  k.groups = (a->c_out + 3) / 4;
  k.b.runs = k.b.x_step = k.b.y_step = 0;
  r.table = 0;
  k.group_bytes = 4 * k4 + dory_form_bytes(a->form);
  k.b.reach = a->clip.hi - a->clip.lo;
  k.b.blocks = 1;
  k.b.words = k.words = k4 / 4;
  if (in_rows) {
    run_windows(&k, &r);
  } else {
    run_any(&k, &r);
  }
  if (a->clip.lo) add_low(a);
}

DORY_OUT_OF_LINE void convolve_copy(const dory_conv_args_t *a) {
  dory_conv_args_t padded;
  const int32_t pitch = pad_tile(a, &padded);
  convolve(&padded, pitch, is_rows(a));
}

void dory_conv(const void *args) {
  const dory_conv_args_t *a = args;
  if (a->form == DORY_EXACT) {
    plain(a);
  } else if (padded_bytes(a)) {
    convolve_copy(a);
  } else {
    convolve(a, a->w_in * a->c_in, is_rows(a));
  }
}
#endif

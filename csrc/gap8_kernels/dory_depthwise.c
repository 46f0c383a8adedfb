/* Depthwise convolution. Four channels at a time are taken apart into planes in the scratch, padding included; each plane is
 * then convolved on its own, four columns of the output at a time. Dilated windows read their inputs in place. */
#include "dory_depthwise.h"

#ifdef DORY_DW_ASM
#include "dory_depthwise_asm.h"
#endif

enum { PLANES_BYTES = 16384 }; /* of all cores; one output row is always possible */

/* Bytes of a plane's row: whole words, as far as the last output's kernel row reaches. */
static inline int32_t row_bytes(const dory_depthwise_args_t *a) {
  const int32_t columns = a->w_out < 4 ? 4 : a->w_out; /* a strip */
  return ((columns - 1) * a->win.stride_w + ((a->win.kernel_w + 3) & ~3) + 3) & ~3;
}

uint32_t dory_depthwise_scratch(const dory_depthwise_args_t *a, int32_t cores) {
  if (a->win.dil_h != 1 || a->win.dil_w != 1) return 0;
  const int32_t unit = 4 * cores * row_bytes(a), all = (a->h_out - 1) * a->win.stride_h + a->win.kernel_h;
  const int32_t some = PLANES_BYTES / unit > a->win.kernel_h ? PLANES_BYTES / unit : a->win.kernel_h;
  return (uint32_t)(unit * (all < some ? all : some));
}

/* Four planes of one size, one behind the other. */
typedef struct {
  uint8_t *at;
  dory_dw_split_t s;
  uint32_t word;       /* four bytes of padding */
  int32_t left, right; /* the input's columns */
} planes_t;

/* `count` words, an even number, `step` bytes apart. */
static inline void fill(uint8_t *at, uint32_t word, int32_t count, int32_t step) {
#ifdef DORY_DW_ASM
  dory_dw_fill(at, word, count >> 1, step);
#else
  for (int32_t i = 0; i < count; i++) xp_store(at + i * step, word);
#endif
}

/* Rows [from, to) of each plane become padding. */
DORY_OUT_OF_LINE void fill_rows(const planes_t *p, int32_t from, int32_t to) {
  uint8_t *const end = p->at + to * p->s.row_bytes;
  for (uint8_t *at = p->at + from * p->s.row_bytes; at < end; at += 4) fill(at, p->word, 4, p->s.plane);
}

/* The columns left and right of the input become padding in all rows of all planes: whole words, whatever the input covers
 * later. */
DORY_OUT_OF_LINE void fill_columns(const planes_t *p) {
  const int32_t before = (p->left + 3) & ~3, row_bytes = p->s.row_bytes;
  int32_t rows = 0;
  for (int32_t at = 0; at < p->s.plane; at += row_bytes) rows += 4;
  for (int32_t c = 0; c < before; c += 4) fill(p->at + c, p->word, rows, row_bytes);
  for (int32_t c = p->right & ~3; c < row_bytes; c += 4) fill(p->at + c, p->word, rows, row_bytes);
}

/* One byte at a time: what the fast way cannot do. */
DORY_OUT_OF_LINE void split_bytes(const uint8_t *x, uint8_t *to, const dory_dw_split_t *s, int32_t rows, int32_t cols,
                                  int32_t channels) {
  for (int32_t r = 0; r < rows; r++, x += s->x_row, to += s->row_bytes) {
    for (int32_t i = 0; i < cols; i++) {
      for (int32_t k = 0; k < channels; k++) to[k * s->plane + i] = x[i * s->c + k];
    }
  }
}

/* rows x cols pixels from x on into planes from `to` on. */
static inline void split(const uint8_t *x, uint8_t *to, const dory_dw_split_t *s, int32_t rows, int32_t cols,
                         int32_t channels) {
  if (rows <= 0 || cols <= 0) return;
#ifdef DORY_DW_ASM
  if (channels == 4 && cols >= 4) {
    dory_dw_split4(x, to, s, rows, cols >> 2);
    if (cols & 3) dory_dw_split4(x + (cols - 4) * s->c, to + cols - 4, s, rows, 1);
    return;
  }
#endif
  split_bytes(x, to, s, rows, cols, channels);
}

/* Any kernel and stride on one plane. */
DORY_OUT_OF_LINE void channel_any(const dory_depthwise_args_t *a, const dory_dw_job_t *j, const uint8_t *plane,
                                  const uint8_t *w, uint8_t *y) {
  const dory_window_t *win = &a->win;
  const int32_t words = (win->kernel_w + 3) >> 2;
  const dory_dw_channel_t k = dory_dw_channel(w + 4 * words * win->kernel_h);
  for (int32_t r = 0; r < j->rows; r++, plane += win->stride_h * j->row_bytes) {
    for (int32_t col = 0; col < a->w_out; col++, y += a->c) {
      const uint8_t *x = plane + col * win->stride_w, *wk = w;
      int32_t acc = k.bias;
      for (int32_t ky = 0; ky < win->kernel_h; ky++, x += j->row_bytes) {
        for (int32_t i = 0; i < words; i++, wk += 4) acc = xp_sdotusp4(xp_load(x + 4 * i), xp_load(wk), acc);
      }
      *y = (uint8_t)dory_dw_output(&k, acc, j->reach);
    }
  }
}

/* A lower limit other than 0 is added at last. */
DORY_OUT_OF_LINE void add_low(const dory_depthwise_args_t *a, uint8_t *y, int32_t pixels, int32_t channels) {
  for (int32_t i = 0; i < pixels; i++, y += a->c) {
    for (int32_t k = 0; k < channels; k++) y[k] = (uint8_t)(y[k] + a->clip.lo);
  }
}

/* A band of output rows: what is the same for all its channels. */
typedef struct {
  dory_dw_job_t j;
  int32_t top, from, to; /* the planes' first row in the input; rows [from, to) of the planes come from there */
#ifdef DORY_DW_ASM
  dory_dw_fn *fast[2]; /* for the narrow and the mul15 form, or NULL */
#endif
} band_t;

#ifdef DORY_DW_ASM
static void find_fast(const dory_depthwise_args_t *a, band_t *b) {
  const dory_window_t *win = &a->win;
  b->fast[0] = b->fast[1] = NULL;
  if (win->kernel_h != win->kernel_w || win->stride_h != win->stride_w) return;
  if (win->kernel_h == 3 && win->stride_h == 1) b->fast[0] = dory_dw_3x3_s1_narrow, b->fast[1] = dory_dw_3x3_s1_mul15;
  if (win->kernel_h == 3 && win->stride_h == 2) b->fast[0] = dory_dw_3x3_s2_narrow, b->fast[1] = dory_dw_3x3_s2_mul15;
  if (win->kernel_h == 5 && win->stride_h == 1 && b->j.rows >= 4) {
    b->fast[0] = dory_dw_5x5_s1_narrow, b->fast[1] = dory_dw_5x5_s1_mul15;
  }
}
#endif

#ifdef DORY_DW_ASM
/* Fewer than four columns: a strip's outputs are where the plane was, whose rows are read before. */
DORY_OUT_OF_LINE void take_out(const dory_depthwise_args_t *a, const band_t *b, const uint8_t *plane, uint8_t *y) {
  for (int32_t r = 0; r < b->j.rows; r++, plane += b->j.row_bytes) {
    for (int32_t i = 0; i < a->w_out; i++, y += a->c) *y = plane[i];
  }
}
#endif

static inline void convolve(const dory_depthwise_args_t *a, const band_t *b, const uint8_t *planes, const uint8_t *w,
                            uint8_t *y, int32_t channels, int32_t record) {
  for (int32_t k = 0; k < channels;) {
    const uint8_t *plane = planes + k * b->j.plane, *wk = w + k * record;
#ifdef DORY_DW_ASM
    const uint32_t form = xp_load(wk + record - 4) >> 8;
    if (form <= DORY_DW_MUL15 && b->fast[form]) {
      if (a->w_out >= 4) {
        k = channels - b->fast[form](plane, wk, y + k, &b->j, channels - k);
      } else {
        (void)b->fast[form](plane, wk, (uint8_t *)plane, &b->j, 1);
        take_out(a, b, plane, y + k);
        k++;
      }
      continue;
    }
#endif
    channel_any(a, &b->j, plane, wk, y + k);
    k++;
  }
}

/* Prepares the band from output row y0 on, and its padding. */
static void enter_band(const dory_depthwise_args_t *a, const planes_t *p, band_t *b, int32_t y0, int first) {
  const dory_window_t *win = &a->win;
  dory_dw_job_t *j = &b->j;
  j->rows = dory_lesser(a->h_out - y0, a->rows);
  const int32_t all = (j->rows - 1) * win->stride_h + win->kernel_h;
  b->top = y0 * win->stride_h - win->pad_t;
  b->from = dory_clip(-b->top, 0, all);
  b->to = dory_clip(a->h_in - b->top, b->from, all);
  for (j->rounds = 0; 3 * j->rounds < j->rows;) j->rounds++;
  const int32_t less = 3 * j->rounds - j->rows;
  j->enter = less == 1 ? -1 : less >> 1;
  j->rewind = all * j->row_bytes - 4 * win->stride_w;
  j->y_rewind = (j->rows * a->w_out - 4) * a->c;
  if (first) fill_columns(p);
  if (b->from > 0) fill_rows(p, 0, b->from);
  if (b->to < all) fill_rows(p, b->to, all);
#ifdef DORY_DW_ASM
  find_fast(a, b);
#endif
}

/* Items are bands of output rows of four channels. */
static void in_planes(const dory_depthwise_args_t *a) {
  const dory_window_t *win = &a->win;
  const int32_t rb = row_bytes(a), band_bytes = ((a->rows - 1) * win->stride_h + win->kernel_h) * rb;
  const int32_t record = ((win->kernel_w + 3) & ~3) * win->kernel_h + 16;
  int32_t bands = 1;
  while (bands * a->rows < a->h_out) bands++;
  const dory_share_t share = dory_share(((a->c + 3) >> 2) * bands);
  if (share.from == share.to) return;
  planes_t p = {.s = {a->c, a->w_in * a->c, rb, band_bytes}, .word = (uint32_t)a->pad_value * 0x01010101u};
  p.at = a->scratch + 4 * drt_core_id() * band_bytes;
  p.left = dory_lesser(win->pad_l, rb);
  p.right = dory_lesser(p.left + a->w_in, rb);
  band_t b; /* large: nothing is cleared that is written anyway */
  b.j.row_bytes = rb, b.j.c = a->c, b.j.y_row = (a->w_out - 3) * a->c, b.j.plane = band_bytes;
  b.j.strips = (a->w_out + 3) >> 2;
  const int32_t overlap = 4 * b.j.strips - a->w_out;
  b.j.back = overlap * win->stride_w;
  b.j.y_back = overlap * a->c;
  b.j.reach = a->clip.hi - a->clip.lo;
  const int strip = a->w_out < 4;
  if (strip) b.j.c = 1, b.j.y_row = rb - 3, b.j.back = b.j.y_back = 0;
  int32_t group = bands == 1 ? share.from : share.from / bands, band = share.from - group * bands, last = -1;
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t y0 = band * a->rows;
    if (band != last || strip) { /* else the padding is where it was */
      enter_band(a, &p, &b, y0, last < 0 || strip);
      last = band;
    }
    const int32_t channels = dory_lesser(a->c - 4 * group, 4);
    split(a->x + (b.top + b.from) * p.s.x_row + 4 * group, p.at + b.from * rb + p.left, &p.s, b.to - b.from,
          p.right - p.left, channels);
    uint8_t *const y = a->y + y0 * a->w_out * a->c + 4 * group;
    convolve(a, &b, p.at, a->w + 4 * group * record, y, channels, record);
    if (a->clip.lo) add_low(a, y, b.j.rows * a->w_out, channels);
    if (++band == bands) band = 0, group++;
  }
}

/* Split over pixels and channels together. */
DORY_OUT_OF_LINE void in_place(const dory_depthwise_args_t *a) {
  const dory_window_t *win = &a->win;
  const int32_t row = (win->kernel_w + 3) & ~3, weights = row * win->kernel_h;
  const dory_share_t share = dory_share(a->h_out * a->w_out * a->c);
  for (int32_t i = share.from; i < share.to;) {
    const dory_run_t run = dory_run(i, share.to, a->w_out, a->c);
    const int32_t y0 = run.y * win->stride_h - win->pad_t, x0 = run.x * win->stride_w - win->pad_l;
    for (int32_t c = run.c0; c < run.c1; c++, i++) {
      const uint8_t *w = a->w + c * (weights + 16);
      const dory_dw_channel_t k = dory_dw_channel(w + weights);
      int32_t acc = k.bias;
      for (int32_t ky = 0; ky < win->kernel_h; ky++, w += row) {
        const int32_t y = y0 + ky * win->dil_h;
        for (int32_t kx = 0; kx < win->kernel_w; kx++) {
          const int32_t x = x0 + kx * win->dil_w;
          const int inside = y >= 0 && y < a->h_in && x >= 0 && x < a->w_in;
          acc = xp_mac(acc, inside ? a->x[(y * a->w_in + x) * a->c + c] : (uint32_t)a->pad_value, (int8_t)w[kx]);
        }
      }
      a->y[i] = (uint8_t)(a->clip.lo + dory_dw_output(&k, acc, a->clip.hi - a->clip.lo));
    }
  }
}

void dory_depthwise(const void *args) {
  const dory_depthwise_args_t *a = args;
  if (a->win.dil_h == 1 && a->win.dil_w == 1) {
    in_planes(a);
  } else {
    in_place(a);
  }
}

/* Depthwise convolution. Four channels at a time are taken apart into planes in the scratch, padding included; each
 * plane is then convolved on its own, four columns of the output at a time. Dilated windows read their inputs in place.
 * */
#include "dory_depthwise.h"

#ifdef DORY_DW_ASM
#include "dory_depthwise_asm.h"
#endif

enum { PLANES_BYTES = 16384 }; /* of all cores; one output row is always possible */

/* Where the first input of the first output lies in a plane's row, at most: see lead. */
static inline int32_t most_lead(const dory_window_t *win) { return win->kernel_w == 3 && win->stride_w == 2 ? 3 : 0; }

/* Where it does lie: so that the tile's first column begins a word without padding and with one column of it. */
static inline int32_t lead(const dory_window_t *win) { return win->pad_l & 1 ? most_lead(win) : 0; }

/* Bytes of a plane's row: whole words, as far as the last output's kernel row reaches; four outputs at least. */
static inline int32_t row_bytes(const dory_depthwise_args_t *a) {
  const int32_t w = a->w_out > 4 ? a->w_out : 4;
  return ((w - 1) * a->win.stride_w + most_lead(&a->win) + ((a->win.kernel_w + 3) & ~3) + 3) & ~3;
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
  uint32_t word; /* four bytes of padding */
} planes_t;

#ifdef DORY_DW_ASM
#define fill dory_dw_fill
#else
/* `words` of padding, `step` bytes from one to the next. */
static void fill(uint8_t *at, uint32_t word, int32_t words, int32_t step) {
  for (; words > 0; words--, at += step) xp_store(at, word);
}
#endif

/* Rows of each plane, of which there are `rows`, other than [from, to) become padding. */
DORY_OUT_OF_LINE void fill_rows(const planes_t *p, int32_t from, int32_t to, int32_t rows) {
  const int32_t words = p->s.row_bytes >> 2;
  uint8_t *at = p->at + to * p->s.row_bytes;
  fill(p->at, p->word, from * words, 4);
  for (int k = 0; k < 3; k++, at += p->s.plane) fill(at, p->word, (rows - to + from) * words, 4);
  fill(at, p->word, (rows - to) * words, 4);
}

/* All words of `rows` rows of all planes with columns outside of [left, right). */
DORY_OUT_OF_LINE void fill_sides(const planes_t *p, int32_t left, int32_t right, int32_t rows) {
  for (int32_t i = 0; i < p->s.row_bytes; i += 4) {
    if (i < left || i + 4 > right) fill(p->at + i, p->word, 4 * rows, p->s.row_bytes);
  }
}

/* One pixel at a time: what the fast way cannot do. */
DORY_OUT_OF_LINE void split_pixels(const uint8_t *x, uint8_t *to, const dory_dw_split_t *s, int32_t rows, int32_t cols,
                                   int32_t channels) {
  for (int32_t r = 0; r < rows; r++, x += s->x_row, to += s->row_bytes) {
    const uint8_t *from = x;
    uint8_t *at = to;
    for (int32_t i = 0; i < cols; i++, from += s->c, at++) {
      if (channels == 4) {
        const uint32_t four = xp_load(from);
        at[0] = (uint8_t)four;
        at[s->plane] = (uint8_t)(four >> 8);
        at[2 * s->plane] = (uint8_t)(four >> 16);
        at[3 * s->plane] = (uint8_t)(four >> 24);
      } else {
        for (int32_t k = 0; k < channels; k++) at[k * s->plane] = from[k];
      }
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
  split_pixels(x, to, s, rows, cols, channels);
}

/* acc + dot products of `n` words of x and w, which are x_step and w_step bytes apart. */
static inline int32_t dots(const uint8_t *x, int32_t x_step, const uint8_t *w, int32_t w_step, int32_t n, int32_t acc) {
#ifdef DORY_DW_ASM
  uint32_t inputs, weights;
  __asm__ volatile(DW_DOTS
                   : "+&r"(x), "+&r"(w), "+&r"(acc), "=&r"(inputs), "=&r"(weights)
                   : "r"(x_step), "r"(w_step), "r"(n)
                   : "memory");
#else
  for (; n > 0; n--, x += x_step, w += w_step) acc = xp_sdotusp4(xp_load(x), xp_load(w), acc);
#endif
  return acc;
}

/* Any kernel and stride on one plane. */
DORY_OUT_OF_LINE void channel_any(const dory_depthwise_args_t *a, const dory_dw_job_t *j, const uint8_t *plane,
                                  const uint8_t *w, uint8_t *y) {
  const int32_t kernel_h = a->win.kernel_h, row = (a->win.kernel_w + 3) & ~3, w_out = a->w_out, c = j->c;
  const int32_t stride_w = a->win.stride_w, row_bytes = j->row_bytes, reach = j->reach;
  const int32_t y_skip = j->y_row + (3 - w_out) * c, x_skip = a->win.stride_h * row_bytes;
  const dory_dw_channel_t k = dory_dw_channel(w + row * kernel_h);
  plane += lead(&a->win);
  for (int32_t r = j->rows; r > 0; r--, plane += x_skip, y += y_skip) {
    const uint8_t *x = plane;
    for (int32_t col = w_out; col > 0; col--, x += stride_w, y += c) {
      int32_t acc = k.bias;
      for (int32_t i = 0; i < row; i += 4) acc = dots(x + i, row_bytes, w + i, row, kernel_h, acc);
      *y = (uint8_t)dory_dw_output(&k, acc, reach);
    }
  }
}

/* Bytes from column to column and from row to row of a tensor. */
typedef struct {
  int32_t column, row;
} pitch_t;

static inline pitch_t pitch(const dory_depthwise_args_t *a, int32_t h, int32_t w) {
  return a->turned ? (pitch_t){h * a->c, a->c} : (pitch_t){a->c, w * a->c};
}

/* Outputs that lie in their planes to where they belong. */
DORY_OUT_OF_LINE void merge(const dory_depthwise_args_t *a, const dory_dw_job_t *j, const uint8_t *planes, uint8_t *to,
                            int32_t channels) {
  const int32_t w = a->w_out, plane = j->plane;
  const pitch_t pitch_y = pitch(a, a->h_out, w);
  const int32_t c = pitch_y.column;
  for (int32_t r = j->rows; r > 0; r--, planes += j->row_bytes, to += pitch_y.row) {
    const uint8_t *from = planes;
    uint8_t *y = to;
    for (int32_t i = w; i > 0; i--, y += c, from++) {
      if (channels == 4) {
        const uint8_t first = from[0], second = from[plane], third = from[2 * plane], fourth = from[3 * plane];
        y[0] = first, y[1] = second, y[2] = third, y[3] = fourth;
      } else {
        for (int32_t k = 0; k < channels; k++) y[k] = from[k * plane];
      }
    }
  }
}

/* A lower limit other than 0 is added at last. */
DORY_OUT_OF_LINE void add_low(const dory_depthwise_args_t *a, uint8_t *y, int32_t rows, int32_t channels) {
  const pitch_t p = pitch(a, a->h_out, a->w_out);
  for (int32_t r = 0; r < rows; r++, y += p.row) {
    for (int32_t i = 0; i < a->w_out; i++) {
      for (int32_t k = 0; k < channels; k++) y[i * p.column + k] = (uint8_t)(y[i * p.column + k] + a->clip.lo);
    }
  }
}

/* The fast functions of a window by their form, for at least `rows` output rows; none when rows is 0. */
typedef struct {
  int32_t rows;
#ifdef DORY_DW_ASM
  dory_dw_fn *fn[3];
#endif
} fast_t;

#ifdef DORY_DW_NO_WIDE /* no layer of the network has such channels */
#define WIDE(function) 0
enum { FAST_FORMS = DORY_DW_MUL15 };
#else
#define WIDE(function) function
enum { FAST_FORMS = DORY_DW_WIDE };
#endif

static inline fast_t fast(const dory_depthwise_args_t *a) {
  fast_t f = {0};
#ifdef DORY_DW_ASM
  const dory_window_t *win = &a->win;
  if (win->kernel_h != win->kernel_w || win->stride_h != win->stride_w) return f;
  if (win->kernel_h == 3 && win->stride_h == 1) {
    f = (fast_t){2, {dory_dw_3x3_s1_narrow, dory_dw_3x3_s1_mul15, WIDE(dory_dw_3x3_s1_wide)}};
  } else if (win->kernel_h == 3 && win->stride_h == 2 && lead(win) == 0) {
    f = (fast_t){1, {dory_dw_3x3_s2_even_narrow, dory_dw_3x3_s2_even_mul15, WIDE(dory_dw_3x3_s2_even_wide)}};
  } else if (win->kernel_h == 3 && win->stride_h == 2) {
    f = (fast_t){1, {dory_dw_3x3_s2_narrow, dory_dw_3x3_s2_mul15, WIDE(dory_dw_3x3_s2_wide)}};
  } else if (win->kernel_h == 5 && win->stride_h == 1 && a->w_out >= 4) {
    f = (fast_t){4, {dory_dw_5x5_s1_narrow, dory_dw_5x5_s1_mul15, WIDE(dory_dw_5x5_s1_wide)}};
  }
#else
  (void)a;
#endif
  return f;
}

static inline void convolve(const dory_depthwise_args_t *a, const dory_dw_job_t *j, const fast_t *f,
                            const uint8_t *planes, const uint8_t *w, uint8_t *y, int32_t channels, int32_t record) {
  for (int32_t k = 0; k < channels; planes += j->plane, y += j->y_next, w += record) {
#ifdef DORY_DW_ASM
    const int32_t form = (int32_t)xp_load(w + record - 4) >> 8;
    if (f->rows && j->rows >= f->rows && form <= FAST_FORMS) {
      const int32_t left = f->fn[form](planes, w, y, j, channels - k);
      const int32_t more = channels - left - k - 1;
      planes += more * j->plane, y += more * j->y_next, w += more * record;
      k = channels - left;
      continue;
    }
#else
    (void)f;
#endif
    channel_any(a, j, planes, w, y);
    k++;
  }
}

/* Items are bands of output rows of four channels. */
static void in_planes(const dory_depthwise_args_t *a) {
  const dory_window_t *win = &a->win;
  const int32_t rb = row_bytes(a), plane_rows = (a->rows - 1) * win->stride_h + win->kernel_h;
  const int32_t band_bytes = plane_rows * rb;
  const int32_t record = ((win->kernel_w + 3) & ~3) * win->kernel_h + 16;
  int32_t bands = 1;
  while (bands * a->rows < a->h_out) bands++;
  const int32_t items = (a->c + 3) / 4 * bands, core = drt_core_id();
  dory_share_t share = {items * core >> 3, items * (core + 1) >> 3};
  if (drt_core_count() != 8) share = dory_share(items);
  if (share.from == share.to) return;
  const pitch_t of_x = pitch(a, a->h_in, a->w_in), of_y = pitch(a, a->h_out, a->w_out);
  planes_t p = {.s = {of_x.column, of_x.row, rb, band_bytes}, .word = (uint32_t)a->pad_value * 0x01010101u};
  p.at = a->scratch + 4 * core * band_bytes;
  /* The input's columns in a plane. */
  const int32_t left = dory_lesser(lead(win) + win->pad_l, rb), right = dory_lesser(left + a->w_in, rb);
  dory_dw_job_t j; /* field by field: an initialiser would call memset */
  j.row_bytes = rb, j.plane = band_bytes, j.reach = a->clip.hi - a->clip.lo;
  j.c = of_y.column, j.y_row = of_y.row - 3 * of_y.column, j.y_next = 1;
  /* A strip is wider than these outputs: they replace the inputs of their rows, which nobody needs any more. */
  const int narrow = a->w_out < 4 && win->kernel_h == 3;
  if (narrow) j.c = 1, j.y_row = rb - 3, j.y_next = band_bytes;
  j.strips = (a->w_out + 3) >> 2;
  const int32_t overlap = narrow ? 0 : 4 * j.strips - a->w_out;
  j.back = overlap * win->stride_w;
  j.y_back = overlap * of_y.column;
  j.turns = 2 * (j.strips - 1) + (overlap == 0);
  j.x_after = j.plane + j.back - 4 * j.strips * win->stride_w;
  j.y_after = j.y_next + j.y_back - 4 * j.strips * j.c;
  const fast_t f = fast(a);
  int32_t group = share.from, band = 0, last = -1;
  if (bands > 1) {
    /* Steps rather than divides: few groups have several bands. */
    for (group = 0, band = share.from; band >= bands; band -= bands) group++;
  }
  const uint8_t *x = a->x;
  uint8_t *y = a->y, *to = p.at;
  int32_t rows = 0; /* of the input */
  for (int32_t i = share.from; i < share.to; i++) {
    if (band != last) { /* else the padding is where it was */
      const int32_t y0 = band * a->rows, top = y0 * win->stride_h - win->pad_t;
      j.rows = dory_lesser(a->h_out - y0, a->rows);
      /* Rows [first, end) of the planes come from the input. */
      const int32_t all = (j.rows - 1) * win->stride_h + win->kernel_h;
      const int32_t first = dory_clip(-top, 0, all), end = dory_clip(a->h_in - top, first, all);
      for (j.rounds = 0; 3 * j.rounds < j.rows - 2;) j.rounds++;
      const int32_t less = 3 * j.rounds - (j.rows - 2);
      j.enter = j.rounds == 0 ? 2 : less == 1 ? -1 : less >> 1;
      j.rewind = all * rb - 4 * win->stride_w;
      j.y_rewind = j.rows * (j.y_row + 3 * j.c) - 4 * j.c;
      if (narrow) {
        fill(p.at, p.word, band_bytes, 4);
      } else {
        if (last < 0) fill_sides(&p, left, right, plane_rows);
        fill_rows(&p, first, end, plane_rows);
        last = band;
      }
      x = a->x + (top + first) * p.s.x_row;
      y = a->y + y0 * of_y.row;
      to = p.at + first * rb + left;
      rows = end - first;
    }
    const int32_t c = 4 * group, channels = dory_lesser(a->c - c, 4);
    split(x + c, to, &p.s, rows, right - left, channels);
    convolve(a, &j, &f, p.at, a->w + c * record, narrow ? p.at : y + c, channels, record);
    if (narrow) merge(a, &j, p.at, y + c, channels);
    if (a->clip.lo > 0) add_low(a, y + c, j.rows, channels);
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

#include "dory_engine.h"

#include <stddef.h>

enum { NEW_ROWS = 1, NEW_COLS = 2, NEW_CHANNELS = 4, NEW_ALL = 7 };

/* On the stack of core 0, in L1: a load from L2 takes 9 cycles, and more while the DMA is busy. */
typedef struct {
  dory_layer_t l; /* a copy */
  const dory_block_t *b;
  uint8_t *l1;
  const uint8_t *w, *w_end; /* the next tile's weights, and where the block's end */
  bool slices;              /* some input reads the tile's own channels */
  dory_tile_t tile;
  dory_args_t args;
  drt_dma_t x_job[2], w_job[2], y_job[2];
} loop_t;

static void copy_layer(dory_layer_t *to, const dory_layer_t *from) {
  const uint32_t *source = (const uint32_t *)(const void *)from;
  uint32_t *target = (uint32_t *)(void *)to;
  const uint32_t bytes = offsetof(dory_layer_t, x) + (uint32_t)from->inputs * sizeof(dory_input_t);
  for (uint32_t i = 0; i < bytes / 4u; i++) target[i] = source[i];
}

/* Moves on to the next tile: which of its axes are others, 0 behind the last tile. */
static int advance(const dory_layer_t *l, const dory_block_t *b, dory_place_t *t) {
  int changed = 0;
  if (l->inputs_outer) {
    t->c0 += l->tile_c;
    if (t->c0 < b->c1) return NEW_CHANNELS;
    if (t->c0 - l->tile_c != b->c0) changed = NEW_CHANNELS;
    t->c0 = b->c0;
  }
  if (l->tile_w < l->out_w) {
    changed |= NEW_COLS;
    t->w0 += l->tile_w;
    if (t->w0 < l->out_w) return changed;
    t->w0 = 0;
  }
  t->h0 += l->tile_h;
  if (t->h0 < b->h1) return changed | NEW_ROWS;
  if (l->inputs_outer) return 0;
  if (t->h0 - l->tile_h != b->h0) changed |= NEW_ROWS;
  t->h0 = b->h0;
  t->c0 += l->tile_c;
  return t->c0 < b->c1 ? changed | NEW_CHANNELS : 0;
}

/* Size and input ranges of the tile, along the axes that changed. */
static void shape(loop_t *s, int changed) {
  const dory_layer_t *l = &s->l;
  dory_tile_t *t = &s->tile;
  if (changed & NEW_CHANNELS) t->at.c = dory_min(l->tile_c, s->b->c1 - t->at.c0);
  if (changed & NEW_ROWS) {
    t->at.h = dory_min(l->tile_h, s->b->h1 - t->at.h0);
    for (int32_t i = 0; i < l->inputs; i++) {
      const dory_input_t *x = &l->x[i];
      t->rows[i] = dory_range(t->at.h0, t->at.h, x->stride_h, x->pad_t, x->span_h, x->height);
    }
  }
  if (changed & NEW_COLS) {
    t->at.w = dory_min(l->tile_w, l->out_w - t->at.w0);
    for (int32_t i = 0; i < l->inputs; i++) {
      const dory_input_t *x = &l->x[i];
      t->cols[i] = dory_range(t->at.w0, t->at.w, x->stride_w, x->pad_l, x->span_w, x->width);
    }
  }
}

static void load_inputs(loop_t *s, int xi) {
  dory_tile_t *t = &s->tile;
  for (int32_t i = 0; i < s->l.inputs; i++) {
    const dory_input_t *x = &s->l.x[i];
    t->x[i] = s->l1 + x->l1[xi];
    dory_tile_in(&s->x_job[xi], t->x[i], s->b->x[i], x->width, x->channels, t->rows[i].i0 - s->b->x_row[i],
                 t->rows[i].in, t->cols[i].i0, t->cols[i].in, x->slice ? t->at.c0 : 0,
                 x->slice ? t->at.c : x->channels);
  }
}

/* Weights of the tile's channels; they lie in the order in which the tiles want them. */
static void load_weights(loop_t *s, int wi) {
  if (s->tile.at.c0 == s->b->c0) s->w = s->b->w;
  const int32_t left = (int32_t)(s->w_end - s->w), bytes = dory_min(s->l.w_step, left);
  s->tile.weights = s->l1 + s->l.w_l1[wi];
  drt_dma_in(&s->w_job[wi], s->tile.weights, s->w, 1, (uint32_t)bytes, 0);
  s->w += bytes;
}

static void store(loop_t *s, const dory_place_t *t, const uint8_t *y, int yi) {
  dory_tile_out(&s->y_job[yi], y, s->b->y, s->l.out_w, s->l.out_c, t->h0 - s->b->y_row, t->h, t->w0, t->w, t->c0, t->c);
}

static void start(loop_t *s, const dory_ctx_t *ctx, const dory_layer_t *layer, const dory_block_t *block) {
  copy_layer(&s->l, layer);
  s->b = block;
  s->l1 = s->tile.l1 = ctx->l1;
  s->slices = false;
  for (int32_t i = 0; i < s->l.inputs; i++) s->slices |= s->l.x[i].slice != 0;
  for (int i = 0; i < 2; i++) s->x_job[i] = s->w_job[i] = s->y_job[i] = (drt_dma_t){0};
  s->tile.at.h0 = block->h0;
  s->tile.at.w0 = 0;
  s->tile.at.c0 = block->c0;
  shape(s, NEW_ALL);
  load_inputs(s, 0);
  if (!s->l.w_step) return;
  const int32_t groups = s->l.group ? (block->c1 - block->c0 + s->l.group - 1) / s->l.group : 1;
  s->w_end = block->w + groups * s->l.group_bytes;
  load_weights(s, 0);
}

/* While the cores compute a tile, the next one's operands and the last one's output are on their way. */
void dory_run_block(const dory_ctx_t *ctx, const dory_layer_t *layer, const dory_block_t *block) {
  loop_t s; /* large: nothing is cleared that is written anyway */
  start(&s, ctx, layer, block);
  int xi = 0, wi = 0, yi = 0, changed;
  do {
    const dory_place_t place = s.tile.at;
    uint8_t *const y = s.l1 + s.l.y_l1[yi];
    s.tile.y = y;
    s.l.fill(&s.tile, &s.args);
    changed = advance(&s.l, block, &s.tile.at);
    drt_dma_wait(&s.x_job[xi]);
    if (changed) {
      shape(&s, changed);
      if (changed & (s.slices ? NEW_ALL : NEW_ROWS | NEW_COLS)) load_inputs(&s, xi ^= 1);
    }
    drt_dma_wait(&s.w_job[wi]);
    if (changed & NEW_CHANNELS && s.l.group) load_weights(&s, wi ^= 1);
    drt_dma_wait(&s.y_job[yi]);
    drt_team_fork(s.l.cores, s.l.kernel, &s.args);
    store(&s, &place, y, yi);
    yi ^= 1;
  } while (changed);
  drt_dma_wait(&s.y_job[0]);
  drt_dma_wait(&s.y_job[1]);
}

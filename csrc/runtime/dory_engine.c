#include "dory_engine.h"

#include <stddef.h>

typedef struct {
  dory_layer_t l; /* a copy: constants in L2 cost 9 cycles a load, and more while the DMA is busy */
  const dory_block_t *b;
  uint8_t *l1;
  int xi, wi, yi;
  drt_dma_t *x_job, *w_job, *y_job;
  dory_tile_t tiles[2];
} loop_t;

static void copy_layer(dory_layer_t *to, const dory_layer_t *from) {
  const uint32_t *source = (const uint32_t *)(const void *)from;
  uint32_t *target = (uint32_t *)(void *)to;
  const uint32_t bytes = offsetof(dory_layer_t, x) + (uint32_t)from->inputs * sizeof(dory_input_t);
  for (uint32_t i = 0; i < bytes / 4u; i++) target[i] = source[i];
}

/* Moves on to the next tile; false behind the last one. */
static bool advance(const dory_layer_t *l, const dory_block_t *b, dory_tile_t *t) {
  if (l->inputs_outer) {
    t->c0 += l->tile_c;
    if (t->c0 < b->c1) return true;
    t->c0 = b->c0;
  }
  t->w0 += l->tile_w;
  if (t->w0 < l->out_w) return true;
  t->w0 = 0;
  t->h0 += l->tile_h;
  if (t->h0 < b->h1) return true;
  if (l->inputs_outer) return false;
  t->h0 = b->h0;
  t->c0 += l->tile_c;
  return t->c0 < b->c1;
}

/* Size and input ranges of the tile at (h0, w0, c0), its inputs in copy xi of their buffers. */
static void shape(const loop_t *s, dory_tile_t *t, int xi) {
  const dory_layer_t *l = &s->l;
  t->h = dory_min(l->tile_h, s->b->h1 - t->h0);
  t->w = dory_min(l->tile_w, l->out_w - t->w0);
  t->c = dory_min(l->tile_c, s->b->c1 - t->c0);
  for (int32_t i = 0; i < l->inputs; i++) {
    const dory_input_t *x = &l->x[i];
    t->rows[i] = dory_range(t->h0, t->h, x->stride_h, x->pad_t, x->span_h, x->height);
    t->cols[i] = dory_range(t->w0, t->w, x->stride_w, x->pad_l, x->span_w, x->width);
    t->x[i] = s->l1 + x->l1[xi];
  }
}

static void load_inputs(loop_t *s, const dory_tile_t *t, int xi) {
  for (int32_t i = 0; i < s->l.inputs; i++) {
    const dory_input_t *x = &s->l.x[i];
    dory_tile_in(&s->x_job[xi], t->x[i], s->b->x[i], x->width, x->channels, t->rows[i].i0 - s->b->x_row[i],
                 t->rows[i].in, t->cols[i].i0, t->cols[i].in, x->slice ? t->c0 : 0, x->slice ? t->c : x->channels);
  }
}

static void load_weights(loop_t *s, const dory_tile_t *t, int wi) {
  const dory_layer_t *l = &s->l;
  const uint8_t *from = s->b->w;
  int32_t groups = 1;
  if (l->group) {
    groups = (t->c + l->group - 1) / l->group;
    from += (t->c0 - s->b->c0) / l->group * l->group_bytes;
  }
  drt_dma_in(&s->w_job[wi], s->l1 + l->w_l1[wi], from, 1, (uint32_t)(groups * l->group_bytes), 0);
}

static void store(loop_t *s, const dory_tile_t *t) {
  dory_tile_out(&s->y_job[s->yi], t->y, s->b->y, s->l.out_w, s->l.out_c, t->h0 - s->b->y_row, t->h, t->w0, t->w, t->c0,
                t->c);
}

static bool slices(const dory_layer_t *l) {
  for (int32_t i = 0; i < l->inputs; i++) {
    if (l->x[i].slice) return true;
  }
  return false;
}

void dory_run_block(const dory_ctx_t *ctx, const dory_layer_t *layer, const dory_block_t *block) {
  drt_dma_t x_job[2] = {0}, w_job[2] = {0}, y_job[2] = {0};
  loop_t s; /* large: nothing is cleared that is written anyway */
  copy_layer(&s.l, layer);
  s.b = block;
  s.l1 = ctx->l1;
  s.xi = s.wi = s.yi = 0;
  s.x_job = x_job;
  s.w_job = w_job;
  s.y_job = y_job;
  const bool any_slice = slices(&s.l);
  int k = 0;
  dory_tile_t *first = &s.tiles[0];
  first->h0 = block->h0;
  first->w0 = 0;
  first->c0 = block->c0;
  shape(&s, first, 0);
  load_inputs(&s, first, 0);
  if (s.l.group_bytes) load_weights(&s, first, 0);
  for (;;) {
    dory_tile_t *now = &s.tiles[k], *next = &s.tiles[k ^ 1];
    next->h0 = now->h0;
    next->w0 = now->w0;
    next->c0 = now->c0;
    const bool more = advance(&s.l, block, next);
    const bool new_c = more && next->c0 != now->c0;
    const bool new_x = more && (next->h0 != now->h0 || next->w0 != now->w0 || (any_slice && new_c));
    const bool new_w = new_c && s.l.group;
    drt_dma_wait(&s.x_job[s.xi]);
    if (more) {
      shape(&s, next, s.xi ^ new_x);
      if (new_x) load_inputs(&s, next, s.xi ^ 1);
    }
    drt_dma_wait(&s.w_job[s.wi]);
    if (new_w) load_weights(&s, next, s.wi ^ 1);
    drt_dma_wait(&s.y_job[s.yi]);
    now->weights = s.l1 + s.l.w_l1[s.wi];
    now->y = s.l1 + s.l.y_l1[s.yi];
    now->l1 = s.l1;
    s.l.run(now);
    store(&s, now);
    if (!more) break;
    k ^= 1;
    s.yi ^= 1;
    s.xi ^= new_x;
    s.wi ^= new_w;
  }
  drt_dma_wait(&s.y_job[0]);
  drt_dma_wait(&s.y_job[1]);
}

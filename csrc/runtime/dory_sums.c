#include "dory_sums.h"

#include <stddef.h>

typedef struct {
  struct { /* copies on core 0's stack: loads from L2 are slow */
    dory_layer_t layer;
    dory_input_t x;
  } what;
  dory_depth_t depth;
  const dory_ctx_t *ctx;
  const dory_layer_t *l;
  const dory_depth_t *d;
  const dory_block_t *b;
  dory_tile_t tile; /* of the step whose operands are on their way */
  const uint8_t *part;
  int32_t part_c0, part_end;
  uint32_t slot, point;
  dory_args_t args;
  drt_dma_t in[2], out[2];
} loop_t;

static int32_t round4(int32_t n) { return (n + 3) / 4 * 4; }

/* The next part of the weights is awaited where it is needed first. */
static void enter_part(loop_t *s) {
  const dory_block_t *b = s->b;
  if (s->tile.at.c0) {
    s->slot = s->slot + 1 < b->slots ? s->slot + 1 : 0;
    s->point++;
  } else {
    s->slot = b->slot;
    s->point = b->point;
  }
  s->part_c0 = s->tile.at.c0;
  s->part_end = b->part_c ? s->part_c0 + b->part_c : s->l->out_c;
  s->part = b->w + s->slot * b->slot_bytes;
  if (b->part_c) dory_stream_at(s->ctx->weights, s->point);
}

/* Size and input ranges of the tile. */
static void shape(loop_t *s) {
  const dory_layer_t *l = s->l;
  const dory_input_t *x = l->x;
  dory_tile_t *t = &s->tile;
  if (t->at.c0 == 0 || t->at.c0 == s->part_end) {
    if (t->at.h0 == s->b->h0 && t->at.w0 == 0) enter_part(s);
  }
  t->at.c = dory_min(l->tile_c, dory_min(s->part_end, l->out_c) - t->at.c0);
  t->at.h = dory_min(l->tile_h, s->b->h1 - t->at.h0);
  t->at.w = dory_min(l->tile_w, l->out_w - t->at.w0);
  t->rows[0] = dory_range(t->at.h0, t->at.h, x->stride_h, x->pad_t, x->span_h, x->height);
  t->cols[0] = dory_range(t->at.w0, t->at.w, x->stride_w, x->pad_l, x->span_w, x->width);
}

/* Inputs and weights of the step's channels; the constants come with the last step. */
static void load(loop_t *s, int buffer) {
  const dory_layer_t *l = s->l;
  const dory_input_t *x = l->x;
  const dory_depth_t *d = s->d;
  dory_tile_t *t = &s->tile;
  drt_dma_t *job = &s->in[buffer];
  const int32_t groups = (t->at.c + 3) / 4, line = 4 * round4(t->depth), slice = d->taps * line;
  uint8_t *const l1 = s->ctx->l1;
  t->x[0] = l1 + x->l1[buffer];
  t->weights = l1 + l->w_l1[buffer];
  dory_tile_in(job, t->x[0], s->b->x[0], x->width, x->channels, t->rows[0].i0 - s->b->x_row[0], t->rows[0].in,
               t->cols[0].i0, t->cols[0].in, t->from, t->depth);
  const uint8_t *group = s->part + (t->at.c0 - s->part_c0) / 4 * l->group_bytes;
  for (int32_t g = 0; g < groups; g++) {
    drt_dma_in(job, t->weights + g * slice, group + g * l->group_bytes + d->head + 4 * t->from, (uint32_t)d->taps,
               (uint32_t)line, (uint32_t)(4 * round4(x->channels)));
  }
  if (t->from + t->depth < x->channels) return;
  const uint32_t lines = (uint32_t)groups, stride = (uint32_t)l->group_bytes;
  if (d->head) drt_dma_in(job, l1 + d->heads_l1, group, lines, (uint32_t)d->head, stride);
  drt_dma_in(job, l1 + d->tails_l1, group + l->group_bytes - 48, lines, 48, stride);
}

/* Moves on to the next step: 2 if it begins a tile, 0 behind the last one. */
static int advance(loop_t *s) {
  const dory_layer_t *l = s->l;
  dory_tile_t *t = &s->tile;
  t->from += t->depth;
  if (t->from < l->x->channels) {
    t->depth = dory_min(s->d->depth, l->x->channels - t->from);
    return 1;
  }
  t->from = 0;
  t->depth = s->d->depth;
  t->at.w0 += t->at.w;
  if (t->at.w0 < l->out_w) return 2;
  t->at.w0 = 0;
  t->at.h0 += t->at.h;
  if (t->at.h0 < s->b->h1) return 2;
  t->at.h0 = s->b->h0;
  t->at.c0 += t->at.c;
  return t->at.c0 < l->out_c ? 2 : 0;
}

static void start(loop_t *s) {
  for (int i = 0; i < 2; i++) s->in[i] = s->out[i] = (drt_dma_t){0};
  s->tile.l1 = s->ctx->l1;
  s->tile.at.h0 = s->b->h0;
  s->tile.at.w0 = s->tile.at.c0 = 0;
  s->tile.from = 0;
  s->tile.depth = s->d->depth;
  s->part_end = -1;
  shape(s);
  load(s, 0);
}

void dory_run_sums(const dory_ctx_t *ctx, const dory_layer_t *described, uint32_t bytes, const dory_depth_t *depth,
                   const dory_block_t *block) {
  loop_t s;
  drt_fetch(&s.what, described, bytes);
  drt_fetch(&s.depth, depth, sizeof *depth);
  const dory_layer_t *const layer = &s.what.layer;
  s.what.layer.x = &s.what.x;
  s.ctx = ctx;
  s.l = layer;
  s.d = &s.depth;
  s.b = block;
  start(&s);
  int i = 0, yi = 0, changed;
  do {
    const dory_place_t place = s.tile.at;
    const bool last = s.tile.from + s.tile.depth == layer->x->channels;
    uint8_t *const y = ctx->l1 + layer->y_l1[yi];
    s.tile.y = y;
    layer->fill(&s.tile, &s.args);
    changed = advance(&s);
    drt_dma_wait(&s.in[i]);
    if (changed == 2) shape(&s);
    if (changed) load(&s, i ^ 1);
    if (last) drt_dma_wait(&s.out[yi]);
    drt_team_fork(layer->cores, layer->kernel, &s.args);
    if (last) {
      dory_tile_out(&s.out[yi], y, block->y, layer->out_w, layer->out_c, place.h0 - block->y_row, place.h, place.w0,
                    place.w, place.c0, place.c);
      yi ^= 1;
    }
    i ^= 1;
  } while (changed);
  drt_dma_wait(&s.out[0]);
  drt_dma_wait(&s.out[1]);
}

#include "dory_engine.h"

#include <stddef.h>

enum { NEW_ROWS = 1, NEW_COLS = 2, NEW_CHANNELS = 4, NEW_ALL = 7 };

/* On the stack of core 0, in L1: a load from L2 takes 9 cycles, and more while the DMA is busy. */
typedef struct {
  dory_layer_t l; /* a copy, and one of what follows it */
  dory_input_t x[DORY_MAX_INPUTS];
  const dory_block_t *b;
  uint8_t *l1;
  const uint8_t *w; /* of the next tile */
  dory_stream_t *stream;
  uint32_t slot, point;
  int32_t part_end; /* channel behind the part that w points into */
  bool slices;      /* some input reads the tile's own channels */
  int xi, wi;       /* buffers of the next tile */
  dory_tile_t tile;
  dory_args_t args;
  drt_dma_t x_job[2], w_job[2], y_job[2];
#ifdef DORY_SUBBYTE
  dory_subbyte_args_t subbyte;
#endif
} loop_t;

/* Bytes of c channels. */
#ifdef DORY_SUBBYTE
#define BYTES(c, shift) (((c) + (1 << (shift)) - 1) >> (shift))
#define FRESH(s, what) ((s)->tile.fresh |= (what))
#else
#define BYTES(c, shift) (c)
#define FRESH(s, what) ((void)0)
#endif

/* Moves on to the next tile: which of its axes are others, 0 behind the last tile. */
static int advance(const dory_layer_t *l, const dory_block_t *b, dory_place_t *t) {
  int changed = 0;
  if (l->inputs_outer) {
    t->c0 += t->c;
    if (t->c0 < l->out_c) return NEW_CHANNELS;
    if (l->tile_c < l->out_c) changed = NEW_CHANNELS;
    t->c0 = 0;
  }
  if (l->tile_w < l->out_w) {
    changed |= NEW_COLS;
    t->w0 += t->w;
    if (t->w0 < l->out_w) return changed;
    t->w0 = 0;
  }
  t->h0 += t->h;
  if (t->h0 < b->h1) return changed | NEW_ROWS;
  if (l->inputs_outer) return 0;
  if (t->h != b->h1 - b->h0) changed |= NEW_ROWS;
  t->h0 = b->h0;
  t->c0 += t->c;
  return t->c0 < l->out_c ? changed | NEW_CHANNELS : 0;
}

/* The next part of the weights is awaited where it is needed first. */
static void enter_part(loop_t *s) {
  const dory_block_t *b = s->b;
  if (s->tile.at.c0) {
    s->slot = s->slot + 1 < b->slots ? s->slot + 1 : 0;
    s->point++;
    s->part_end += b->part_c;
  } else {
    s->slot = b->slot;
    s->point = b->point;
    s->part_end = b->part_c ? b->part_c : s->l.out_c;
  }
  s->w = b->w + s->slot * b->slot_bytes;
  if (b->part_c) dory_stream_at(s->stream, s->point);
}

/* Size and input ranges of the tile, along the axes that changed. */
static void shape(loop_t *s, int changed) {
  const dory_layer_t *l = &s->l;
  dory_tile_t *t = &s->tile;
  if (changed & NEW_CHANNELS) {
    if (t->at.c0 == 0 || t->at.c0 == s->part_end) enter_part(s);
    t->at.c = dory_min(l->tile_c, dory_min(s->part_end, l->out_c) - t->at.c0);
  }
  if (changed & NEW_ROWS) {
    t->at.h = dory_min(l->tile_h, s->b->h1 - t->at.h0);
    for (int32_t i = 0; i < l->inputs; i++) {
      const dory_input_t *x = &s->x[i];
      t->rows[i] = dory_range(t->at.h0, t->at.h, x->stride_h, x->pad_t, x->span_h, x->height);
    }
  }
  if (changed & NEW_COLS) {
    t->at.w = dory_min(l->tile_w, l->out_w - t->at.w0);
    for (int32_t i = 0; i < l->inputs; i++) {
      const dory_input_t *x = &s->x[i];
      t->cols[i] = dory_range(t->at.w0, t->at.w, x->stride_w, x->pad_l, x->span_w, x->width);
    }
  }
}

static void load_inputs(loop_t *s) {
  dory_tile_t *t = &s->tile;
  const int xi = s->xi;
  for (int32_t i = 0; i < s->l.inputs; i++) {
    const dory_input_t *x = &s->x[i];
    t->x[i] = s->l1 + x->l1[xi];
    if (x->kept) continue;
    dory_tile_in(&s->x_job[xi], t->x[i], s->b->x[i], x->width, x->channels, t->rows[i].i0 - s->b->x_row[i],
                 t->rows[i].in, t->cols[i].i0, t->cols[i].in, x->slice ? BYTES(t->at.c0, x->shift) : 0,
                 x->slice ? BYTES(t->at.c, x->shift) : x->channels);
  }
  FRESH(s, DORY_FRESH_X);
}

/* Weights of the tile's channels; they lie in the order in which the tiles want them. */
static void load_weights(loop_t *s) {
  const dory_layer_t *l = &s->l;
  const int wi = s->wi;
  int32_t bytes = l->w_step;
  if (s->tile.at.c != l->tile_c && l->group) bytes = (s->tile.at.c + l->group - 1) / l->group * l->group_bytes;
  s->tile.weights = s->l1 + l->w_l1[wi];
  drt_dma_in(&s->w_job[wi], s->tile.weights, s->w, 1, (uint32_t)bytes, 0);
  s->w += bytes;
  FRESH(s, DORY_FRESH_W);
}

/* Operands of the next tile. */
static inline void load(loop_t *s, int operands) {
  if (operands & DORY_INPUTS) s->xi ^= 1, load_inputs(s);
  if (operands & DORY_WEIGHTS) s->wi ^= 1, load_weights(s);
}

/* Operands that the axes which changed bring with them. */
static inline int moved(const loop_t *s, int changed) {
  return (changed & (s->slices ? NEW_ALL : NEW_ROWS | NEW_COLS) ? DORY_INPUTS : 0) |
         (changed & NEW_CHANNELS && s->l.group ? DORY_WEIGHTS : 0);
}

static void store(loop_t *s, const dory_place_t *t, const uint8_t *y, int yi) {
  dory_tile_out(&s->y_job[yi], y, s->b->y, s->l.out_w, BYTES(s->l.out_c, s->l.y_shift), t->h0 - s->b->y_row, t->h,
                t->w0, t->w, BYTES(t->c0, s->l.y_shift), BYTES(t->c, s->l.y_shift));
}

static void start(loop_t *s, const dory_ctx_t *ctx, const dory_layer_t *layer, uint32_t bytes,
                  const dory_block_t *block) {
  drt_fetch(s, layer, bytes);
  s->b = block;
  s->stream = ctx->weights;
  s->l1 = s->tile.l1 = ctx->l1;
  s->slices = false;
  s->xi = s->wi = 0;
  for (int32_t i = 0; i < s->l.inputs; i++) s->slices |= s->x[i].slice != 0;
  for (int i = 0; i < 2; i++) s->x_job[i] = s->w_job[i] = s->y_job[i] = (drt_dma_t){0};
#ifdef DORY_SUBBYTE
  s->tile.subbyte = &s->subbyte;
  s->tile.fresh = 0;
#endif
  s->tile.at.h0 = block->h0;
  s->tile.at.w0 = 0;
  s->tile.at.c0 = 0;
  shape(s, NEW_ALL);
  load_inputs(s);
  if (s->l.w_step) load_weights(s);
}

/* While the cores compute a tile, the next one's operands and the last one's output are on their way; those that have one
 * buffer come, and go, between the tiles. */
void dory_run_block(const dory_ctx_t *ctx, const dory_layer_t *layer, uint32_t bytes, const dory_block_t *block) {
  loop_t s; /* large: nothing is cleared that is written anyway */
  start(&s, ctx, layer, bytes, block);
  int yi = 0, changed, late;
  do {
    const dory_place_t place = s.tile.at;
    uint8_t *const y = s.l1 + s.l.y_l1[yi];
    s.tile.y = y;
    s.l.fill(&s.tile, &s.args);
#ifdef DORY_SUBBYTE
    s.tile.fresh = 0;
#endif
    changed = advance(&s.l, block, &s.tile.at);
    drt_dma_wait(&s.x_job[s.xi]);
    drt_dma_wait(&s.w_job[s.wi]);
    late = 0;
    if (changed) {
      const int next = moved(&s, changed);
      late = next & s.l.single;
      shape(&s, changed);
      load(&s, next & ~s.l.single);
    }
    drt_dma_wait(&s.y_job[yi]);
    if (s.l.single & DORY_OUTPUT) drt_dma_wait(&s.y_job[yi ^ 1]);
#ifdef DORY_SUBBYTE
    drt_team_fork(s.l.cores, s.l.kernel, s.l.subbyte ? (const void *)&s.subbyte : &s.args);
#else
    drt_team_fork(s.l.cores, s.l.kernel, &s.args);
#endif
    if (late) load(&s, late);
    if (!s.l.stays) store(&s, &place, y, yi);
    yi ^= 1;
  } while (changed);
  drt_dma_wait(&s.y_job[0]);
  drt_dma_wait(&s.y_job[1]);
}

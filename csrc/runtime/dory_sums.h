/* The loop over the tiles of a layer whose input channels come in steps (dory_conv_sums). */
#ifndef DORY_SUMS_H
#define DORY_SUMS_H

#include "dory_engine.h"

/* How the input channels are cut: `depth` of them in a step. Constants of a tile's channel groups lie in L1 apart from the
 * weights: head bytes (0 or 16) of each group, then 48. */
typedef struct {
  int32_t depth;
  int32_t taps;
  int32_t head;
  uint32_t heads_l1, tails_l1;
} dory_depth_t;

/* As dory_run_block. Steps of a tile follow each other; the output leaves after the last one. */
void dory_run_sums(const dory_ctx_t *ctx, const dory_layer_t *described, uint32_t bytes, const dory_depth_t *depth,
                   const dory_block_t *block);

#endif

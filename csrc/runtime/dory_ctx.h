/* What a generated layer gets: the arenas, and the weights on their way. */
#ifndef DORY_CTX_H
#define DORY_CTX_H

#include <stdint.h>

#include "dory_stream.h"

typedef struct {
  uint8_t *l1, *l2;
  uint32_t l3;
  dory_stream_t *weights;
} dory_ctx_t;

#endif

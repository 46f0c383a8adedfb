/* What a generated layer gets: the arenas. */
#ifndef DORY_CTX_H
#define DORY_CTX_H

#include <stdint.h>

typedef struct {
  uint8_t *l1, *l2;
  uint32_t l3;
} dory_ctx_t;

#endif

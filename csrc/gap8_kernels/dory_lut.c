/* A function of one byte, by table. */
#include "dory_common.h"

void dory_lut(const void *args) {
  const dory_lut_args_t *a = args;
  const dory_share_t share = dory_share(a->size);
  for (int32_t i = share.from; i < share.to; i++) a->y[i] = a->table[a->x[i]];
}

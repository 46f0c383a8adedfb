/* Sum of two tensors of different scales, on a common grid. */
#include "dory_common.h"

void dory_add(const void *args) {
  const dory_add_args_t *a = args;
  const dory_share_t share = dory_share(a->size);
  for (int32_t i = share.from; i < share.to; i++) {
    const int32_t sum = a->a[i] * a->mult_a + a->b[i] * a->mult_b + a->bias;
    a->y[i] = (uint8_t)dory_clip(sum >> a->shift, a->lo, a->hi);
  }
}

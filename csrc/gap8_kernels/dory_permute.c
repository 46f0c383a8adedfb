/* Gather through a mixed radix, each core a contiguous part of the output. */
#include "dory_common.h"

void dory_permute(const void *args) {
  const dory_permute_args_t *a = args;
  int32_t total = 1, digit[DORY_PERMUTE_MAX], offset = 0;
  for (int32_t d = 0; d < a->dims; d++) total *= a->count[d];
  const dory_share_t share = dory_share(total);
  for (int32_t d = a->dims - 1, rest = share.from; d >= 0; d--) {
    digit[d] = rest % a->count[d];
    rest /= a->count[d];
    offset += digit[d] * a->stride[d];
  }
  for (int32_t i = share.from; i < share.to; i++) {
    a->y[i] = a->x[offset];
    for (int32_t d = a->dims - 1; d >= 0; d--) {
      offset += a->stride[d];
      if (++digit[d] < a->count[d]) break;
      offset -= digit[d] * a->stride[d];
      digit[d] = 0;
    }
  }
}

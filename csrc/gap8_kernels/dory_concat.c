/* Lines of several inputs, one behind the other. */
#include "dory_common.h"

void dory_concat(const void *args) {
  const dory_concat_args_t *a = args;
  int32_t total = 0;
  for (int32_t k = 0; k < a->inputs; k++) total += a->bytes[k];
  const dory_share_t share = dory_share(a->lines);
  for (int32_t i = share.from; i < share.to; i++) {
    uint8_t *to = a->y + i * total;
    for (int32_t k = 0; k < a->inputs; k++) {
      const uint8_t *from = a->x[k] + i * a->bytes[k];
      for (int32_t b = 0; b < a->bytes[k]; b++) *to++ = from[b];
    }
  }
}

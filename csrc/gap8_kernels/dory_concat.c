/* Lines of several inputs, one behind the other. */
#include "dory_common.h"

/* Split over lines; where they are too few, over the bytes of every piece. */
void dory_concat(const void *args) {
  const dory_concat_args_t *a = args;
  const int by_lines = a->lines >= drt_core_count();
  const dory_share_t lines = by_lines ? dory_share(a->lines) : (dory_share_t){0, a->lines};
  int32_t total = 0;
  for (int32_t k = 0; k < a->inputs; k++) total += a->bytes[k];
  for (int32_t i = lines.from; i < lines.to; i++) {
    uint8_t *to = a->y + i * total;
    for (int32_t k = 0; k < a->inputs; to += a->bytes[k++]) {
      const dory_share_t part = by_lines ? (dory_share_t){0, a->bytes[k]} : dory_share(a->bytes[k]);
      dory_copy(to + part.from, a->x[k] + i * a->bytes[k] + part.from, part.to - part.from);
    }
  }
}

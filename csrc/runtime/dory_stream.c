#include "dory_stream.h"

void dory_stream_at(dory_stream_t *s, uint32_t point) {
  const dory_point_t p = s->points[point];
  for (; s->started < p.started; s->started++) {
    const dory_read_t *r = &s->reads[s->started];
    drt_ram_read(&s->jobs[s->started % DORY_READS_AHEAD], s->l2 + r->l2, s->l3 + r->l3, r->bytes);
  }
  for (; s->finished < p.needed; s->finished++) drt_ram_wait(&s->jobs[s->finished % DORY_READS_AHEAD]);
}

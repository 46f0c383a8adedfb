/* The cluster's shared instruction cache: presence of each L2 line, one refill at a time, pseudo-random replacement. */
#include <stdlib.h>

#include "state.h"

bool iss_icache_init(iss_t *s) {
  const iss_params *p = &s->p;
  if (p->icache_bytes == 0) return true;
  uint32_t lines = s->p.l2_bytes / p->icache_line;
  s->sets = p->icache_bytes / (p->icache_line * p->icache_ways);
  s->line_shift = (uint32_t)__builtin_ctz(p->icache_line);
  s->line_state = calloc(lines + 1, sizeof *s->line_state);
  s->line_ready = calloc(lines + 1, sizeof *s->line_ready);
  s->way_line = calloc((size_t)s->sets * p->icache_ways, sizeof *s->way_line);
  s->lfsr = 1;
  return s->line_state && s->line_ready && s->way_line;
}

/* Eight bits of x^8 + x^6 + x^5 + x^4 + 1: every non-zero value once in 255 steps. */
static uint32_t step(uint32_t lfsr) {
  uint32_t bit = ((lfsr >> 7) ^ (lfsr >> 5) ^ (lfsr >> 4) ^ (lfsr >> 3)) & 1u;
  return (lfsr << 1 | bit) & 0xffu;
}

static uint32_t victim(iss_t *s, uint32_t *ways) {
  for (uint32_t i = 0; i < s->p.icache_ways; i++)
    if (ways[i] == 0) return i;
  s->lfsr = step(s->lfsr);
  return s->lfsr % s->p.icache_ways;
}

uint64_t iss_refill(iss_t *s, uint32_t line, uint64_t t) {
  if (s->line_state[line] == 2) {
    if (s->line_ready[line] > t) return s->line_ready[line];
    s->line_state[line] = 1;
    return t;
  }
  uint32_t *ways = s->way_line + (size_t)(line % s->sets) * s->p.icache_ways;
  uint32_t way = victim(s, ways);
  if (ways[way]) s->line_state[ways[way] - 1] = 0;
  ways[way] = line + 1;
  /* A mean that is no whole number: carry the fraction from one refill to the next. */
  s->miss_carry += s->p.icache_miss_milli;
  uint32_t cycles = s->miss_carry / 1000u;
  s->miss_carry %= 1000u;
  uint64_t start = s->refill_free > t ? s->refill_free : t;
  start += iss_behind_dma(s, start);
  s->refill_free = s->line_ready[line] = start + cycles;
  s->line_state[line] = 2;
  return s->line_ready[line];
}

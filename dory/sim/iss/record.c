/* What a run leaves behind: text, layer marks, the profile, trace events. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

bool iss_reserve(void **array, size_t *cap, size_t need, size_t item) {
  if (need <= *cap) return true;
  size_t grown = *cap ? *cap * 2 : 64;
  if (grown < need) grown = need;
  void *p = realloc(*array, grown * item);
  if (!p) return false;
  *array = p;
  *cap = grown;
  return true;
}

static void out_of_memory(iss_t *s) { iss_fail(s, NULL, NULL, ERR_MEMORY, 0, 0, NULL); }

void iss_print(iss_t *s, const uint8_t *text, uint32_t n) {
  if (!iss_reserve((void **)&s->out, &s->out_cap, s->out_len + n, 1)) {
    out_of_memory(s);
    return;
  }
  memcpy(s->out + s->out_len, text, n);
  s->out_len += n;
}

void iss_dump(iss_t *s, const uint8_t *data, uint32_t n) {
  if (!iss_reserve((void **)&s->dump, &s->dump_cap, s->dump_len + n, 1)) {
    out_of_memory(s);
    return;
  }
  memcpy(s->dump + s->dump_len, data, n);
  s->dump_len += n;
}

void iss_trace_add(iss_t *s, iss_trace_event e) {
  if (!s->trace) return;
  if (!iss_reserve((void **)&s->events, &s->events_cap, s->events_len + 1, sizeof e)) {
    out_of_memory(s);
    return;
  }
  s->events[s->events_len++] = e;
}

/* A core's tally at `tick`, with what it has been waiting for so far. */
iss_tally iss_core_tally(const iss_t *s, const iss_core *c, uint64_t tick) {
  iss_tally tally = c->tally;
  tally.cycles = c->t;
  if (c->state != CORE_WAITING) return tally;
  uint64_t now = iss_cycles_up(s, c, tick);
  tally.cycles = c->wait_since;
  if (now > c->wait_since) {
    tally.stall[c->wait_cause] += now - c->wait_since;
    tally.cycles = now;
  }
  return tally;
}

static void add_to(iss_tally *sum, const iss_tally *x) {
  sum->count += x->count;
  sum->cycles += x->cycles;
  for (int i = 0; i < ISS_CAUSES; i++) sum->stall[i] += x->stall[i];
}

void iss_fold_profile(iss_t *s, size_t row) {
  if (!s->profile || s->functions == 0) return;
  size_t need = row + 1, old = s->function_rows_len;
  if (!iss_reserve((void **)&s->function_rows, &s->function_rows_cap, need, s->functions * sizeof(iss_tally))) {
    out_of_memory(s);
    return;
  }
  if (need > old) {
    memset(s->function_rows + old * s->functions, 0, (need - old) * s->functions * sizeof(iss_tally));
    s->function_rows_len = need;
  }
  for (uint32_t i = s->prof_first; i < s->prof_last; i++) {
    if (s->prof[i].count == 0 && s->prof[i].cycles == 0) continue;
    add_to(&s->function_rows[row * s->functions + s->function_of[i]], &s->prof[i]);
    add_to(&s->totals[i], &s->prof[i]);
    memset(&s->prof[i], 0, sizeof s->prof[i]);
  }
}

void iss_layer_begin(iss_t *s, const iss_core *c, int32_t id, uint64_t t) {
  s->layer = id;
  iss_fold_profile(s, 0);
  if (!iss_reserve((void **)&s->layers, &s->layers_cap, s->layers_len + 1, sizeof *s->layers)) {
    out_of_memory(s);
    return;
  }
  iss_layer *l = &s->layers[s->layers_len++];
  l->id = id;
  l->begin = iss_ticks(s, c, t);
  l->end = ISS_NEVER;
  for (int i = 0; i < ISS_ALL_CORES; i++) {
    l->core[i] = iss_core_tally(s, &s->core[i], l->begin);
    if (&s->core[i] == c) l->core[i].cycles = t;
  }
}

void iss_layer_end(iss_t *s, const iss_core *c, int32_t id, uint64_t t) {
  iss_layer *l = s->layers_len ? &s->layers[s->layers_len - 1] : NULL;
  if (!l || l->id != id || l->end != ISS_NEVER) {
    iss_fail(s, c, c->wait_in, ERR_CALL, 0, (uint32_t)id, "the layer that ends here is not the one that began last");
    return;
  }
  l->end = iss_ticks(s, c, t);
  for (int i = 0; i < ISS_ALL_CORES; i++) {
    iss_tally now = iss_core_tally(s, &s->core[i], l->end), before = l->core[i];
    if (&s->core[i] == c) now.cycles = t;
    l->core[i].count = now.count - before.count;
    l->core[i].cycles = now.cycles - before.cycles;
    for (int k = 0; k < ISS_CAUSES; k++) l->core[i].stall[k] = now.stall[k] - before.stall[k];
  }
  iss_fold_profile(s, s->layers_len);
  iss_trace_add(s, (iss_trace_event){l->begin, l->end, TRACE_LAYER, 0, (uint32_t)id, 0});
}

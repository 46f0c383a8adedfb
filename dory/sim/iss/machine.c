/* A simulator's life: memory, reset, end. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

static bool memory_init(iss_memory *m, uint32_t base, uint32_t bytes) {
  m->base = base;
  m->bytes = bytes;
  m->data = calloc(bytes, 1);
  m->tag = calloc(bytes, 1);
  return m->data && m->tag;
}

static uint32_t common_divisor(uint32_t a, uint32_t b) {
  while (b) {
    uint32_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

iss_t *iss_create(const iss_params *p) {
  iss_t *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->p = *p;
  s->code_count = p->l2_bytes / 2u;
  s->code = calloc(s->code_count + 4u, sizeof *s->code);
  s->bank_free = calloc(p->l1_banks, sizeof *s->bank_free);
  s->bank_mask = p->l1_banks - 1u;
  s->ram = calloc(p->ram_bytes ? p->ram_bytes : 1u, 1);
  bool memories = memory_init(&s->l1, p->l1_base, p->l1_bytes) && memory_init(&s->l2, p->l2_base, p->l2_bytes);
  if (!memories || !s->code || !s->bank_free || !s->ram || !iss_icache_init(s)) {
    iss_destroy(s);
    return NULL;
  }
  for (uint32_t i = 0; i < 4; i++) { /* running off the end of L2 */
    s->code[s->code_count + i].op = OP_ILLEGAL;
    s->code[s->code_count + i].len = 1;
  }
  uint32_t divisor = common_divisor(p->fc_khz, p->cluster_khz);
  s->ticks_fc = p->cluster_khz / divisor;
  s->ticks_cl = p->fc_khz / divisor;
  return s;
}

void iss_destroy(iss_t *s) {
  if (!s) return;
  void *owned[] = {s->l1.data,   s->l1.tag,      s->l2.data,       s->l2.tag,   s->ram, s->dump, s->code,
                   s->bank_free, s->line_state,  s->line_ready,    s->way_line, s->out,   s->prof,
                   s->totals,    s->function_of, s->function_rows, s->layers,   s->events};
  for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) free(owned[i]);
  free(s);
}

/* Only what a run changes besides memory; the loaded program and data stay. */
static void reset(iss_t *s) {
  memset(s->core, 0, sizeof s->core);
  memset(s->bank_free, 0, s->p.l1_banks * sizeof *s->bank_free);
  memset(s->job_open, 0, sizeof s->job_open);
  if (s->sets) {
    memset(s->line_state, 0, s->p.l2_bytes / s->p.icache_line);
    memset(s->way_line, 0, (size_t)s->sets * s->p.icache_ways * sizeof *s->way_line);
  }
  s->lfsr = 1;
  s->miss_carry = 0;
  s->refill_free = s->dma_free[0] = s->dma_free[1] = s->ram_free = 0;
  s->dma_l1_from = s->dma_l1_until = 0;
  s->queue_len = s->xfers = s->team = s->team_running = s->barrier_seen = 0;
  s->in_cluster = s->stop = s->exited = false;
  s->event_tick = s->event_cycle = ISS_NEVER;
  s->exit_code = 0;
  s->layer = -1;
  s->error = (iss_error){.code = ISS_OK, .layer = -1};
  s->out_len = s->dump_len = s->layers_len = s->events_len = s->function_rows_len = 0;
  memset(s->l1.tag, 0, s->l1.bytes);
  memset(s->l2.tag, 0, s->l2.bytes);
}

static bool profile_init(iss_t *s) {
  free(s->prof);
  free(s->totals);
  s->prof = s->totals = NULL;
  if (!s->profile) return true;
  s->prof = calloc(s->code_count + 4u, sizeof *s->prof);
  s->totals = calloc(s->code_count + 4u, sizeof *s->totals);
  return s->prof && s->totals;
}

bool iss_start(iss_t *s, uint32_t boot, uint32_t entry, uint64_t max_cycles, bool profile, bool trace) {
  reset(s);
  s->boot = boot;
  s->in_cluster = boot != ISS_FC;
  s->profile = profile;
  s->trace = trace;
  s->max_cycles = max_cycles < UINT64_MAX >> 5 ? max_cycles : UINT64_MAX >> 5; /* times are keys with 4 bits below */
  if (!profile_init(s)) return false;
  for (uint32_t i = 0; i < ISS_ALL_CORES; i++) {
    iss_core *c = &s->core[i];
    c->id = i;
    c->has_icache = i != ISS_FC && s->sets > 0;
    c->l1_fast = i != ISS_FC ? s->l1.bytes : 0;
    iss_block(s, c, CAUSE_IDLE, 0);
  }
  s->core[boot].r[1] = ISS_RETURN_EXIT;
  iss_start_core(s, &s->core[boot], entry, 0, 0);
  return true;
}

/* Who runs next, and what happens when nobody can. */
#include "state.h"

static uint64_t ticks_per_cycle(const iss_t *s, const iss_core *c) {
  return c->id == ISS_FC ? s->ticks_fc : s->ticks_cl;
}

uint64_t iss_ticks(const iss_t *s, const iss_core *c, uint64_t cycles) { return cycles * ticks_per_cycle(s, c); }

uint64_t iss_cycles_up(const iss_t *s, const iss_core *c, uint64_t ticks) {
  uint64_t k = ticks_per_cycle(s, c);
  return (ticks + k - 1) / k;
}

void iss_fail(iss_t *s, const iss_core *c, const iss_insn *in, iss_error_code code, uint32_t address, uint32_t size,
              const char *text) {
  if (s->stop) return; /* the first error is the cause */
  uint32_t pc = in ? iss_pc(s, in) : 0;
  s->stop = true;
  s->error = (iss_error){code, c ? c->id : ISS_FC, pc, address, size, 0, s->layer, text};
}

static uint64_t key_of(const iss_core *c) { return c->t << 4 | c->id; }

static void enqueue(iss_t *s, const iss_core *c) {
  uint64_t key = key_of(c);
  uint32_t i = s->queue_len++;
  for (; i > 0 && s->queue[i - 1] > key; i--) s->queue[i] = s->queue[i - 1];
  s->queue[i] = key;
}

void iss_block(iss_t *s, iss_core *c, iss_cause cause, uint64_t t) {
  (void)s;
  c->state = CORE_WAITING;
  c->wait_cause = cause;
  c->wait_since = t;
}

void iss_wake(iss_t *s, iss_core *c, uint64_t t) {
  if (t < c->wait_since) t = c->wait_since;
  uint64_t waited = t - c->wait_since;
  c->tally.stall[c->wait_cause] += waited;
  if (s->profile && c->wait_in) {
    iss_tally *at = &s->prof[c->wait_in - s->code];
    at->stall[c->wait_cause] += waited;
    at->cycles += waited;
  }
  c->state = CORE_RUNNING;
  c->wait_job = 0;
  c->t = t;
  enqueue(s, c);
}

void iss_start_core(iss_t *s, iss_core *c, uint32_t pc, uint32_t argument, uint64_t t) {
  uint32_t index = (pc - s->p.l2_base) >> 1;
  if (index >= s->code_count) {
    iss_fail(s, c, NULL, ERR_FETCH, pc, 0, NULL);
    return;
  }
  c->r[10] = argument;
  c->in = &s->code[index];
  c->refetch = true;
  c->loop_count[0] = c->loop_count[1] = 0;
  c->running_fn = pc;
  c->busy_from = t;
  c->wait_in = NULL;
  iss_wake(s, c, t);
}

/* The core that has just run goes to its new place or leaves. It is at the head unless it has woken others. */
static void requeue(iss_t *s, const iss_core *c) {
  uint32_t i = 0;
  uint64_t key = key_of(c);
  while ((s->queue[i] & 15u) != c->id) i++;
  if (c->state != CORE_RUNNING) {
    s->queue_len--;
    for (; i < s->queue_len; i++) s->queue[i] = s->queue[i + 1];
    return;
  }
  for (; i + 1 < s->queue_len && s->queue[i + 1] < key; i++) s->queue[i] = s->queue[i + 1];
  s->queue[i] = key;
}

/* Nobody can run: let the next transfer complete, or give up. */
static void idle(iss_t *s) {
  if (s->event_tick != ISS_NEVER) {
    iss_transfers_complete(s, s->event_tick);
    return;
  }
  const iss_core *stuck = &s->core[s->in_cluster ? 0 : ISS_FC];
  for (uint32_t i = 0; i < s->p.cores && s->in_cluster; i++)
    if (s->core[i].wait_in && s->core[i].wait_cause == CAUSE_BARRIER) stuck = &s->core[i];
  iss_fail(s, stuck, stuck->wait_in, ERR_DEADLOCK, 0, s->barrier_seen, NULL);
}

iss_status iss_run(iss_t *s, uint64_t slice) {
  bool fresh = true;
  while (!s->stop) {
    if (s->queue_len == 0) {
      idle(s);
      continue;
    }
    uint64_t head = s->queue[0], t = head >> 4;
    iss_core *c = &s->core[head & 15u];
    if (t >= s->event_cycle) {
      iss_transfers_complete(s, iss_ticks(s, c, t));
      continue;
    }
    if (t >= s->max_cycles) {
      iss_fail(s, c, c->in, ERR_CYCLES, 0, 0, NULL);
      break;
    }
    if (fresh) {
      s->horizon = s->max_cycles - t > slice ? t + slice : s->max_cycles;
      fresh = false;
    }
    if (t >= s->horizon) return RUN_SLICE_OVER;
    uint64_t limit = s->horizon < s->event_cycle ? s->horizon : s->event_cycle;
    if (s->queue_len > 1) {
      uint64_t next = (s->queue[1] >> 4) + ((s->queue[1] & 15u) > c->id ? 1u : 0u);
      if (next < limit) limit = next;
    }
    if (s->profile)
      iss_exec_profiled(s, c, limit);
    else
      iss_exec(s, c, limit);
    requeue(s, c);
  }
  return s->exited ? RUN_EXITED : RUN_FAILED;
}

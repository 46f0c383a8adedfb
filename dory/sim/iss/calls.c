/* Runtime calls (iss_calls.h): the team, the cluster, printing and markers. Transfers are in transfer.c. */
#include "iss_calls.h"
#include "state.h"

enum { REG_RA = 1, REG_SP = 2, REG_GP = 3, REG_TP = 4, REG_A0 = 10 };

static void charge(iss_t *s, iss_core *c, iss_cause cause, uint64_t cycles, uint64_t *t) {
  if (c->wait_in) iss_stall(s, c, c->wait_in, cause, cycles);
  *t += cycles;
}

static void busy_until(iss_t *s, const iss_core *c, uint64_t t) {
  iss_trace_add(
      s, (iss_trace_event){iss_ticks(s, c, c->busy_from), iss_ticks(s, c, t), TRACE_CORE, c->id, c->running_fn, 0});
}

/* The ecall in front of a resume point; it has no compressed form. */
static iss_insn *call_before(iss_insn *resume) { return resume - 2; }

static void fork_team(iss_t *s, iss_core *c, uint64_t *t) {
  uint32_t cores = c->r[REG_A0], fn = c->r[REG_A0 + 1], argument = c->r[REG_A0 + 2];
  if (c->id != 0 || s->team) {
    iss_fail(s, c, c->wait_in, ERR_CALL, 0, 0, "a team is forked by core 0 of the cluster, outside a team");
    return;
  }
  if (cores == 0 || cores > s->p.cores) {
    iss_fail(s, c, c->wait_in, ERR_CALL, 0, cores, "a team has 1 core up to all of the cluster's");
    return;
  }
  charge(s, c, CAUSE_CALL, s->p.fork_start, t);
  s->team = s->team_running = cores;
  s->barrier_seen = 0;
  for (uint32_t i = 1; i < cores; i++) {
    iss_core *w = &s->core[i];
    uint32_t low = s->stack_base + s->stack_first + (i - 1) * s->stack_other;
    w->stack_low = low;
    w->r[REG_SP] = low + s->stack_other;
    w->r[REG_RA] = ISS_RETURN_TEAM;
    w->r[REG_GP] = c->r[REG_GP];
    w->r[REG_TP] = c->r[REG_TP];
    iss_start_core(s, w, fn, argument, *t);
  }
  c->resume = c->in;
  c->resume_ra = c->r[REG_RA];
  c->r[REG_RA] = ISS_RETURN_TEAM;
  c->r[REG_A0] = argument;
  c->running_fn = fn;
  c->busy_from = *t;
  uint32_t index = (fn - s->p.l2_base) >> 1;
  if (index < s->code_count)
    c->in = &s->code[index];
  else
    iss_fail(s, c, c->wait_in, ERR_FETCH, fn, 0, NULL);
}

static void leave_team(iss_t *s, iss_core *c, uint64_t t) {
  iss_core *first = &s->core[0];
  busy_until(s, c, t);
  s->team_running--;
  iss_block(s, c, c->id == 0 ? CAUSE_BARRIER : CAUSE_IDLE, t);
  c->t = t;
  c->wait_in = c->id == 0 ? call_before(c->resume) : NULL;
  if (s->team_running > 0) return;
  s->team = 0;
  first->in = first->resume;
  first->r[REG_RA] = first->resume_ra;
  first->refetch = true;
  if (c == first) { /* still at the head of the queue */
    c->state = CORE_RUNNING;
    if (c->wait_in) iss_stall(s, c, c->wait_in, CAUSE_BARRIER, s->p.fork_join);
    c->t = t + s->p.fork_join;
  } else {
    iss_wake(s, first, t + s->p.fork_join);
  }
}

void iss_barrier(iss_t *s, iss_core *c, uint64_t t, uint64_t extra) {
  if (s->team <= 1) return;
  s->barrier_seen |= 1u << c->id;
  iss_block(s, c, CAUSE_BARRIER, t);
  if ((uint32_t)__builtin_popcount(s->barrier_seen) < s->team) return;
  s->barrier_seen = 0;
  for (uint32_t i = 0; i < s->team; i++) {
    iss_core *w = &s->core[i];
    if (w != c) iss_wake(s, w, t + extra);
  }
  c->state = CORE_RUNNING;
}

void iss_event_load(iss_t *s, iss_core *c, uint64_t *t) {
  enum { BARRIER = 0x1020421cu, BARRIER_ALIAS = 0x0020421cu }; /* hardware barrier 0: trigger, wait, clear */
  iss_insn *in = c->in;
  uint32_t address = c->r[in->rs1] + (uint32_t)in->imm;
  c->wait_in = in;
  c->in = in + in->len;
  charge(s, c, CAUSE_BARRIER, s->p.elw, t);
  c->r[in->rd] = 0;
  if (address == BARRIER || address == BARRIER_ALIAS) {
    iss_barrier(s, c, *t, s->p.elw_wake);
    if (c->state == CORE_RUNNING && s->team > 1) charge(s, c, CAUSE_BARRIER, s->p.elw_wake, t);
    return;
  }
  if (address & 3u)
    iss_fail(s, c, in, ERR_MISALIGNED, address, 4, NULL);
  else
    iss_fail(s, c, in, ERR_ACCESS, address, 4, "p.elw: only the hardware barrier is modelled, not this address");
}

static void run_cluster(iss_t *s, iss_core *c, uint64_t *t) {
  iss_core *first = &s->core[0];
  const iss_memory *m = iss_memory_at(s, c->r[REG_A0 + 2], c->r[REG_A0 + 3] + (s->p.cores - 1) * c->r[REG_A0 + 4]);
  if (c->id != ISS_FC || !m) {
    iss_fail(s, c, c->wait_in, ERR_CALL, c->r[REG_A0 + 2], 0,
             c->id == ISS_FC ? "the cluster's stacks are not inside a memory" : "only the FC starts the cluster");
    return;
  }
  charge(s, c, CAUSE_CALL, s->p.cluster_start_fc, t);
  s->stack_base = c->r[REG_A0 + 2];
  s->stack_first = c->r[REG_A0 + 3];
  s->stack_other = c->r[REG_A0 + 4];
  c->resume = c->in;
  iss_block(s, c, CAUSE_IDLE, *t);
  s->in_cluster = true;
  first->stack_low = s->stack_base;
  first->r[REG_SP] = s->stack_base + s->stack_first;
  first->r[REG_RA] = ISS_RETURN_CLUSTER;
  first->r[REG_GP] = c->r[REG_GP];
  first->r[REG_TP] = c->r[REG_TP];
  iss_start_core(s, first, c->r[REG_A0], c->r[REG_A0 + 1], iss_cycles_up(s, first, iss_ticks(s, c, *t)));
  iss_update_event(s);
}

static void leave_cluster(iss_t *s, iss_core *c, uint64_t t) {
  iss_core *fc = &s->core[ISS_FC];
  iss_block(s, c, CAUSE_IDLE, t);
  c->t = t;
  c->wait_in = NULL;
  s->in_cluster = false;
  fc->wait_in = call_before(fc->resume);
  iss_wake(s, fc, iss_cycles_up(s, fc, iss_ticks(s, c, t)));
  iss_update_event(s);
}

static void leave_program(iss_t *s, int32_t code) {
  if (s->stop) return;
  s->exit_code = code;
  s->exited = s->stop = true;
}

bool iss_magic_return(iss_t *s, iss_core *c, uint32_t target, uint64_t t) {
  if (target == ISS_RETURN_TEAM && s->team && c->id < s->team)
    leave_team(s, c, t);
  else if (target == ISS_RETURN_CLUSTER && c->id == 0 && !s->team)
    leave_cluster(s, c, t);
  else if (target == ISS_RETURN_EXIT && c->id == s->boot)
    leave_program(s, (int32_t)c->r[REG_A0]);
  else
    return false;
  if (s->exited) c->t = t;
  return true;
}

static void print(iss_t *s, iss_core *c) {
  uint32_t address = c->r[REG_A0], n = c->r[REG_A0 + 1];
  const iss_memory *m = iss_memory_at(s, address, n);
  if (m)
    iss_print(s, m->data + (address - m->base), n);
  else
    iss_fail(s, c, c->wait_in, ERR_CALL, address, n, "the text to print is not inside a memory");
}

/* Only the listed ranges of the arena stay alive. */
static void live(iss_t *s, iss_core *c) {
  uint32_t base = c->r[REG_A0 + 1], bytes = c->r[REG_A0 + 2], list = c->r[REG_A0 + 3], count = c->r[REG_A0 + 4];
  iss_memory *m = iss_memory_at(s, base, bytes), *at = count <= bytes ? iss_memory_at(s, list, 8u * count) : NULL;
  if (!m || !at || m != (c->r[REG_A0] == 1 ? &s->l1 : &s->l2)) {
    iss_fail(s, c, c->wait_in, ERR_CALL, base, bytes, "the arena or its list of ranges is not inside its memory");
    return;
  }
  iss_tag(m, base, bytes, TAG_DEAD, 0);
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *p = at->data + (list - at->base) + 8u * i;
    uint32_t off = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    uint32_t n = (uint32_t)p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24;
    if (off > bytes || n > bytes - off) {
      iss_fail(s, c, c->wait_in, ERR_CALL, base + off, n, "a live range is not inside its arena");
      return;
    }
    iss_tag(m, base + off, n, 0, TAG_DEAD);
  }
}

static void dump(iss_t *s, iss_core *c) {
  uint32_t address = c->r[REG_A0 + 1], ram = c->r[REG_A0 + 2], n = c->r[REG_A0 + 3];
  const iss_memory *m = address ? iss_memory_at(s, address, n) : NULL;
  if (m)
    iss_dump(s, m->data + (address - m->base), n);
  else if (!address && ram <= s->p.ram_bytes && n <= s->p.ram_bytes - ram)
    iss_dump(s, s->ram + ram, n);
  else
    iss_fail(s, c, c->wait_in, ERR_CALL, address ? address : ram, n, "the layer's output is not inside a memory");
}

static void poison(iss_t *s, iss_core *c) {
  uint32_t address = c->r[REG_A0], n = c->r[REG_A0 + 1];
  iss_memory *m = iss_memory_at(s, address, n);
  if (m == &s->l1)
    iss_tag(m, address, n, TAG_UNWRITTEN, 0);
  else
    iss_fail(s, c, c->wait_in, ERR_CALL, address, n, "only L1 can be poisoned");
}

void iss_call(iss_t *s, iss_core *c, uint64_t *t) {
  uint32_t number = c->r[17], *a0 = &c->r[REG_A0];
  c->wait_in = c->in;
  c->in += c->in->len;
  switch (number) {
    case ISS_EXIT:
      leave_program(s, (int32_t)*a0);
      break;
    case ISS_PUTCHAR:
      iss_print(s, (const uint8_t[]){(uint8_t)*a0}, 1);
      break;
    case ISS_WRITE:
      print(s, c);
      break;
    case ISS_CYCLES:
      c->r[REG_A0 + 1] = (uint32_t)(*t >> 32);
      *a0 = (uint32_t)*t;
      break;
    case ISS_CORE_ID:
      *a0 = c->id == ISS_FC ? 0 : c->id;
      break;
    case ISS_CORE_COUNT:
      *a0 = s->team ? s->team : 1;
      break;
    case ISS_STACK:
      c->stack_low = *a0;
      break;
    case ISS_DMA_START:
    case ISS_RAM_READ:
    case ISS_RAM_WRITE:
      iss_call_start(s, c, t);
      break;
    case ISS_DMA_WAIT:
    case ISS_RAM_WAIT:
      iss_call_wait(s, c, t);
      break;
    case ISS_TEAM_FORK:
      fork_team(s, c, t);
      break;
    case ISS_TEAM_BARRIER:
      iss_barrier(s, c, *t, s->p.barrier);
      if (c->state == CORE_RUNNING && s->team > 1) charge(s, c, CAUSE_BARRIER, s->p.barrier, t);
      break;
    case ISS_CLUSTER_RUN:
      run_cluster(s, c, t);
      break;
    case ISS_LAYER_BEGIN:
      iss_layer_begin(s, c, (int32_t)*a0, *t);
      break;
    case ISS_LAYER_END:
      iss_layer_end(s, c, (int32_t)*a0, *t);
      break;
    case ISS_POISON:
      poison(s, c);
      break;
    case ISS_LIVE:
      live(s, c);
      break;
    case ISS_DUMP:
      dump(s, c);
      break;
    default:
      iss_fail(s, c, c->wait_in, ERR_CALL, 0, number, "there is no runtime call of this number");
  }
}

/* The cluster DMA (L2 <-> L1) and the HyperRAM (L3 <-> L2). A copy's bytes move when its modelled time is over. Until the
 * program has waited for it, its destination may not be touched, nor its source written: that it happens to be done
 * by then is no excuse. */
#include <string.h>

#include "iss_calls.h"
#include "state.h"

enum { REG_A0 = 10 };

static bool is_dma(const iss_xfer *x) { return x->kind == XFER_DMA_IN || x->kind == XFER_DMA_OUT; }
static uint32_t total(const iss_xfer *x) { return x->lines * x->line_bytes; }

void iss_update_event(iss_t *s) {
  s->event_tick = ISS_NEVER;
  for (uint32_t i = 0; i < s->xfers; i++)
    if (!s->xfer[i].landed && s->xfer[i].end < s->event_tick) s->event_tick = s->xfer[i].end;
  const iss_core *clock = &s->core[s->in_cluster ? 0 : ISS_FC];
  s->event_cycle = s->event_tick == ISS_NEVER ? ISS_NEVER : iss_cycles_up(s, clock, s->event_tick);
}

/* Applies fn to each side's contiguous pieces that lie in L1 or L2. */
static void tag_side(iss_t *s, const iss_xfer *x, bool near, uint8_t set, uint8_t clear) {
  iss_memory *near_memory = is_dma(x) ? &s->l1 : &s->l2;
  if (near) {
    iss_tag(near_memory, x->near, total(x), set, clear);
  } else if (is_dma(x)) {
    for (uint32_t i = 0; i < x->lines; i++) iss_tag(&s->l2, x->far + i * x->stride, x->line_bytes, set, clear);
  }
}

static bool near_is_destination(const iss_xfer *x) { return x->kind == XFER_DMA_IN || x->kind == XFER_RAM_READ; }

static void mark(iss_t *s, const iss_xfer *x) {
  bool in = near_is_destination(x);
  tag_side(s, x, true, in ? TAG_DESTINATION : TAG_SOURCE, 0);
  tag_side(s, x, false, in ? TAG_SOURCE : TAG_DESTINATION, 0);
}

static void move(iss_t *s, const iss_xfer *x) {
  bool in = near_is_destination(x);
  iss_memory *m = is_dma(x) ? &s->l1 : &s->l2;
  for (uint32_t i = 0; i < x->lines; i++) {
    uint8_t *near = m->data + (x->near - m->base) + i * x->line_bytes;
    uint8_t *far = is_dma(x) ? s->l2.data + (x->far - s->l2.base) + i * x->stride : s->ram + x->far;
    memcpy(in ? near : far, in ? far : near, x->line_bytes);
    if (x->kind == XFER_DMA_OUT) iss_invalidate(s, x->far - s->l2.base + i * x->stride, x->line_bytes);
  }
  if (x->kind == XFER_RAM_READ) iss_invalidate(s, x->near - s->l2.base, x->line_bytes);
}

/* The program has waited for the job: its copies' bytes are free again, except where others share them. */
static void close_job(iss_t *s, uint32_t job) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->xfers; i++) {
    const iss_xfer *x = &s->xfer[i];
    if (x->job == job) {
      tag_side(s, x, true, 0, TAG_DESTINATION | TAG_SOURCE);
      tag_side(s, x, false, 0, TAG_DESTINATION | TAG_SOURCE);
    } else {
      s->xfer[kept++] = *x;
    }
  }
  s->xfers = kept;
  for (uint32_t i = 0; i < kept; i++) mark(s, &s->xfer[i]);
  s->job_open[job] = 0;
}

static void land(iss_t *s, iss_xfer *x) {
  static const iss_trace_kind kind[] = {TRACE_DMA_IN, TRACE_DMA_OUT, TRACE_RAM_READ, TRACE_RAM_WRITE};
  uint32_t job = x->job;
  uint64_t end = x->end;
  bool dma = is_dma(x);
  move(s, x);
  x->landed = true;
  if (near_is_destination(x)) tag_side(s, x, true, 0, TAG_UNWRITTEN);
  iss_trace_add(s, (iss_trace_event){x->begin, x->end, kind[x->kind], 0, total(x), x->job});
  bool done = --s->job_open[job] == 1;
  for (uint32_t i = 0; i < ISS_ALL_CORES; i++) {
    iss_core *c = &s->core[i];
    if (c->state != CORE_WAITING || c->wait_job == 0) continue;
    if (c->wait_job == job && done) {
      close_job(s, job);
      iss_wake(s, c, iss_cycles_up(s, c, end) + (dma ? s->p.dma_wake : s->p.ram_wake));
    } else if (c->wait_job == ISS_MAX_JOBS + 1 && dma) { /* waits for room in the queue */
      iss_wake(s, c, iss_cycles_up(s, c, end));
    }
  }
}

void iss_transfers_complete(iss_t *s, uint64_t tick) {
  for (;;) {
    iss_xfer *first = NULL;
    for (uint32_t i = 0; i < s->xfers; i++) {
      iss_xfer *x = &s->xfer[i];
      if (!x->landed && (!first || x->end < first->end)) first = x;
    }
    if (!first || first->end > tick) break;
    land(s, first);
  }
  iss_update_event(s);
}

static bool refuse(iss_t *s, iss_core *c, uint32_t address, uint32_t size, const char *text) {
  iss_fail(s, c, c->wait_in, ERR_CALL, address, size, text);
  return false;
}

/* One contiguous piece of a copy against what is in flight, dead or unwritten there. */
static bool check_piece(iss_t *s, iss_core *c, iss_memory *m, uint32_t address, uint32_t bytes, bool destination) {
  if (iss_memory_at(s, address, bytes) != m)
    return refuse(
        s, c, address, bytes,
        m == &s->l1 ? "the L1 side of the copy is not inside L1" : "the L2 side of the copy is not inside L2");
  uint8_t blocking = destination ? TAGS_BLOCK_WRITE : TAGS_BLOCK_READ;
  uint32_t off = iss_find_tag(m, address, bytes, blocking);
  if (off == bytes) return true;
  uint8_t tag = m->tag[address - m->base + off];
  iss_error_code code = (tag & TAG_DESTINATION)               ? (destination ? ERR_IN_FLIGHT_WRITE : ERR_IN_FLIGHT_READ)
                        : (destination && (tag & TAG_SOURCE)) ? ERR_SOURCE_WRITE
                        : (tag & TAG_DEAD)                    ? ERR_DEAD
                                                              : ERR_UNWRITTEN;
  iss_fail(s, c, c->wait_in, code, address + off, bytes - off, "as a side of this copy");
  const iss_xfer *x = iss_transfer_at(s, address + off);
  if (x) s->error.other_pc = x->pc;
  return false;
}

static bool open_job(iss_t *s, iss_core *c, uint32_t first, uint32_t last) {
  uint32_t *job = &c->r[REG_A0];
  if (*job >= first && *job <= last && s->job_open[*job]) return true;
  if (*job != 0) return refuse(s, c, *job, 0, "this job is not open");
  for (uint32_t i = first; i <= last; i++) {
    if (s->job_open[i]) continue;
    s->job_open[i] = 1;
    *job = i;
    return true;
  }
  return refuse(s, c, 0, 0, "all transfer jobs are open: some were never waited for");
}

static void enter(iss_t *s, iss_core *c, iss_xfer *x) {
  x->job = c->r[REG_A0];
  x->pc = iss_pc(s, c->wait_in);
  x->core = c->id;
  s->job_open[x->job]++;
  s->xfer[s->xfers++] = *x;
  mark(s, x);
  iss_update_event(s);
}

/* L1 banks are swept from the copy's first byte on, two words a cycle, while data moves. */
static void use_banks(iss_t *s, const iss_core *c, const iss_xfer *x, uint64_t start, uint64_t cycles) {
  uint64_t from = iss_cycles_up(s, c, start);
  if (from > s->dma_l1_until) {
    s->dma_l1_from = from;
    s->dma_l1_bank = (x->near >> 2) & s->bank_mask;
  }
  s->dma_l1_until = from + cycles;
}

static uint64_t dma_cycles(const iss_params *p, const iss_xfer *x) {
  uint32_t beats = (x->line_bytes + p->dma_bytes_per_cycle - 1) / p->dma_bytes_per_cycle;
  if (x->lines == 1) return beats;
  bool in = x->kind == XFER_DMA_IN;
  uint32_t line = beats + (in ? p->dma_in_line_extra : p->dma_out_line_extra);
  uint32_t least = in ? p->dma_in_line_floor : p->dma_out_line_floor;
  return (uint64_t)x->lines * (line > least ? line : least);
}

static bool dma_arguments(iss_t *s, iss_core *c, iss_xfer *x) {
  const uint32_t *a = &c->r[REG_A0];
  *x = (iss_xfer){.kind = a[6] ? XFER_DMA_OUT : XFER_DMA_IN,
                  .near = a[1],
                  .far = a[2],
                  .lines = a[3],
                  .line_bytes = a[4],
                  .stride = a[5]};
  if (c->id == ISS_FC) return refuse(s, c, 0, 0, "the cluster DMA is used from the cluster");
  if (x->lines == 0 || x->line_bytes == 0 || (uint64_t)x->lines * x->line_bytes > s->p.dma_max_bytes)
    return refuse(s, c, x->near, total(x), "a DMA command moves 1 byte to 64 KiB - 1");
  bool in = x->kind == XFER_DMA_IN;
  if (!check_piece(s, c, &s->l1, x->near, total(x), in)) return false;
  for (uint32_t i = 0; i < x->lines; i++)
    if (!check_piece(s, c, &s->l2, x->far + i * x->stride, x->line_bytes, !in)) return false;
  return true;
}

static void start_dma(iss_t *s, iss_core *c, uint64_t *t) {
  iss_xfer x;
  uint32_t queued = 0;
  for (uint32_t i = 0; i < s->xfers; i++) queued += is_dma(&s->xfer[i]) && !s->xfer[i].landed;
  if (queued >= s->p.dma_queue) { /* try again when one is done */
    c->in = c->wait_in;
    *t -= 1;
    c->tally.count--;
    if (s->profile) s->prof[c->in - s->code].count--;
    iss_block(s, c, CAUSE_DMA_WAIT, *t);
    c->wait_job = ISS_MAX_JOBS + 1;
    return;
  }
  if (!dma_arguments(s, c, &x) || !open_job(s, c, 1, ISS_DMA_JOBS)) return;
  uint64_t issued = *t, cycles = dma_cycles(&s->p, &x);
  iss_stall(s, c, c->wait_in, CAUSE_CALL, s->p.dma_issue);
  *t += s->p.dma_issue;
  uint64_t *engine = &s->dma_free[x.kind == XFER_DMA_OUT], ready = iss_ticks(s, c, *t);
  x.begin = *engine > ready ? *engine : ready;
  *engine = x.begin + iss_ticks(s, c, cycles);
  x.end = *engine + iss_ticks(s, c, x.lines == 1 ? s->p.dma_setup : s->p.dma_2d_setup);
  uint64_t least = iss_ticks(s, c, issued + s->p.dma_floor - s->p.dma_wake);
  if (x.end < least) x.end = least;
  use_banks(s, c, &x, x.begin, cycles);
  enter(s, c, &x);
}

/* Nanoseconds to ticks. */
static uint64_t ticks_in(const iss_t *s, uint64_t ns) { return ns * s->p.fc_khz * s->ticks_fc / 1000000u; }

static uint64_t ram_cycles(const iss_ram_law *law, uint32_t bytes) {
  uint64_t bursts = law->burst_bytes ? (bytes + law->burst_bytes - 1) / law->burst_bytes : 1;
  uint64_t cycles = law->setup + ((uint64_t)bytes * law->per_byte_milli + 500) / 1000 + (bursts - 1) * law->per_burst;
  return cycles > law->floor ? cycles : law->floor;
}

static void start_ram(iss_t *s, iss_core *c, bool read, uint64_t *t) {
  const uint32_t *a = &c->r[REG_A0];
  bool fc = c->id == ISS_FC;
  iss_xfer x = {
      .kind = read ? XFER_RAM_READ : XFER_RAM_WRITE, .near = a[1], .far = a[2], .lines = 1, .line_bytes = a[3]};
  if (x.line_bytes == 0 || ((x.near | x.far | x.line_bytes) & 3u)) {
    refuse(s, c, x.near, x.line_bytes, "HyperRAM transfers have addresses and sizes that are multiples of 4");
    return;
  }
  if (x.far >= s->p.ram_bytes || x.line_bytes > s->p.ram_bytes - x.far) {
    refuse(s, c, x.far, x.line_bytes, "the transfer is not inside the HyperRAM");
    return;
  }
  if (!check_piece(s, c, &s->l2, x.near, x.line_bytes, read) || !open_job(s, c, ISS_DMA_JOBS + 1, ISS_MAX_JOBS)) return;
  const iss_ram_law *law =
      fc ? (read ? &s->p.ram_read_fc : &s->p.ram_write_fc) : (read ? &s->p.ram_read_cl : &s->p.ram_write_cl);
  uint64_t arrives = iss_ticks(s, c, *t);
  if (!fc) arrives += ticks_in(s, s->p.ram_offload_ns) + iss_ticks(s, c, s->p.ram_offload_cycles);
  iss_stall(s, c, c->wait_in, CAUSE_CALL, s->p.ram_issue);
  *t += s->p.ram_issue;
  x.begin = s->ram_free > arrives ? s->ram_free : arrives;
  x.end = s->ram_free = x.begin + ram_cycles(law, x.line_bytes) * s->ticks_fc;
  enter(s, c, &x);
}

void iss_call_start(iss_t *s, iss_core *c, uint64_t *t) {
  if (s->xfers == ISS_MAX_XFERS)
    refuse(s, c, 0, 0, "too many transfers have not been waited for");
  else if (c->r[17] == ISS_DMA_START)
    start_dma(s, c, t);
  else
    start_ram(s, c, c->r[17] == ISS_RAM_READ, t);
}

void iss_call_wait(iss_t *s, iss_core *c, uint64_t *t) {
  uint32_t job = c->r[REG_A0];
  bool dma = c->r[17] == ISS_DMA_WAIT;
  if (job == 0) return;
  if (job > ISS_MAX_JOBS || s->job_open[job] == 0 || (job <= ISS_DMA_JOBS) != dma) {
    refuse(s, c, job, 0, "this job is not open: waited for twice, or never started");
    return;
  }
  if (s->job_open[job] == 1) {
    close_job(s, job);
    return;
  }
  iss_block(s, c, dma ? CAUSE_DMA_WAIT : CAUSE_RAM_WAIT, *t);
  c->wait_job = job;
}

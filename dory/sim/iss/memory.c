/* Memory off the fast path: L2, accesses across a word boundary, the FC's L1 accesses, and every fault. */
#include <string.h>

#include "state.h"

iss_memory *iss_memory_at(iss_t *s, uint32_t address, uint32_t bytes) {
  iss_memory *memories[] = {&s->l1, &s->l2};
  for (int i = 0; i < 2; i++) {
    uint32_t off = address - memories[i]->base;
    if (off < memories[i]->bytes && bytes <= memories[i]->bytes - off) return memories[i];
  }
  return NULL;
}

void iss_tag(iss_memory *m, uint32_t address, uint32_t bytes, uint8_t set, uint8_t clear) {
  uint8_t *tag = m->tag + (address - m->base), keep = (uint8_t)~clear;
  for (uint32_t i = 0; i < bytes; i++) tag[i] = (uint8_t)((tag[i] & keep) | set);
}

uint32_t iss_find_tag(const iss_memory *m, uint32_t address, uint32_t bytes, uint8_t tags) {
  const uint8_t *tag = m->tag + (address - m->base);
  for (uint32_t i = 0; i < bytes; i++)
    if (tag[i] & tags) return i;
  return bytes;
}

void iss_stall(iss_t *s, iss_core *c, const iss_insn *in, iss_cause cause, uint64_t cycles) {
  c->tally.stall[cause] += cycles;
  if (s->profile) s->prof[in - s->code].stall[cause] += cycles;
}

const iss_xfer *iss_transfer_at(const iss_t *s, uint32_t address) {
  for (uint32_t i = 0; i < s->xfers; i++) {
    const iss_xfer *x = &s->xfer[i];
    bool dma = x->kind == XFER_DMA_IN || x->kind == XFER_DMA_OUT;
    if (address - x->near < x->lines * x->line_bytes) return x;
    for (uint32_t line = 0; dma && line < x->lines; line++)
      if (address - (x->far + line * x->stride) < x->line_bytes) return x;
  }
  return NULL;
}

static bool tagged(iss_t *s, iss_core *c, const iss_insn *in, const iss_access *a, iss_memory *m) {
  uint32_t at = a->address + iss_find_tag(m, a->address, a->size, a->store ? TAGS_BLOCK_WRITE : TAGS_BLOCK_READ);
  if (at == a->address + a->size) {
    if (a->store) iss_tag(m, a->address, a->size, 0, TAG_UNWRITTEN);
    return false;
  }
  uint8_t tag = m->tag[at - m->base];
  iss_error_code code = (tag & TAG_DESTINATION)            ? (a->store ? ERR_IN_FLIGHT_WRITE : ERR_IN_FLIGHT_READ)
                        : (a->store && (tag & TAG_SOURCE)) ? ERR_SOURCE_WRITE
                        : (tag & TAG_DEAD)                 ? ERR_DEAD
                                                           : ERR_UNWRITTEN;
  iss_fail(s, c, in, code, at, a->size, NULL);
  const iss_xfer *x = (tag & (TAG_DESTINATION | TAG_SOURCE)) ? iss_transfer_at(s, at) : NULL;
  if (x) s->error.other_pc = x->pc;
  return true;
}

uint64_t iss_behind_dma(const iss_t *s, uint64_t t) {
  uint64_t wait = 0;
  for (int direction = 0; direction < 2 && s->p.l2_wait_dma_cap; direction++) {
    uint64_t until = iss_cycles_up(s, &s->core[0], s->dma_free[direction]);
    if (until > t && until - t > wait) wait = until - t;
  }
  return wait < s->p.l2_wait_dma_cap ? wait : s->p.l2_wait_dma_cap;
}

static void charge(iss_t *s, iss_core *c, const iss_insn *in, const iss_access *a, const iss_memory *m, uint64_t *t) {
  bool fc = c->id == ISS_FC, crosses = (a->address & 3u) + a->size > 4u;
  if (m == &s->l1 && !fc) {
    uint32_t off = a->address - m->base;
    uint64_t grant = iss_take_bank(s, off, *t);
    iss_stall(s, c, in, CAUSE_BANK, grant - *t);
    *t = grant + 1;
    if (!crosses) return;
    grant = iss_take_bank(s, off + 4u, *t);
    iss_stall(s, c, in, CAUSE_BANK, grant - *t);
    iss_stall(s, c, in, CAUSE_MISALIGNED, s->p.misaligned);
    *t = grant + s->p.misaligned;
    return;
  }
  uint64_t latency = m == &s->l1 ? s->p.fc_l1_access : fc ? s->p.fc_l2_access : s->p.l2_access;
  if (!fc) latency += iss_behind_dma(s, *t);
  iss_stall(s, c, in, CAUSE_L2, latency - 1);
  *t += latency;
  if (crosses) {
    iss_stall(s, c, in, CAUSE_MISALIGNED, s->p.misaligned);
    *t += s->p.misaligned;
  }
}

bool iss_access_slow(iss_t *s, iss_core *c, const iss_insn *in, iss_access *a, uint64_t *t) {
  iss_memory *m = iss_memory_at(s, a->address, a->size);
  if (!m) {
    iss_fail(s, c, in, ERR_ACCESS, a->address, a->size, a->store ? "store" : "load");
    return false;
  }
  if (tagged(s, c, in, a, m)) return false;
  charge(s, c, in, a, m, t);
  uint8_t *data = m->data + (a->address - m->base);
  if (a->store) {
    memcpy(data, &a->value, a->size);
    if (m == &s->l2) iss_invalidate(s, a->address - m->base, a->size);
  } else {
    a->value = 0;
    memcpy(&a->value, data, a->size);
  }
  return true;
}

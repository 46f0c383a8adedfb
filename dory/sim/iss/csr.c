/* The control and status registers that programs for this chip read. */
#include "state.h"

enum { CLUSTER_ID_SHIFT = 5, FC_CLUSTER_ID = 32 };

/* Registers that are kept without effect: mstatus, mtvec, mscratch, mepc, mcause. */
static int slot_of(uint32_t number) {
  static const uint32_t kept[] = {0x300, 0x305, 0x340, 0x341, 0x342};
  for (int i = 0; i < (int)(sizeof kept / sizeof kept[0]); i++)
    if (kept[i] == number) return i;
  return -1;
}

static bool read_csr(const iss_t *s, const iss_core *c, uint32_t number, uint64_t t, uint32_t *value) {
  int slot = slot_of(number);
  if (slot >= 0) {
    *value = c->scratch_csr[slot];
    return true;
  }
  switch (number) {
    case 0xf14: /* mhartid */
    case 0x014:
      *value = c->id == ISS_FC ? FC_CLUSTER_ID << CLUSTER_ID_SHIFT : c->id;
      return true;
    case 0xb00: /* mcycle, cycle, and RI5CY's first performance counter */
    case 0xc00:
    case 0xc01:
    case 0x780:
      *value = (uint32_t)t;
      return true;
    case 0xb80:
    case 0xc80:
    case 0xc81:
      *value = (uint32_t)(t >> 32);
      return true;
    case 0x7b0:
    case 0x7b4:
      *value = c->loop_start[number >> 2 & 1u] ? iss_pc(s, c->loop_start[number >> 2 & 1u]) : 0;
      return true;
    case 0x7b1:
    case 0x7b5:
      *value = c->loop_end[number >> 2 & 1u] ? iss_pc(s, c->loop_end[number >> 2 & 1u]) : 0;
      return true;
    case 0x7b2:
    case 0x7b6:
      *value = c->loop_count[number >> 2 & 1u];
      return true;
    case 0x7a0: /* performance counter enables */
    case 0x7a1:
    case 0xcc0:
    case 0xcc1:
      *value = 0;
      return true;
    case 0xc10: /* privilege level: machine */
      *value = 3;
      return true;
    default:
      return false;
  }
}

bool iss_csr(iss_t *s, iss_core *c, const iss_insn *in, uint64_t t) {
  uint32_t number = (uint32_t)in->imm, f3 = in->rs2, old;
  uint32_t operand = (f3 & 4u) ? in->rs1 : c->r[in->rs1];
  if (!read_csr(s, c, number, t, &old)) return false;
  int slot = slot_of(number);
  if (slot >= 0) {
    uint32_t value = (f3 & 3u) == 1u ? operand : (f3 & 3u) == 2u ? old | operand : old & ~operand;
    c->scratch_csr[slot] = value;
  }
  c->r[in->rd] = old;
  return true;
}

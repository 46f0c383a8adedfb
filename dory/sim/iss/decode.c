/* Words to operands and handlers. */
#include <string.h>

#include "state.h"

static uint32_t field(uint32_t w, unsigned low, unsigned bits) { return (w >> low) & ((1u << bits) - 1u); }
static int32_t sign(uint32_t x, unsigned bits) { return (int32_t)shift_right_signed(x << (32 - bits), 32 - bits); }

static int32_t imm_b(uint32_t w) {
  return sign(field(w, 31, 1) << 12 | field(w, 7, 1) << 11 | field(w, 25, 6) << 5 | field(w, 8, 4) << 1, 13);
}
static int32_t imm_j(uint32_t w) {
  return sign(field(w, 31, 1) << 20 | field(w, 12, 8) << 12 | field(w, 20, 1) << 11 | field(w, 21, 10) << 1, 21);
}
static int32_t imm_s(uint32_t w) { return sign(field(w, 25, 7) << 5 | field(w, 7, 5), 12); }

/* The 6-bit immediate of packed operations: bit 0 is in bit 25, bits 5..1 in the rs2 field. */
static uint32_t imm_6(uint32_t w) { return field(w, 20, 5) << 1 | field(w, 25, 1); }

static int32_t replicate(uint32_t lane, uint32_t funct3) {
  return (int32_t)((funct3 & 1u) ? (lane & 0xffu) * 0x01010101u : (lane & 0xffffu) * 0x00010001u);
}

const iss_opdef *iss_find_opdef(uint32_t word) {
  const iss_opdef *table = iss_ops_scalar;
  unsigned count = iss_ops_scalar_count;
  if ((word & 0x7fu) == 0x57u) table = iss_ops_simd, count = iss_ops_simd_count;
  for (unsigned i = 0; i < count; i++)
    if ((word & table[i].mask) == table[i].match) return &table[i];
  return NULL;
}

static int32_t immediate(const iss_opdef *def, uint32_t w, uint32_t pc) {
  switch (def->fmt) {
    case FMT_I:
    case FMT_JR:
    case FMT_L:
    case FMT_LP:
      return sign(w >> 20, 12);
    case FMT_SHIFT:
      return (int32_t)field(w, 20, 5);
    case FMT_U:
      return (int32_t)((w & 0xfffff000u) + ((w & 0x7fu) == 0x17u ? pc : 0u));
    case FMT_J:
      return imm_j(w);
    case FMT_B:
    case FMT_BI:
      return imm_b(w);
    case FMT_S:
    case FMT_SP:
      return imm_s(w);
    case FMT_NORM:
      return (int32_t)field(w, 25, 5);
    case FMT_FIELD:
      return (int32_t)field(w, 20, 10);
    case FMT_SIMM6: {
      int32_t v = sign(imm_6(w), 6);
      return (def->flags & OPF_SCALAR) ? v : replicate((uint32_t)v, field(w, 12, 3));
    }
    case FMT_UIMM6:
      return replicate(imm_6(w), field(w, 12, 3));
    case FMT_LANE:
      return (int32_t)imm_6(w);
    case FMT_LOOP:
    case FMT_LOOPI:
    case FMT_LOOPRL:
    case FMT_LOOPIL:
    case FMT_CSR:
    case FMT_CSRI:
      return (int32_t)(w >> 20);
    default:
      return 0;
  }
}

uint32_t iss_reads(const iss_opdef *def, const iss_insn *in) {
  uint32_t rs1 = 1u << in->rs1, rs2 = 1u << in->rs2, rd = (def->flags & OPF_RD) ? 1u << (in->rd & 31u) : 0u;
  switch (def->fmt) {
    case FMT_R:
    case FMT_B:
    case FMT_LR:
    case FMT_LRP:
    case FMT_S:
    case FMT_SP:
    case FMT_SR:
    case FMT_SRP:
    case FMT_NORM:
      return (rs1 | rs2 | rd) & ~1u;
    case FMT_NONE:
    case FMT_U:
    case FMT_J:
    case FMT_LOOP:
    case FMT_LOOPI:
    case FMT_LOOPIL:
    case FMT_CSRI:
      return 0;
    default:
      return (rs1 | rd) & ~1u;
  }
}

/* sp changes only through checked handlers. */
static void check_stack_pointer(iss_insn *in) {
  if (in->rd != 2) return;
  if (in->op == OP_ADDI) in->op = OP_ADDI_SP;
  if (in->op == OP_ALU || in->op == OP_ADD) in->op = OP_ALU_SP;
}

const iss_opdef *iss_decode_word(uint32_t w, uint32_t pc, iss_insn *in) {
  const iss_opdef *def = iss_find_opdef(w);
  in->op = OP_ILLEGAL;
  in->fn = NULL;
  in->imm = 0;
  in->rd = in->rs1 = in->rs2 = in->base_out = 0;
  if (!def) return NULL;
  bool stores = def->fmt == FMT_S || def->fmt == FMT_SP || def->fmt == FMT_SR || def->fmt == FMT_SRP;
  in->op = def->op;
  in->fn = def->fn;
  in->rd = (uint8_t)field(w, 7, 5);
  in->rs1 = (uint8_t)field(w, 15, 5);
  in->rs2 = (uint8_t)field(w, 20, 5);
  in->base_out = in->rs1 ? in->rs1 : 32;
  in->imm = immediate(def, w, pc);
  if (def->fmt == FMT_LOOPIL) in->rs2 = in->rs1; /* uimm5, the offset of the end */
  if (in->op >= OP_LP_START && in->op <= OP_LP_SETUPI)
    in->rd &= 1u;
  else if (in->rd == 0 && !stores)
    in->rd = 32;
  if (def->fmt == FMT_CSR || def->fmt == FMT_CSRI) in->rs2 = (uint8_t)field(w, 12, 3);
  check_stack_pointer(in);
  return def;
}

static uint32_t half_at(const iss_t *s, uint32_t index) {
  if (index >= s->code_count) return 0;
  const uint8_t *p = s->l2.data + 2u * index;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* The instruction at a halfword, expanded; *len in halfwords. */
static uint32_t word_at(const iss_t *s, uint32_t index, uint8_t *len) {
  uint32_t half = half_at(s, index);
  *len = (half & 3u) == 3u ? 2 : 1;
  return *len == 2 ? half | half_at(s, index + 1) << 16 : iss_expand_compressed(half);
}

void iss_decode(iss_t *s, iss_insn *in) {
  uint32_t index = (uint32_t)(in - s->code), halves = s->line_shift ? 1u << (s->line_shift - 1) : 0;
  uint8_t keep = in->flags & INSN_LOOP_END, len, next_len;
  uint32_t word = word_at(s, index, &len);
  const iss_opdef *def = iss_decode_word(word, iss_pc(s, in), in);
  in->len = len;
  in->flags = keep ? INSN_LOOP_END | INSN_TAIL : 0;

  uint32_t next = index + len;
  word = word_at(s, next, &next_len);
  if (halves && (next % halves == 0 || next % halves + next_len > halves)) in->flags |= INSN_TAIL;
  if (!def || !(def->flags & OPF_USE) || in->rd == 32) return;
  iss_insn follower;
  memset(&follower, 0, sizeof follower);
  const iss_opdef *next_def = iss_decode_word(word, 0, &follower);
  if (!next_def || !(iss_reads(next_def, &follower) >> in->rd & 1u)) return;
  in->flags |= INSN_USE;
  if (follower.op == OP_MULTI) in->flags |= INSN_USE_MULH;
}

void iss_invalidate(iss_t *s, uint32_t off, uint32_t n) {
  uint32_t first = off / 2u, last = (off + n + 1u) / 2u;
  first = first > 4u ? first - 4u : 0u; /* an instruction also depends on the one after it */
  for (uint32_t i = first; i < last && i < s->code_count; i++)
    if (s->code[i].op != OP_UNDECODED) s->code[i].op = OP_UNDECODED;
}

/* The interpreter. A core runs ahead on its own as long as it touches nothing shared; before each access to memory,
 * cache refill or runtime call it stops unless its time is before `limit`, the time of the next core in line or of the
 * next transfer's completion. So shared state is always touched in order of time, ties by core number. */
#include <string.h>

#include "state.h"

#define LIKELY(X) __builtin_expect(!!(X), 1)
#define UNLIKELY(X) __builtin_expect(!!(X), 0)

/* Where a hardware loop that ends here continues, or NULL. A loop on its last round falls through to the outer one. */
static iss_insn *loop_back(iss_core *c, const iss_insn *in) {
  for (int i = 0; i < 2; i++) {
    if (in != c->loop_end[i] || c->loop_count[i] == 0) continue;
    if (--c->loop_count[i] > 0) return c->loop_start[i];
  }
  return NULL;
}

static iss_insn *code_at(iss_t *s, uint32_t pc) {
  uint32_t index = (pc - s->p.l2_base) >> 1;
  return index < s->code_count ? &s->code[index] : NULL;
}

static bool set_loop(iss_t *s, iss_core *c, const iss_insn *in) {
  uint32_t pc = iss_pc(s, in), l = in->rd, imm = (uint32_t)in->imm;
  iss_insn *end = NULL;
  switch (in->op) {
    case OP_LP_START:
      c->loop_start[l] = code_at(s, pc + 2u * imm);
      return c->loop_start[l] != NULL;
    case OP_LP_COUNT:
      c->loop_count[l] = c->r[in->rs1];
      return true;
    case OP_LP_COUNTI:
      c->loop_count[l] = imm;
      return true;
    case OP_LP_END:
      end = code_at(s, pc + 2u * imm);
      break;
    case OP_LP_SETUP:
      c->loop_start[l] = code_at(s, pc + 4u);
      c->loop_count[l] = c->r[in->rs1];
      end = code_at(s, pc + 2u * imm);
      break;
    default: /* OP_LP_SETUPI */
      c->loop_start[l] = code_at(s, pc + 4u);
      c->loop_count[l] = imm;
      end = code_at(s, pc + 2u * in->rs2);
      break;
  }
  if (!end) return false;
  end->flags |= INSN_LOOP_END | INSN_TAIL; /* a hint to look; loop_end decides */
  c->loop_end[l] = end;
  return true;
}

static uint32_t division_cycles(uint32_t base, uint32_t divisor, bool is_signed) {
  bool negative = is_signed && (divisor & 0x80000000u);
  uint32_t magnitude = negative ? 0u - divisor : divisor;
  uint32_t zeros = magnitude ? (uint32_t)__builtin_clz(magnitude) : 32u;
  return zeros + base - (negative ? 1u : 0u);
}

/* What *in, marked INSN_USE, makes its reader wait. */
static inline uint32_t use_wait(const iss_t *s, const iss_insn *in) {
  return (in->op == OP_MUL ? s->p.mul_use : s->p.load_use) + ((in->flags & INSN_USE_MULH) ? s->p.use_mulh : 0u);
}

/* Makes the lines of *in present. False: it is not yet this core's turn to miss. */
static inline bool fetch(iss_t *s, iss_core *c, iss_insn *in, uint64_t limit, uint64_t *t) {
  if (in->op == OP_UNDECODED) iss_decode(s, in);
  uint32_t index = (uint32_t)(in - s->code), shift = s->line_shift - 1u;
  uint32_t first = index >> shift, last = (index + in->len - 1u) >> shift;
  for (uint32_t line = first; line <= last; line++) {
    if (LIKELY(s->line_state[line] == 1)) continue;
    if (*t >= limit) return false;
    uint64_t ready = iss_refill(s, line, *t);
    if (ready > *t) {
      iss_stall(s, c, in, CAUSE_ICACHE, ready - *t);
      *t = ready;
    }
  }
  return true;
}

#define STALL(CAUSE, N)                                  \
  do {                                                   \
    c->tally.stall[CAUSE] += (N);                        \
    if (prof) s->prof[in - s->code].stall[CAUSE] += (N); \
  } while (0)
#define ACCOUNT                                  \
  do {                                           \
    count++;                                     \
    if (prof) {                                  \
      s->prof[in - s->code].count++;             \
      s->prof[in - s->code].cycles += t - begin; \
    }                                            \
  } while (0)
#define NOT_YET \
  if (UNLIKELY(t >= limit)) goto out
#define FAIL(CODE, ADDRESS)                     \
  do {                                          \
    iss_fail(s, c, in, CODE, ADDRESS, 0, NULL); \
    goto out;                                   \
  } while (0)
#define EXTRA(CAUSE, N)    \
  do {                     \
    uint32_t extra_ = (N); \
    t += extra_;           \
    STALL(CAUSE, extra_);  \
  } while (0)
#define ALU(EXPR)       \
  do {                  \
    r[in->rd] = (EXPR); \
    t += 1;             \
    goto next;          \
  } while (0)
#define WORD_ALIGNED(OFF, T) (((OFF)&3u) + sizeof(T) <= 4u)

#define LOAD(T, CAST, ADDRESS, POST)                                                                        \
  do {                                                                                                      \
    NOT_YET;                                                                                                \
    uint32_t address = (ADDRESS), off = address - s->l1.base, value;                                        \
    T raw, tags;                                                                                            \
    if (LIKELY(off < c->l1_fast && WORD_ALIGNED(off, T)) &&                                                 \
        (memcpy(&tags, l1_tag + off, sizeof tags), LIKELY(!(tags & (T)(TAGS_BLOCK_READ * 0x01010101u))))) { \
      uint64_t grant = iss_take_bank(s, off, t);                                                            \
      if (UNLIKELY(grant != t)) STALL(CAUSE_BANK, grant - t);                                               \
      memcpy(&raw, l1 + off, sizeof raw);                                                                   \
      value = (uint32_t)(CAST)raw;                                                                          \
      t = grant + 1;                                                                                        \
    } else {                                                                                                \
      iss_access a = {address, sizeof(T), false, 0};                                                        \
      if (!iss_access_slow(s, c, in, &a, &t)) goto out;                                                     \
      value = (uint32_t)(CAST)(T)a.value;                                                                   \
    }                                                                                                       \
    POST;                                                                                                   \
    r[in->rd] = value;                                                                                      \
    if (in->flags & INSN_USE) EXTRA(CAUSE_LOAD_USE, use_wait(s, in));                                       \
    goto next;                                                                                              \
  } while (0)

#define STORE(T, ADDRESS, POST)                                      \
  do {                                                               \
    NOT_YET;                                                         \
    uint32_t address = (ADDRESS), off = address - s->l1.base;        \
    T raw = (T)r[in->rs2], tags;                                     \
    if (LIKELY(off < c->l1_fast && WORD_ALIGNED(off, T)) &&          \
        (memcpy(&tags, l1_tag + off, sizeof tags), LIKELY(!tags))) { \
      uint64_t grant = iss_take_bank(s, off, t);                     \
      if (UNLIKELY(grant != t)) STALL(CAUSE_BANK, grant - t);        \
      memcpy(l1 + off, &raw, sizeof raw);                            \
      t = grant + 1;                                                 \
    } else {                                                         \
      iss_access a = {address, sizeof(T), true, raw};                \
      if (!iss_access_slow(s, c, in, &a, &t)) goto out;              \
    }                                                                \
    POST;                                                            \
    goto next;                                                       \
  } while (0)

#define BASE (r[in->rs1])
#define LOADS(NAME, T, CAST)                                         \
  case OP_##NAME:                                                    \
    LOAD(T, CAST, BASE + (uint32_t)in->imm, (void)0);                \
  case OP_##NAME##_P:                                                \
    LOAD(T, CAST, BASE, r[in->base_out] = BASE + (uint32_t)in->imm); \
  case OP_##NAME##_R:                                                \
    LOAD(T, CAST, BASE + r[in->rs2], (void)0);                       \
  case OP_##NAME##_RP:                                               \
    LOAD(T, CAST, BASE, r[in->base_out] = BASE + r[in->rs2]);
#define STORES(NAME, T)                                         \
  case OP_##NAME:                                               \
    STORE(T, BASE + (uint32_t)in->imm, (void)0);                \
  case OP_##NAME##_P:                                           \
    STORE(T, BASE, r[in->base_out] = BASE + (uint32_t)in->imm); \
  case OP_##NAME##_R:                                           \
    STORE(T, BASE + r[in->rd], (void)0);                        \
  case OP_##NAME##_RP:                                          \
    STORE(T, BASE, r[in->base_out] = BASE + r[in->rd]);
#define BRANCH(CONDITION)                       \
  do {                                          \
    t += 1;                                     \
    if (!(CONDITION)) goto next;                \
    EXTRA(CAUSE_BRANCH, s->p.branch_taken);     \
    target = iss_pc(s, in) + (uint32_t)in->imm; \
    goto jump;                                  \
  } while (0)
#define SIMM5 ((uint32_t)(((int32_t)(in->rs2 ^ 16u)) - 16))
#define S8(X, I) ((int32_t)(int8_t)(uint8_t)((X) >> (8 * (I))))
#define U8(X, I) ((int32_t)(uint8_t)((X) >> (8 * (I))))
#define SDOT(P, Q)                                                                                              \
  do {                                                                                                          \
    uint32_t a = r[in->rs1], b = r[in->rs2];                                                                    \
    ALU(r[in->rd] + (uint32_t)(P(a, 0) * Q(b, 0) + P(a, 1) * Q(b, 1) + P(a, 2) * Q(b, 2) + P(a, 3) * Q(b, 3))); \
  } while (0)

static inline __attribute__((always_inline)) void run(iss_t *s, iss_core *c, uint64_t limit, const bool prof) {
  uint32_t *const r = c->r;
  uint8_t *const l1 = s->l1.data, *const l1_tag = s->l1.tag;
  iss_insn *in = c->in;
  uint64_t t = c->t, begin = t, count = 0;
  uint32_t target = 0;

  if (c->refetch) goto fetch;
  for (;;) {
    if (prof) begin = t;
    switch ((iss_op)in->op) {
      case OP_UNDECODED:
        iss_decode(s, in);
        continue;
      case OP_ALU:
        ALU(in->fn(r[in->rs1], r[in->rs2], r[in->rd], (uint32_t)in->imm));
      case OP_ALU_IMM:
        ALU(in->fn(r[in->rs1], (uint32_t)in->imm, r[in->rd], (uint32_t)in->imm));
      case OP_ALU_SCB:
        ALU(in->fn(r[in->rs1], (r[in->rs2] & 0xffu) * 0x01010101u, r[in->rd], 0));
      case OP_ALU_SCH:
        ALU(in->fn(r[in->rs1], (r[in->rs2] & 0xffffu) * 0x00010001u, r[in->rd], 0));
      case OP_LI:
        ALU((uint32_t)in->imm);
      case OP_ADD:
        ALU(r[in->rs1] + r[in->rs2]);
      case OP_ADDI:
        ALU(r[in->rs1] + (uint32_t)in->imm);
      case OP_ADDI_SP:
      case OP_ALU_SP: {
        uint32_t b = in->op == OP_ADDI_SP ? (uint32_t)in->imm : r[in->rs2];
        uint32_t sp = in->fn(r[in->rs1], b, r[2], (uint32_t)in->imm);
        if (UNLIKELY(sp < c->stack_low)) FAIL(ERR_STACK, sp);
        r[2] = sp;
        t += 1;
        goto next;
      }
      case OP_SDOTUP_B:
        SDOT(U8, U8);
      case OP_SDOTUSP_B:
        SDOT(U8, S8);
      case OP_SDOTSP_B:
        SDOT(S8, S8);
      case OP_MAC:
        ALU(r[in->rd] + r[in->rs1] * r[in->rs2]);
      case OP_MUL:
        if (in->flags & INSN_USE) EXTRA(CAUSE_MULTI, use_wait(s, in));
        ALU(r[in->rs1] * r[in->rs2]);
      case OP_MULTI:
        EXTRA(CAUSE_MULTI, s->p.mulh - 1u);
        ALU(in->fn(r[in->rs1], r[in->rs2], 0, 0));
      case OP_DIV:
      case OP_DIV_SIGNED:
        EXTRA(CAUSE_MULTI, division_cycles(s->p.div_base, r[in->rs2], in->op == OP_DIV_SIGNED) - 1u);
        ALU(in->fn(r[in->rs1], r[in->rs2], 0, 0));
      case OP_VITOP_MAX:
        c->vitop = (sign_half(r[in->rs1], 0) <= sign_half(r[in->rs2], 0) ? 1u : 0u) |
                   (sign_half(r[in->rs1], 1) <= sign_half(r[in->rs2], 1) ? 2u : 0u);
        ALU(in->fn(r[in->rs1], r[in->rs2], 0, 0));
      case OP_VITOP_SEL:
        ALU(in->fn(r[in->rs1], r[in->rs2], 0, c->vitop));

        LOADS(LB, uint8_t, int8_t)
        LOADS(LBU, uint8_t, uint8_t)
        LOADS(LH, uint16_t, int16_t)
        LOADS(LHU, uint16_t, uint16_t)
        LOADS(LW, uint32_t, uint32_t)
        STORES(SB, uint8_t)
        STORES(SH, uint16_t)
        STORES(SW, uint32_t)

      case OP_BEQ:
        BRANCH(r[in->rs1] == r[in->rs2]);
      case OP_BNE:
        BRANCH(r[in->rs1] != r[in->rs2]);
      case OP_BLT:
        BRANCH(as_signed(r[in->rs1]) < as_signed(r[in->rs2]));
      case OP_BGE:
        BRANCH(as_signed(r[in->rs1]) >= as_signed(r[in->rs2]));
      case OP_BLTU:
        BRANCH(r[in->rs1] < r[in->rs2]);
      case OP_BGEU:
        BRANCH(r[in->rs1] >= r[in->rs2]);
      case OP_BEQIMM:
        BRANCH(r[in->rs1] == SIMM5);
      case OP_BNEIMM:
        BRANCH(r[in->rs1] != SIMM5);
      case OP_JAL:
        target = iss_pc(s, in) + (uint32_t)in->imm;
        r[in->rd] = iss_pc(s, in) + 2u * in->len;
        t += 1;
        EXTRA(CAUSE_BRANCH, s->p.jump);
        goto jump;
      case OP_JALR:
        target = (r[in->rs1] + (uint32_t)in->imm) & ~1u;
        if (UNLIKELY(target >= ISS_RETURN_TEAM)) NOT_YET;
        r[in->rd] = iss_pc(s, in) + 2u * in->len;
        t += 1;
        EXTRA(CAUSE_BRANCH, s->p.jump);
        goto jump;
      case OP_LP_START:
      case OP_LP_END:
      case OP_LP_COUNT:
      case OP_LP_COUNTI:
      case OP_LP_SETUP:
      case OP_LP_SETUPI:
        if (!set_loop(s, c, in)) FAIL(ERR_FETCH, iss_pc(s, in));
        t += 1;
        goto next;
      case OP_CSR:
        if (!iss_csr(s, c, in, t)) FAIL(ERR_ILLEGAL, iss_pc(s, in));
        t += 1;
        goto next;
      case OP_ELW:
      case OP_ECALL:
        NOT_YET;
        c->in = in;
        t += 1;
        c->tally.count += count + 1;
        count = 0;
        if (prof) s->prof[in - s->code].count++;
        if (in->op == OP_ECALL)
          iss_call(s, c, &t);
        else
          iss_event_load(s, c, &t);
        if (prof) s->prof[in - s->code].cycles += t - begin;
        in = c->in;
        c->refetch = true;
        goto out;
      case OP_EBREAK:
        FAIL(ERR_EBREAK, iss_pc(s, in));
      case OP_FENCE:
        t += 1;
        goto next;
      case OP_ILLEGAL:
        FAIL(ERR_ILLEGAL, iss_pc(s, in));
    }

  jump : { /* not sequential: `target` */
    iss_insn *to = code_at(s, target);
    ACCOUNT;
    if (UNLIKELY(!to)) {
      if (iss_magic_return(s, c, target, t)) {
        in = c->in;
        t = c->t;
      } else {
        iss_fail(s, c, in, ERR_FETCH, target, 0, NULL);
      }
      c->refetch = true;
      goto out;
    }
    in = to;
    c->refetch = true;
    if (UNLIKELY(t >= s->horizon)) goto out;
    goto fetch;
  }

  next : {
    iss_insn *to = in + in->len;
    if (UNLIKELY(in->flags & INSN_TAIL)) {
      iss_insn *back = (in->flags & INSN_LOOP_END) ? loop_back(c, in) : NULL;
      if (back) {
        if (in->flags & INSN_USE) { /* the next instruction in the text is not the next to run */
          uint32_t wait = use_wait(s, in);
          iss_cause cause = in->op == OP_MUL ? CAUSE_MULTI : CAUSE_LOAD_USE;
          t -= wait;
          c->tally.stall[cause] -= wait;
          if (prof) s->prof[in - s->code].stall[cause] -= wait;
        }
        to = back;
      }
      ACCOUNT;
      in = to;
      c->refetch = true;
      if (UNLIKELY(t >= s->horizon)) goto out;
      goto fetch;
    }
    ACCOUNT;
    in = to;
    continue;
  }

  fetch:
    if (c->has_icache) {
      begin = t;
      if (!fetch(s, c, in, limit, &t)) goto out;
      if (prof) s->prof[in - s->code].cycles += t - begin;
    }
    c->refetch = false;
  }
out:
  c->in = in;
  c->t = t;
  c->tally.count += count;
}

void iss_exec(iss_t *s, iss_core *c, uint64_t limit) { run(s, c, limit, false); }
void iss_exec_profiled(iss_t *s, iss_core *c, uint64_t limit) { run(s, c, limit, true); }

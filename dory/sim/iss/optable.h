/* The instruction set as a table: one row per encoding. Decoder, disassembler and tests read the same rows. */
#ifndef DORY_ISS_OPTABLE_H
#define DORY_ISS_OPTABLE_H

#include "alu.h"

/* How the core executes an instruction; most are OP_ALU_* with a function of alu.h. */
typedef enum {
  OP_UNDECODED = 0,
  OP_ILLEGAL,
  OP_ALU,     /* rd = fn(rs1, rs2, rd, imm) */
  OP_ALU_IMM, /* rd = fn(rs1, imm, rd, imm) */
  OP_ALU_SCB, /* rs2's lane 0 replicated */
  OP_ALU_SCH,
  OP_MULTI, /* an ALU function of several cycles: mulh* */
  OP_DIV,
  OP_DIV_SIGNED,
  OP_VITOP_MAX,
  OP_VITOP_SEL,
  OP_LI, /* rd = imm: lui, auipc */
  /* Frequent ones, spelled out in the interpreter. */
  OP_ADD,
  OP_ADDI,
  OP_ADDI_SP, /* writes sp: checked against the stack's bound, as OP_ALU_SP is */
  OP_ALU_SP,
  OP_SDOTUP_B,
  OP_SDOTUSP_B,
  OP_SDOTSP_B,
  OP_MAC,
  OP_MUL,
  /* Memory: width, then mode: displacement, post-increment, register + register, register post-increment. */
  OP_LB,
  OP_LB_P,
  OP_LB_R,
  OP_LB_RP,
  OP_LBU,
  OP_LBU_P,
  OP_LBU_R,
  OP_LBU_RP,
  OP_LH,
  OP_LH_P,
  OP_LH_R,
  OP_LH_RP,
  OP_LHU,
  OP_LHU_P,
  OP_LHU_R,
  OP_LHU_RP,
  OP_LW,
  OP_LW_P,
  OP_LW_R,
  OP_LW_RP,
  OP_SB,
  OP_SB_P,
  OP_SB_R,
  OP_SB_RP,
  OP_SH,
  OP_SH_P,
  OP_SH_R,
  OP_SH_RP,
  OP_SW,
  OP_SW_P,
  OP_SW_R,
  OP_SW_RP,
  OP_ELW,
  OP_BEQ,
  OP_BNE,
  OP_BLT,
  OP_BGE,
  OP_BLTU,
  OP_BGEU,
  OP_BEQIMM,
  OP_BNEIMM,
  OP_JAL,
  OP_JALR,
  OP_LP_START,
  OP_LP_END,
  OP_LP_COUNT,
  OP_LP_COUNTI,
  OP_LP_SETUP,
  OP_LP_SETUPI,
  OP_CSR,
  OP_ECALL,
  OP_EBREAK,
  OP_FENCE
} iss_op;

/* Where the operands are in the word, and how they are written. */
typedef enum {
  FMT_NONE,
  FMT_R,      /* rd, rs1, rs2 */
  FMT_R1,     /* rd, rs1 */
  FMT_I,      /* rd, rs1, imm12 */
  FMT_SHIFT,  /* rd, rs1, imm5 */
  FMT_U,      /* rd, imm20 */
  FMT_J,      /* rd, label */
  FMT_JR,     /* rd, imm12(rs1) */
  FMT_B,      /* rs1, rs2, label */
  FMT_BI,     /* rs1, simm5, label */
  FMT_L,      /* rd, imm12(rs1) */
  FMT_LP,     /* rd, imm12(rs1!) */
  FMT_LR,     /* rd, rs2(rs1) */
  FMT_LRP,    /* rd, rs2(rs1!) */
  FMT_S,      /* rs2, imm12(rs1) */
  FMT_SP,     /* rs2, imm12(rs1!) */
  FMT_SR,     /* rs2, rd(rs1) */
  FMT_SRP,    /* rs2, rd(rs1!) */
  FMT_NORM,   /* rd, rs1, rs2, imm5 in [29:25] */
  FMT_FIELD,  /* rd, rs1, size - 1 in [29:25], offset in [24:20] */
  FMT_SIMM6,  /* rd, rs1, signed 6 bits replicated into bytes or halves by funct3 */
  FMT_UIMM6,  /* the same, unsigned */
  FMT_LANE,   /* rd, rs1, 6 bits as they are */
  FMT_LOOP,   /* L, label */
  FMT_LOOPR,  /* L, rs1 */
  FMT_LOOPI,  /* L, uimm12 */
  FMT_LOOPRL, /* L, rs1, label */
  FMT_LOOPIL, /* L, uimm12, label */
  FMT_CSR,    /* rd, csr, rs1 */
  FMT_CSRI    /* rd, csr, uimm5 */
} iss_fmt;

enum {
  OPF_RD = 1,    /* reads its destination register */
  OPF_USE = 2,   /* the next instruction waits a cycle if it reads the result */
  OPF_SCALAR = 4 /* the 6-bit immediate is not replicated */
};

typedef struct {
  const char *name;
  uint32_t match, mask;
  uint8_t op, fmt, flags;
  iss_alu_fn fn;
} iss_opdef;

/* The row that `word` is an instance of, or NULL. */
const iss_opdef *iss_find_opdef(uint32_t word);

extern const iss_opdef iss_ops_scalar[], iss_ops_simd[];
extern const unsigned iss_ops_scalar_count, iss_ops_simd_count;

#endif

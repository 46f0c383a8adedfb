/* RV32IM, Zicsr and the scalar part of Xpulp. */
#include <stddef.h>

#include "optable.h"

#define MASK_R 0xfe00707fu
#define MASK_R1 0xfff0707fu
#define MASK_I 0x0000707fu
#define MASK_N 0xc000707fu
#define ENC(OPC, F3, F7) ((uint32_t)(OPC) | (uint32_t)(F3) << 12 | (uint32_t)(F7) << 25)

#define ROW(NAME, MATCH, MASK, OP, FMT, FLAGS, FN) \
  { NAME, MATCH, MASK, OP, FMT, FLAGS, FN }
#define R(NAME, OPC, F3, F7, OP, FN, FLAGS) ROW(NAME, ENC(OPC, F3, F7), MASK_R, OP, FMT_R, FLAGS, FN)
#define ALU_R(NAME, F3, F7, FN) R(NAME, 0x33, F3, F7, OP_ALU, alu_##FN, 0)
#define ALU_R1(NAME, F3, F7, FN) ROW(NAME, ENC(0x33, F3, F7), MASK_R1, OP_ALU, FMT_R1, 0, alu_##FN)
#define ALU_I(NAME, F3, FN) ROW(NAME, ENC(0x13, F3, 0), MASK_I, OP_ALU_IMM, FMT_I, 0, alu_##FN)
#define SHIFT(NAME, F3, F7, FN) ROW(NAME, ENC(0x13, F3, F7), MASK_R, OP_ALU_IMM, FMT_SHIFT, 0, alu_##FN)
#define BRANCH(NAME, F3, OP) ROW(NAME, ENC(0x63, F3, 0), MASK_I, OP, FMT_B, 0, NULL)
#define CSR(NAME, F3, FMT) ROW(NAME, ENC(0x73, F3, 0), MASK_I, OP_CSR, FMT, 0, NULL)
/* One width of load or store in its four addressing modes; f7 is the width code of the register forms. */
#define LOAD(NAME, F3, F7, OP)                                                 \
  ROW(NAME, ENC(0x03, F3, 0), MASK_I, OP, FMT_L, OPF_USE, NULL),               \
      ROW("p." NAME, ENC(0x0b, F3, 0), MASK_I, OP##_P, FMT_LP, OPF_USE, NULL), \
      ROW("p." NAME, ENC(0x03, 7, F7), MASK_R, OP##_R, FMT_LR, OPF_USE, NULL), \
      ROW("p." NAME, ENC(0x0b, 7, F7), MASK_R, OP##_RP, FMT_LRP, OPF_USE, NULL)
#define STORE(NAME, F3, OP)                                                         \
  ROW(NAME, ENC(0x23, F3, 0), MASK_I, OP, FMT_S, 0, NULL),                          \
      ROW("p." NAME, ENC(0x2b, F3, 0), MASK_I, OP##_P, FMT_SP, 0, NULL),            \
      ROW("p." NAME, ENC(0x23, (F3) + 4, 0), MASK_R, OP##_R, FMT_SR, OPF_RD, NULL), \
      ROW("p." NAME, ENC(0x2b, (F3) + 4, 0), MASK_R, OP##_RP, FMT_SRP, OPF_RD, NULL)
/* Shift in the instruction (n) or in rs2 with rd as an operand (nr). */
#define NORM(NAME, F3, F7, FN, FLAGS) ROW(NAME, ENC(0x5b, F3, F7), MASK_N, OP_ALU, FMT_NORM, FLAGS, alu_##FN)
#define NORM_R(NAME, F3, F7, FN) R(NAME, 0x5b, F3, F7, OP_ALU, alu_##FN, OPF_RD)
/* A 16-bit product: the plain form is the normalised one with shift 0, hence its place before it. */
#define HALF_MUL(NAME, F7, FN)                                                                                   \
  R("p.mul" NAME, 0x5b, 0, F7, OP_ALU, alu_mul##FN, 0), NORM("p.mul" NAME "n", 0, F7, mul##FN##n, 0),            \
      NORM("p.mul" NAME "rn", 4, F7, mul##FN##rn, 0), R("p.mac" NAME, 0x5b, 1, F7, OP_ALU, alu_mac##FN, OPF_RD), \
      NORM("p.mac" NAME "n", 1, F7, mac##FN##n, OPF_RD), NORM("p.mac" NAME "rn", 5, F7, mac##FN##rn, OPF_RD)
#define ADD_SUB(NAME, U, F7, FN)                                                                                    \
  NORM("p.add" U "n", 2, F7, add##FN##n, 0), NORM("p.add" NAME "n", 6, F7, add##FN##rn, 0),                         \
      NORM("p.sub" U "n", 3, F7, sub##FN##n, 0), NORM("p.sub" NAME "n", 7, F7, sub##FN##rn, 0),                     \
      NORM_R("p.add" U "nr", 2, (F7) + 0x20, add##FN##nr), NORM_R("p.add" NAME "nr", 6, (F7) + 0x20, add##FN##rnr), \
      NORM_R("p.sub" U "nr", 3, (F7) + 0x20, sub##FN##nr), NORM_R("p.sub" NAME "nr", 7, (F7) + 0x20, sub##FN##rnr)
#define FIELD(NAME, F3, FN, FLAGS)                                                 \
  ROW("p." NAME, ENC(0x33, F3, 0x60), MASK_N, OP_ALU, FMT_FIELD, FLAGS, alu_##FN), \
      ROW("p." NAME "r", ENC(0x33, F3, 0x40), MASK_R, OP_ALU, FMT_R, FLAGS, alu_##FN##r)
#define CLIP(NAME, F3, FN) ROW(NAME, ENC(0x33, F3, 0x0a), MASK_R, OP_ALU, FMT_SHIFT, 0, alu_##FN)
#define LOOP(NAME, F3, MASK, OP, FMT) ROW(NAME, ENC(0x7b, F3, 0), MASK, OP, FMT, 0, NULL)

const iss_opdef iss_ops_scalar[] = {
    {"lui", 0x37, 0x7f, OP_LI, FMT_U, 0, NULL},
    {"auipc", 0x17, 0x7f, OP_LI, FMT_U, 0, NULL},
    {"jal", 0x6f, 0x7f, OP_JAL, FMT_J, 0, NULL},
    {"jalr", 0x67, MASK_I, OP_JALR, FMT_JR, 0, NULL},
    /* Branches. */
    BRANCH("beq", 0, OP_BEQ),
    BRANCH("bne", 1, OP_BNE),
    BRANCH("blt", 4, OP_BLT),
    BRANCH("bge", 5, OP_BGE),
    BRANCH("bltu", 6, OP_BLTU),
    BRANCH("bgeu", 7, OP_BGEU),
    {"p.beqimm", ENC(0x63, 2, 0), MASK_I, OP_BEQIMM, FMT_BI, 0, NULL},
    {"p.bneimm", ENC(0x63, 3, 0), MASK_I, OP_BNEIMM, FMT_BI, 0, NULL},
    /* Memory. */
    LOAD("lb", 0, 0x00, OP_LB),
    LOAD("lh", 1, 0x08, OP_LH),
    LOAD("lw", 2, 0x10, OP_LW),
    LOAD("lbu", 4, 0x20, OP_LBU),
    LOAD("lhu", 5, 0x28, OP_LHU),
    STORE("sb", 0, OP_SB),
    STORE("sh", 1, OP_SH),
    STORE("sw", 2, OP_SW),
    {"p.elw", ENC(0x03, 6, 0), MASK_I, OP_ELW, FMT_L, OPF_USE, NULL},
    /* Integer operations. */
    {"addi", ENC(0x13, 0, 0), MASK_I, OP_ADDI, FMT_I, 0, alu_add},
    ALU_I("slti", 2, slt),
    ALU_I("sltiu", 3, sltu),
    ALU_I("xori", 4, xor),
    ALU_I("ori", 6, or),
    ALU_I("andi", 7, and),
    SHIFT("slli", 1, 0x00, sll),
    SHIFT("srli", 5, 0x00, srl),
    SHIFT("srai", 5, 0x20, sra),
    R("add", 0x33, 0, 0x00, OP_ADD, alu_add, 0),
    ALU_R("sub", 0, 0x20, sub),
    ALU_R("sll", 1, 0x00, sll),
    ALU_R("slt", 2, 0x00, slt),
    ALU_R("sltu", 3, 0x00, sltu),
    ALU_R("xor", 4, 0x00, xor),
    ALU_R("srl", 5, 0x00, srl),
    ALU_R("sra", 5, 0x20, sra),
    ALU_R("or", 6, 0x00, or),
    ALU_R("and", 7, 0x00, and),
    /* Multiplication, division, sums with a shift. */
    R("mul", 0x33, 0, 1, OP_MUL, alu_mul, OPF_USE),
    R("mulh", 0x33, 1, 1, OP_MULTI, alu_mulh, 0),
    R("mulhsu", 0x33, 2, 1, OP_MULTI, alu_mulhsu, 0),
    R("mulhu", 0x33, 3, 1, OP_MULTI, alu_mulhu, 0),
    R("div", 0x33, 4, 1, OP_DIV_SIGNED, alu_div, 0),
    R("divu", 0x33, 5, 1, OP_DIV, alu_divu, 0),
    R("rem", 0x33, 6, 1, OP_DIV_SIGNED, alu_rem, 0),
    R("remu", 0x33, 7, 1, OP_DIV, alu_remu, 0),
    R("p.mac", 0x33, 0, 0x21, OP_MAC, alu_mac, OPF_RD),
    R("p.msu", 0x33, 1, 0x21, OP_ALU, alu_msu, OPF_RD),
    HALF_MUL("u", 0x00, u),
    HALF_MUL("hhu", 0x20, hhu),
    HALF_MUL("s", 0x40, s),
    HALF_MUL("hhs", 0x60, hhs),
    ADD_SUB("r", "", 0x00, ),
    ADD_SUB("ur", "u", 0x40, u),
    /* Scalar operations of Xpulp. */
    ALU_R1("p.abs", 0, 0x02, abs),
    ALU_R("p.slet", 2, 0x02, slet),
    ALU_R("p.sletu", 3, 0x02, sletu),
    ALU_R("p.min", 4, 0x02, min),
    ALU_R("p.minu", 5, 0x02, minu),
    ALU_R("p.max", 6, 0x02, max),
    ALU_R("p.maxu", 7, 0x02, maxu),
    ALU_R("p.ror", 5, 0x04, ror),
    ALU_R1("p.ff1", 0, 0x08, ff1),
    ALU_R1("p.fl1", 1, 0x08, fl1),
    ALU_R1("p.clb", 2, 0x08, clb),
    ALU_R1("p.cnt", 3, 0x08, cnt),
    ALU_R1("p.exths", 4, 0x08, exths),
    ALU_R1("p.exthz", 5, 0x08, exthz),
    ALU_R1("p.extbs", 6, 0x08, extbs),
    ALU_R1("p.extbz", 7, 0x08, extbz),
    CLIP("p.clip", 1, clip),
    CLIP("p.clipu", 2, clipu),
    ALU_R("p.clipr", 5, 0x0a, clipr),
    ALU_R("p.clipur", 6, 0x0a, clipur),
    FIELD("extract", 0, extract, 0),
    FIELD("extractu", 1, extractu, 0),
    FIELD("insert", 2, insert, OPF_RD),
    FIELD("bclr", 3, bclr, 0),
    FIELD("bset", 4, bset, 0),
    /* Hardware loops. */
    LOOP("lp.starti", 0, 0x000fff7f, OP_LP_START, FMT_LOOP),
    LOOP("lp.endi", 1, 0x000fff7f, OP_LP_END, FMT_LOOP),
    LOOP("lp.count", 2, 0xfff07f7f, OP_LP_COUNT, FMT_LOOPR),
    LOOP("lp.counti", 3, 0x000fff7f, OP_LP_COUNTI, FMT_LOOPI),
    LOOP("lp.setup", 4, 0x00007f7f, OP_LP_SETUP, FMT_LOOPRL),
    LOOP("lp.setupi", 5, 0x00007f7f, OP_LP_SETUPI, FMT_LOOPIL),
    /* System. */
    CSR("csrrw", 1, FMT_CSR),
    CSR("csrrs", 2, FMT_CSR),
    CSR("csrrc", 3, FMT_CSR),
    CSR("csrrwi", 5, FMT_CSRI),
    CSR("csrrsi", 6, FMT_CSRI),
    CSR("csrrci", 7, FMT_CSRI),
    {"ecall", 0x00000073, UINT32_MAX, OP_ECALL, FMT_NONE, 0, NULL},
    {"ebreak", 0x00100073, UINT32_MAX, OP_EBREAK, FMT_NONE, 0, NULL},
    {"fence", 0x0f, MASK_I, OP_FENCE, FMT_NONE, 0, NULL},
    {"fence.i", 0x100f, MASK_I, OP_FENCE, FMT_NONE, 0, NULL},
};
const unsigned iss_ops_scalar_count = sizeof iss_ops_scalar / sizeof iss_ops_scalar[0];

/* The packed part of Xpulp: opcode 0x57, funct3 chooses the shape (0 .h, 1 .b, 4/5 scalar register, 6/7 immediate). */
#include <stddef.h>

#include "optable.h"

#define MASK_R 0xfe00707fu
#define MASK_R1 0xfff0707fu
#define MASK_6 0xfc00707fu
#define MASK_LANE_B 0xfde0707fu
#define MASK_LANE_H 0xfdf0707fu
#define ENC(F3, F7) (0x57u | (uint32_t)(F3) << 12 | (uint32_t)(F7) << 25)
#define ROW(NAME, F3, F7, MASK, OP, FMT, FLAGS, FN) \
  { NAME, ENC(F3, F7), MASK, OP, FMT, FLAGS, alu_##FN }
#define ONE(NAME, F3, F7, FMT, FLAGS, FN) ROW(NAME, F3, F7, MASK_R, OP_ALU, FMT, FLAGS, FN)

/* All six shapes of one operation. */
#define SIX(NAME, F7, FN, IMM, FLAGS, OP_B)                                        \
  ROW(NAME ".h", 0, F7, MASK_R, OP_ALU, FMT_R, FLAGS, v_##FN##_h),                 \
      ROW(NAME ".b", 1, F7, MASK_R, OP_B, FMT_R, FLAGS, v_##FN##_b),               \
      ROW(NAME ".sc.h", 4, F7, MASK_R, OP_ALU_SCH, FMT_R, FLAGS, v_##FN##_h),      \
      ROW(NAME ".sc.b", 5, F7, MASK_R, OP_ALU_SCB, FMT_R, FLAGS, v_##FN##_b),      \
      ROW(NAME ".sci.h", 6, F7, MASK_6, OP_ALU_IMM, FMT_##IMM, FLAGS, v_##FN##_h), \
      ROW(NAME ".sci.b", 7, F7, MASK_6, OP_ALU_IMM, FMT_##IMM, FLAGS, v_##FN##_b)
#define SIGNED(NAME, F7) SIX("pv." #NAME, F7, NAME, SIMM6, 0, OP_ALU)
#define UNSIGNED(NAME, F7) SIX("pv." #NAME, F7, NAME, UIMM6, 0, OP_ALU)
#define DIVIDED(NAME, F7)                                                   \
  ONE("pv." #NAME ".h.div2", 2, F7, FMT_R, 0, v_##NAME##_div2_h),           \
      ONE("pv." #NAME ".b.div2", 3, F7, FMT_R, 0, v_##NAME##_div2_b),       \
      ONE("pv." #NAME ".h.div4", 2, (F7) + 1, FMT_R, 0, v_##NAME##_div4_h), \
      ONE("pv." #NAME ".b.div4", 3, (F7) + 1, FMT_R, 0, v_##NAME##_div4_b)
#define LANE(NAME, F7, FLAGS)                                                       \
  ROW("pv." #NAME ".h", 6, F7, MASK_LANE_H, OP_ALU, FMT_LANE, FLAGS, v_##NAME##_h), \
      ROW("pv." #NAME ".b", 7, F7, MASK_LANE_B, OP_ALU, FMT_LANE, FLAGS, v_##NAME##_b)
#define IMM6(NAME, F3, F7, FN) ROW(NAME, F3, F7, MASK_6, OP_ALU, FMT_LANE, 0, FN)

const iss_opdef iss_ops_simd[] = {
    /* Lanes first: their masks are a special case of an immediate form's. */
    LANE(extract, 0x3c, 0),
    LANE(extractu, 0x48, 0),
    LANE(insert, 0x58, OPF_RD),
    SIGNED(add, 0x00),
    SIGNED(sub, 0x04),
    SIGNED(avg, 0x08),
    UNSIGNED(avgu, 0x0c),
    SIGNED(min, 0x10),
    UNSIGNED(minu, 0x14),
    SIGNED(max, 0x18),
    UNSIGNED(maxu, 0x1c),
    UNSIGNED(srl, 0x20),
    UNSIGNED(sra, 0x24),
    UNSIGNED(sll, 0x28),
    SIGNED(or, 0x2c),
    SIGNED(xor, 0x30),
    SIGNED(and, 0x34),
    SIGNED(cmpeq, 0x02),
    SIGNED(cmpne, 0x06),
    SIGNED(cmpgt, 0x0a),
    SIGNED(cmpge, 0x0e),
    SIGNED(cmplt, 0x12),
    SIGNED(cmple, 0x16),
    UNSIGNED(cmpgtu, 0x1a),
    UNSIGNED(cmpgeu, 0x1e),
    UNSIGNED(cmpltu, 0x22),
    UNSIGNED(cmpleu, 0x26),
    SIX("pv.dotup", 0x40, dotup, UIMM6, 0, OP_ALU),
    SIX("pv.dotusp", 0x44, dotusp, SIMM6, 0, OP_ALU),
    SIX("pv.dotsp", 0x4c, dotsp, SIMM6, 0, OP_ALU),
    SIX("pv.sdotup", 0x50, sdotup, UIMM6, OPF_RD, OP_SDOTUP_B),
    SIX("pv.sdotusp", 0x54, sdotusp, SIMM6, OPF_RD, OP_SDOTUSP_B),
    SIX("pv.sdotsp", 0x5c, sdotsp, SIMM6, OPF_RD, OP_SDOTSP_B),
    DIVIDED(add, 0x00),
    DIVIDED(sub, 0x04),
    ROW("pv.abs.h", 0, 0x38, MASK_R1, OP_ALU, FMT_R1, 0, v_abs_h),
    ROW("pv.abs.b", 1, 0x38, MASK_R1, OP_ALU, FMT_R1, 0, v_abs_b),
    ONE("pv.shuffle.h", 0, 0x60, FMT_R, 0, v_shuffle_h),
    ONE("pv.shuffle.b", 1, 0x60, FMT_R, 0, v_shuffle_b),
    ONE("pv.shuffle2.h", 0, 0x64, FMT_R, OPF_RD, v_shuffle2_h),
    ONE("pv.shuffle2.b", 1, 0x64, FMT_R, OPF_RD, v_shuffle2_b),
    IMM6("pv.shuffle.sci.h", 6, 0x60, shuffle_sci_h),
    IMM6("pv.shufflei0.sci.b", 7, 0x60, shufflei0_b),
    IMM6("pv.shufflei1.sci.b", 7, 0x74, shufflei1_b),
    IMM6("pv.shufflei2.sci.b", 7, 0x78, shufflei2_b),
    IMM6("pv.shufflei3.sci.b", 7, 0x7c, shufflei3_b),
    ONE("pv.pack.h", 0, 0x68, FMT_R, 0, pack_h),
    ONE("pv.pack.l.h", 4, 0x68, FMT_R, 0, pack_h),
    ONE("pv.pack.h.h", 6, 0x68, FMT_R, 0, pack_hh),
    ONE("pv.packhi.b", 1, 0x6c, FMT_R, OPF_RD, packhi_b),
    ONE("pv.packlo.b", 1, 0x70, FMT_R, OPF_RD, packlo_b),
    ROW("pv.cplxconj.h", 0, 0x2e, MASK_R1, OP_ALU, FMT_R1, 0, cplxconj),
    ONE("pv.cplxmul.s", 0, 0x2a, FMT_R, 0, cplxmul),
    ONE("pv.cplxmul.s.div2", 2, 0x2a, FMT_R, 0, cplxmul_div2),
    ONE("pv.cplxmul.s.div4", 2, 0x2b, FMT_R, 0, cplxmul_div4),
    ONE("pv.cplxmul.sc.s", 4, 0x2a, FMT_R, 0, cplxmul_sc),
    ROW("pv.cplxmul.sci.s", 6, 0x2a, MASK_6, OP_ALU_IMM, FMT_SIMM6, OPF_SCALAR, cplxmul_sc),
    ONE("pv.subrotmj.h", 0, 0x36, FMT_R, 0, subrotmj),
    ONE("pv.subrotmj.h.div2", 2, 0x36, FMT_R, 0, subrotmj_div2),
    ONE("pv.subrotmj.h.div4", 2, 0x37, FMT_R, 0, subrotmj_div4),
    ROW("pv.vitop.max", 1, 0x32, MASK_R, OP_VITOP_MAX, FMT_R, 0, vitop_max),
    ROW("pv.vitop.sel", 0, 0x32, MASK_R, OP_VITOP_SEL, FMT_R, 0, vitop_sel),
};
const unsigned iss_ops_simd_count = sizeof iss_ops_simd / sizeof iss_ops_simd[0];

/* The inner loops of the depthwise kernel in assembly; to be included by one C file. Each function convolves
 * consecutive planes of the scratch, one channel each, as long as their rescale form is its own:
 *
 *     int32_t name(const uint8_t *plane, const uint8_t *w, uint8_t *y, const dory_dw_job_t *j, int32_t channels);
 *
 * returns how many of the channels are left. All registers but sp are used. The frame behind the saved registers is 60:
 * plane, 64: y, 68: job, 72: w, 76: channels left, 80: bias, 84, 88: rewind and y_rewind, and for
 * 5x5 92: rows left, for 3x3 enter and rounds, 96, 100: where a block begins in the plane and in y. */
#ifndef DORY_DEPTHWISE_ASM_H
#define DORY_DEPTHWISE_ASM_H

#include "xpulp_asm.h"

/* clang-format off */
#define DW_ENTER                                                                                                       \
  "addi sp, sp, -112\nsw ra, 0(sp)\nsw gp, 4(sp)\nsw tp, 8(sp)\nsw s0, 12(sp)\nsw s1, 16(sp)\nsw s2, 20(sp)\n"         \
  "sw s3, 24(sp)\nsw s4, 28(sp)\nsw s5, 32(sp)\nsw s6, 36(sp)\nsw s7, 40(sp)\nsw s8, 44(sp)\nsw s9, 48(sp)\n"          \
  "sw s10, 52(sp)\nsw s11, 56(sp)\nsw a0, 60(sp)\nsw a2, 64(sp)\nsw a3, 68(sp)\nsw a1, 72(sp)\nsw a4, 76(sp)\n"
#define DW_LEAVE                                                                                                       \
  "lw ra, 0(sp)\nlw gp, 4(sp)\nlw tp, 8(sp)\nlw s0, 12(sp)\nlw s1, 16(sp)\nlw s2, 20(sp)\nlw s3, 24(sp)\n"             \
  "lw s4, 28(sp)\nlw s5, 32(sp)\nlw s6, 36(sp)\nlw s7, 40(sp)\nlw s8, 44(sp)\nlw s9, 48(sp)\nlw s10, 52(sp)\n"         \
  "lw s11, 56(sp)\nlw a0, 76(sp)\naddi sp, sp, 112\nret\n"

/* The next channel, at label 1 with a1 = w and t0 = job, if there is one and its form is this one. */
#define DW_NEXT(FORM, RECORD)                                                                                          \
  "lw t1, 76(sp)\nlw a1, 72(sp)\nlw a0, 60(sp)\nlw a2, 64(sp)\nlw t0, 68(sp)\naddi t1, t1, -1\nsw t1, 76(sp)\n"        \
  "addi a1, a1, " #RECORD "\nbeqz t1, 9f\nlw t2, " #RECORD " - 4(a1)\nlw t1, 36(t0)\nlw t3, 48(t0)\n"                  \
  "srli t2, t2, 8\n" DW_TAG_##FORM "add a0, a0, t1\nadd a2, a2, t3\n"                                                  \
  "sw a1, 72(sp)\nsw a0, 60(sp)\nsw a2, 64(sp)\nbeqz t2, 1b\n9:\n"
/* The same with a2 and t5 where the channel's last strip ended. */
#define DW_NEXT_3(FORM)                                                                                                \
  "lw t1, 76(sp)\nlw a1, 72(sp)\nlw t0, 68(sp)\naddi t1, t1, -1\nsw t1, 76(sp)\naddi a1, a1, 28\nbeqz t1, 9f\n"        \
  "lw t2, 24(a1)\nlw t1, 52(t0)\nlw t3, 56(t0)\nsrli t2, t2, 8\n" DW_TAG_##FORM "sw a1, 72(sp)\n"                      \
  "add a2, a2, t1\nadd t5, t5, t3\nbeqz t2, 1b\n9:\n"
#define DW_TAG_NARROW
#define DW_TAG_MUL15 "addi t2, t2, -1\n"
#define DW_TAG_WIDE "addi t2, t2, -2\n"

/* Sums c0 ... c3 -> bytes: mult t2, add a0, shift a1, the largest output reach; a6 and a7 are free. */
#define DW_MUL(rd, rs1, rs2) "mul " #rd ", " #rs1 ", " #rs2 "\n"
#define DW_FINISH_NARROW(reach, c0, c1, c2, c3)                                                                        \
  DW_MUL(c0, c0, t2) DW_MUL(c1, c1, t2) DW_MUL(c2, c2, t2) DW_MUL(c3, c3, t2)                                          \
  XP_ADDNR(c0, a0, a1) XP_ADDNR(c1, a0, a1) XP_ADDNR(c2, a0, a1) XP_ADDNR(c3, a0, a1)                                  \
  XP_CLIPUR(c0, c0, reach) XP_CLIPUR(c1, c1, reach) XP_CLIPUR(c2, c2, reach) XP_CLIPUR(c3, c3, reach)
#define DW_MULH(rd, rs1, rs2) "mulh " #rd ", " #rs1 ", " #rs2 "\n"
#define DW_FINISH_WIDE(reach, c0, c1, c2, c3)                                                                          \
  DW_MULH(c0, c0, t2) DW_MULH(c1, c1, t2) DW_MULH(c2, c2, t2) DW_MULH(c3, c3, t2)                                      \
  XP_ADDNR(c0, a0, a1) XP_ADDNR(c1, a0, a1) XP_ADDNR(c2, a0, a1) XP_ADDNR(c3, a0, a1)                                  \
  XP_CLIPUR(c0, c0, reach) XP_CLIPUR(c1, c1, reach) XP_CLIPUR(c2, c2, reach) XP_CLIPUR(c3, c3, reach)
#define DW_FINISH_MUL15(reach, c0, c1, c2, c3) DW_MUL15_PAIR(reach, c0, c1) DW_MUL15_PAIR(reach, c2, c3)
#define DW_MUL15_PAIR(reach, c0, c1)                                                                                   \
  XP_MULUN(a6, c0, t2, 16) XP_MULUN(a7, c1, t2, 16) XP_MACHHS(a6, c0, t2) XP_MACHHS(a7, c1, t2)                        \
  XP_ADDNR(a6, a0, a1) XP_ADDNR(a7, a0, a1) XP_CLIPUR(c0, a6, reach) XP_CLIPUR(c1, a7, reach)
/* To y = t5, whose pixels are t6 apart; ra leads from the fourth to the next row. MARK: a label for the last one. */
#define DW_STORE(c0, c1, c2, c3, MARK)                                                                                 \
  XP_SB_RR_POST(c0, t6, t5) XP_SB_RR_POST(c1, t6, t5) XP_SB_RR_POST(c2, t6, t5) MARK XP_SB_RR_POST(c3, ra, t5)

/* The bias is where the sums begin, or a part of add. */
#define DW_BIAS_NARROW(offset)
#define DW_BIAS_MUL15(offset) "lw t1, " #offset "(a1)\nsw t1, 80(sp)\n"
#define DW_BIAS_WIDE DW_BIAS_MUL15
#define DW_BEGIN_NARROW(c0, c1, c2, c3)
#define DW_BEGIN_MUL15(c0, c1, c2, c3)                                                                                 \
  "lw " #c0 ", 80(sp)\nlw " #c1 ", 80(sp)\nlw " #c2 ", 80(sp)\nlw " #c3 ", 80(sp)\n"
#define DW_BEGIN_WIDE DW_BEGIN_MUL15
#define DW_FIRST_NARROW XP_DOTUSP_B
#define DW_FIRST_WIDE XP_SDOTUSP_B
#define DW_FIRST_MUL15 XP_SDOTUSP_B
#define DW_APPLY(M, ...) M(__VA_ARGS__)

/* Four sums from one row of three weights: outputs 0 and 1 see the word at column x, 2 and 3 the one at x + 2. The word
 * that is loaded last is read last. */
#define DW_TAPS(OP, c0, c1, c2, c3, w, v) OP(c2, a7, w) OP(c3, a7, v) OP(c0, a6, w) OP(c1, a6, v)
#define DW_ROW "lw a7, 2(a2)\n" XP_LW_RR_POST(a6, a3, a2)

/* 3x3, stride 1: one output row of a strip of four columns. The input row finishes the sums f with the kernel's last
 * row, goes on with n and begins s. */
#define DW_X s6, s7, s8, s9
#define DW_Y s10, s11, a4, a5
#define DW_Z t0, t1, t3, t4
#define DW_OUTPUT_ROW(FORM, f, n, s, MARK)                                                                             \
  DW_APPLY(DW_BEGIN_##FORM, s) DW_ROW DW_APPLY(DW_TAPS, XP_SDOTUSP_B, f, s2, s5)                                       \
  DW_APPLY(DW_TAPS, XP_SDOTUSP_B, n, s1, s4) DW_APPLY(DW_TAPS, DW_FIRST_##FORM, s, s0, s3)                             \
  DW_APPLY(DW_FINISH_##FORM, gp, f) DW_APPLY(DW_STORE, f, MARK)
/* The last two, which begin nothing. */
#define DW_LAST_ROWS(FORM, f, n)                                                                                       \
  DW_ROW DW_APPLY(DW_TAPS, XP_SDOTUSP_B, f, s2, s5) DW_APPLY(DW_TAPS, XP_SDOTUSP_B, n, s1, s4)                         \
  DW_APPLY(DW_FINISH_##FORM, gp, f) DW_APPLY(DW_STORE, f, )                                                            \
  DW_ROW DW_APPLY(DW_TAPS, XP_SDOTUSP_B, n, s2, s5) DW_APPLY(DW_FINISH_##FORM, gp, n) DW_APPLY(DW_STORE, n, )
/* The two input rows before that. */
#define DW_TWO_ROWS(FORM, f, n)                                                                                        \
  DW_APPLY(DW_BEGIN_##FORM, f) DW_APPLY(DW_BEGIN_##FORM, n) DW_ROW DW_APPLY(DW_TAPS, DW_FIRST_##FORM, f, s0, s3)       \
  DW_ROW DW_APPLY(DW_TAPS, XP_SDOTUSP_B, f, s1, s4) DW_APPLY(DW_TAPS, DW_FIRST_##FORM, n, s0, s3)

/* Weights in s0-s2, shifted by a column in s3-s5; tp as turns, gp the largest output. The loop has all rows but the
 * last two and is entered in its middle when they are no multiple of 3. */
#define DW_3X3_S1(name, FORM)                                                                                          \
  XP_FUNCTION(name) DW_ENTER                                                                                           \
  "lw t1, 24(a3)\nlw t2, 28(a3)\nlw gp, 60(a3)\nlw t6, 16(a3)\nlw ra, 20(a3)\nsw t1, 84(sp)\nsw t2, 88(sp)\n"          \
  "lw t3, 8(a3)\nlw t4, 4(a3)\nmv t0, a3\nlw a3, 0(a3)\nmv t5, a2\nmv a2, a0\nsw t3, 92(sp)\nsw t4, 96(sp)\n"          \
  XP_LP_STARTI(0, 5f) XP_LP_ENDI(0, 8f)                                                                                \
  "1:\n"                                                                                                               \
  "lw s0, 0(a1)\nlw s1, 4(a1)\nlw s2, 8(a1)\nlw t2, 12(a1)\nlw tp, 64(t0)\n" DW_BIAS_##FORM(16)                        \
  "lw a0, 20(a1)\nlw a1, 24(a1)\nslli s3, s0, 8\nslli s4, s1, 8\nslli s5, s2, 8\n"                                     \
  "10:\nlw s9, 96(sp)\nlw s10, 92(sp)\n" XP_LP_COUNT(0, s9)                                                            \
  "beqz s10, 4f\nbltz s10, 3f\naddi s10, s10, -1\nbeqz s10, 2f\n"                                                      \
  DW_TWO_ROWS(FORM, DW_X, DW_Y) "j 9f\n"                                                                               \
  "2:\n" DW_TWO_ROWS(FORM, DW_Z, DW_X) "j 7f\n"                                                                        \
  "3:\n" DW_TWO_ROWS(FORM, DW_Y, DW_Z) "j 6f\n"                                                                        \
  "4:\n" DW_TWO_ROWS(FORM, DW_X, DW_Y)                                                                                 \
  "5:\n" DW_OUTPUT_ROW(FORM, DW_X, DW_Y, DW_Z, )                                                                       \
  "6:\n" DW_OUTPUT_ROW(FORM, DW_Y, DW_Z, DW_X, )                                                                       \
  "7:\n" DW_OUTPUT_ROW(FORM, DW_Z, DW_X, DW_Y, "8:\n")                                                                 \
  "9:\n" DW_LAST_ROWS(FORM, DW_X, DW_Y)                                                                                \
  "lw t0, 84(sp)\nlw t1, 88(sp)\naddi tp, tp, -2\nsub a2, a2, t0\nsub t5, t5, t1\nbgtz tp, 10b\nbltz tp, 11f\n"        \
  "lw t0, 68(sp)\nlw s8, 40(t0)\nlw s9, 44(t0)\nsub a2, a2, s8\nsub t5, t5, s9\nj 10b\n11:\n"                          \
  DW_NEXT_3(FORM) DW_LEAVE XP_FUNCTION_END(name)

/* 3x3, stride 2: the input row that ends one output row begins the next. A word begins one column before its output's
 * first input, so the weights are shifted by one: of the first and third output it is misaligned. */
#define DW_ROW_S2 "lw t1, 4(a2)\nlw a4, 6(a2)\nlw a5, 8(a2)\n" XP_LW_RR_POST(t0, a3, a2)
#define DW_TAPS_S2(OP, w, MARK) OP(s7, t1, w) OP(s8, a4, w) OP(s9, a5, w) MARK OP(s6, t0, w)
/* Inputs 2 and 3 of rd and 0 and 1 of rs1; cheaper than a misaligned load where rd is there anyway. */
#define DW_HALVES(rd, rs1) XP_SHUFFLE2_B(rd, rs1, t4)
#define DW_MIDDLE_S2(w)                                                                                                \
  "lw t1, 4(a2)\nlw a5, 8(a2)\n" XP_LW_RR_POST(t0, a3, a2) XP_SDOTUSP_B(s7, t1, w) XP_SDOTUSP_B(s9, a5, w)             \
  DW_HALVES(t0, t1) DW_HALVES(t1, a5) XP_SDOTUSP_B(s6, t0, w) XP_SDOTUSP_B(s8, t1, w)
/* The same when the first input begins a word: the weights are not shifted, the second and fourth output misaligned. */
#define DW_ROW_S2_EVEN "lw t1, 2(a2)\nlw a4, 4(a2)\nlw a5, 6(a2)\n" XP_LW_RR_POST(t0, a3, a2)
#define DW_MIDDLE_S2_EVEN(w)                                                                                           \
  "lw a4, 4(a2)\nlw a5, 8(a2)\n" XP_LW_RR_POST(t0, a3, a2) XP_SDOTUSP_B(s8, a4, w) XP_SDOTUSP_B(s6, t0, w)             \
  DW_HALVES(t0, a4) DW_HALVES(a4, a5) XP_SDOTUSP_B(s7, t0, w) XP_SDOTUSP_B(s9, a4, w)
#define DW_SHIFT_S2 "slli s0, s0, 8\nslli s1, s1, 8\nslli s2, s2, 8\n"
#define DW_3X3_S2(name, FORM, SHIFT, ROW, MIDDLE, HALVES)                                                              \
  XP_FUNCTION(name) DW_ENTER                                                                                           \
  "lw s10, 24(a3)\nlw s11, 28(a3)\nlw gp, 32(a3)\nlw t6, 16(a3)\nlw ra, 20(a3)\nlw s3, 40(a3)\nlw s4, 44(a3)\n"        \
  "lw s5, 60(a3)\nli t4, 0x05040302\nmv t0, a3\nlw a3, 0(a3)\nmv t5, a2\nmv a2, a0\n"                                  \
  XP_LP_STARTI(0, 5f) XP_LP_ENDI(0, 8f)                                                                                \
  "1:\n"                                                                                                               \
  "lw s0, 0(a1)\nlw s1, 4(a1)\nlw s2, 8(a1)\nlw t2, 12(a1)\nlw tp, 64(t0)\n" DW_BIAS_##FORM(16)                        \
  "lw a0, 20(a1)\nlw a1, 24(a1)\n" SHIFT                                                                               \
  "10:\n" XP_LP_COUNT(0, gp)                                                                                           \
  DW_APPLY(DW_BEGIN_##FORM, s6, s7, s8, s9) ROW DW_TAPS_S2(DW_FIRST_##FORM, s0, HALVES)                                \
  "5:\n" MIDDLE(s1) ROW DW_TAPS_S2(XP_SDOTUSP_B, s2, HALVES)                                                           \
  DW_FINISH_##FORM(s5, s6, s7, s8, s9) DW_STORE(s6, s7, s8, s9, ) DW_BEGIN_##FORM(s6, s7, s8, s9)                      \
  DW_TAPS_S2(DW_FIRST_##FORM, s0, "8:\n")                                                                              \
  "addi tp, tp, -2\nsub a2, a2, s10\nsub t5, t5, s11\nbgtz tp, 10b\nbltz tp, 11f\n"                                    \
  "sub a2, a2, s3\nsub t5, t5, s4\nj 10b\n11:\n"                                                                       \
  DW_NEXT_3(FORM) DW_LEAVE XP_FUNCTION_END(name)

/* 5x5, stride 1: 4 columns of 4 output rows. A kernel row is the words [w0 w1 w2 w3] and [w4 0 0 0]; the first meets
 * the inputs at column x, shifted by 0 ... 3 columns, and what falls off meets those at x + 4. Four input rows are
 * held, in turn in t0, t1, t2 and t5. */
#define DW_WORD0(ky, in, ...)                                                                                          \
  "lw t6, 8*" #ky "(a1)\n" XP_LW_RR_POST(in, a3, a0) "slli ra, t6, 8\nslli a6, t6, 16\nslli a7, t6, 24\n"              \
  DW_APPLY(DW_ROWS, t6, ra, a6, a7, __VA_ARGS__)
#define DW_WORD1(ky, in, ...)                                                                                          \
  "lw a7, 8*" #ky "(a1)\nlw t6, 8*" #ky "+4(a1)\n" XP_LW_RR_POST(in, a3, a0) XP_SHUFFLE2_B(a7, t6, a2)                 \
  "srli a6, a7, 8\nsrli ra, a7, 16\n" DW_APPLY(DW_ROWS, t6, ra, a6, a7, __VA_ARGS__)
#define DW_ROWS(w0, w1, w2, w3, OP, r0, r1, r2, r3)                                                                    \
  OP(s0, r0, w0) OP(s1, r0, w1) OP(s2, r0, w2) OP(s3, r0, w3) OP(s4, r1, w0) OP(s5, r1, w1) OP(s6, r1, w2)             \
  OP(s7, r1, w3) OP(s8, r2, w0) OP(s9, r2, w1) OP(s10, r2, w2) OP(s11, r2, w3) OP(a4, r3, w0) OP(a5, r3, w1)           \
  OP(t3, r3, w2) OP(t4, r3, w3)
#define DW_WORDS(WORD, FIRST)                                                                                          \
  XP_LW_RR_POST(t0, a3, a0) XP_LW_RR_POST(t1, a3, a0) XP_LW_RR_POST(t2, a3, a0)                                        \
  WORD(0, t5, FIRST, t0, t1, t2, t5) WORD(1, t0, XP_SDOTUSP_B, t1, t2, t5, t0)                                         \
  WORD(2, t1, XP_SDOTUSP_B, t2, t5, t0, t1) WORD(3, t2, XP_SDOTUSP_B, t5, t0, t1, t2)                                  \
  WORD(4, t5, XP_SDOTUSP_B, t0, t1, t2, t5)
#define DW_FINISH_ROW(FORM, ...) DW_FINISH_##FORM(t1, __VA_ARGS__) DW_STORE(__VA_ARGS__, )
/* The last rows may overlap those before: 92 holds the rows that are left, less than 0 then. 84 and 88 hold where the
 * next four rows begin; gp is the distance of two of y's rows. */
#define DW_5X5_S1(name, FORM)                                                                                          \
  XP_FUNCTION(name) DW_ENTER                                                                                           \
  "mv t0, a3\nlw t1, 16(a3)\nlw t2, 20(a3)\nlw a3, 0(a3)\nslli gp, t1, 1\nadd gp, gp, t1\nadd gp, gp, t2\n"            \
  "1:\nlw t1, 44(a1)\nlw t3, 32(t0)\nsw a0, 84(sp)\nsw a2, 88(sp)\nsw t1, 80(sp)\n"                                    \
  "2:\nlw t0, 68(sp)\nlw a0, 84(sp)\nlw t5, 88(sp)\nlw t6, 16(t0)\naddi t3, t3, -4\nsw t3, 92(sp)\nbgez t3, 3f\n"      \
  "mul t1, t3, a3\nmul t2, t3, gp\nadd a0, a0, t1\nadd t5, t5, t2\n"                                                   \
  "3:\nslli t1, a3, 2\nslli t2, gp, 2\nlw tp, 12(t0)\nadd t1, t1, a0\nadd t2, t2, t5\nsw t1, 84(sp)\nsw t2, 88(sp)\n"  \
  "4:\naddi tp, tp, -1\nbnez tp, 5f\nlw t1, 40(t0)\nlw t2, 44(t0)\nsub a0, a0, t1\nsub t5, t5, t2\n"                   \
  "5:\nlw a1, 72(sp)\nli a2, 0x04030201\nsw a0, 96(sp)\nsw t5, 100(sp)\n"                                              \
  DW_BEGIN_##FORM(s0, s1, s2, s3) DW_BEGIN_##FORM(s4, s5, s6, s7) DW_BEGIN_##FORM(s8, s9, s10, s11)                    \
  DW_BEGIN_##FORM(a4, a5, t3, t4) DW_WORDS(DW_WORD0, DW_FIRST_##FORM)                                                  \
  "lw a0, 96(sp)\nlw t5, 68(sp)\naddi a0, a0, 4\n" DW_WORDS(DW_WORD1, XP_SDOTUSP_B)                                    \
  "lw t0, 68(sp)\nlw t2, 40(a1)\nlw t6, 16(t0)\nlw ra, 20(t0)\nlw t1, 60(t0)\nlw a0, 48(a1)\nlw a1, 52(a1)\n"          \
  "lw t5, 100(sp)\n"                                                                                                   \
  DW_FINISH_ROW(FORM, s0, s1, s2, s3) DW_FINISH_ROW(FORM, s4, s5, s6, s7) DW_FINISH_ROW(FORM, s8, s9, s10, s11)        \
  DW_FINISH_ROW(FORM, a4, a5, t3, t4)                                                                                  \
  "lw a0, 96(sp)\nlw t5, 100(sp)\nslli t1, t6, 2\naddi a0, a0, 4\nadd t5, t5, t1\nbnez tp, 4b\n"                       \
  "lw t3, 92(sp)\nlw a1, 72(sp)\nbgtz t3, 2b\n"                                                                        \
  DW_NEXT(FORM, 56) DW_LEAVE XP_FUNCTION_END(name)

/* Dot products inside C: %0 inputs and %1 weights, %5 and %6 bytes apart, %2 the sum, %7 words. */
#define DW_DOTS                                                                                                        \
  XP_BEGIN XP_LP_SETUP(0, %7, 3) XP_LW_RR_POST(%3, %5, %0) XP_LW_RR_POST(%4, %6, %1) XP_SDOTUSP_B(%2, %3, %4) XP_END

/* Four channels of `blocks` times four pixels in each of `rows` rows: words of one channel each into four planes.
 * void name(const uint8_t *x, uint8_t *planes, const dory_dw_split_t *, int32_t rows, int32_t blocks) */
#define DW_SPLIT4(name)                                                                                                \
  XP_FUNCTION(name)                                                                                                    \
  "addi sp, sp, -16\nsw s0, 0(sp)\nsw s1, 4(sp)\nlw t0, 0(a2)\nlw t1, 12(a2)\nlw s0, 4(a2)\nlw s1, 8(a2)\n"            \
  "slli t5, t1, 1\nadd t5, t5, t1\nli t2, 4\nsub t2, t2, t5\nslli t5, a4, 2\nmul t6, t5, t0\nsub s1, s1, t5\n"         \
  "sub s0, s0, t6\nli a5, 0x05010400\nli a6, 0x07030602\nli a7, 0x07060302\n"                                          \
  XP_LP_SETUP(1, a3, 21) XP_LP_SETUP(0, a4, 18)                                                                        \
  XP_LW_RR_POST(t3, t0, a0) XP_LW_RR_POST(t4, t0, a0) XP_LW_RR_POST(t5, t0, a0) XP_LW_RR_POST(t6, t0, a0)              \
  "mv a2, t3\nmv a3, t5\n"                                                                                             \
  XP_SHUFFLE2_B(a2, t4, a5) XP_SHUFFLE2_B(t3, t4, a6) XP_SHUFFLE2_B(a3, t6, a5) XP_SHUFFLE2_B(t5, t6, a6)              \
  XP_PACK_H(t4, a3, a2) XP_PACK_H(t6, t5, t3) XP_SHUFFLE2_B(a2, a3, a7) XP_SHUFFLE2_B(t3, t5, a7)                      \
  XP_SW_RR_POST(t4, t1, a1) XP_SW_RR_POST(a2, t1, a1) XP_SW_RR_POST(t6, t1, a1) XP_SW_RR_POST(t3, t2, a1)              \
  "add a0, a0, s0\nadd a1, a1, s1\n"                                                                                   \
  "lw s0, 0(sp)\nlw s1, 4(sp)\naddi sp, sp, 16\nret\n" XP_FUNCTION_END(name)

/* void name(uint8_t *at, uint32_t word, int32_t words, int32_t step): step bytes from one to the next. */
#define DW_FILL(name)                                                                                                  \
  XP_FUNCTION(name)                                                                                                    \
  "andi a4, a2, 1\nsrai a2, a2, 1\nbeqz a4, 1f\n" XP_SW_RR_POST(a1, a3, a0)                                            \
  "1:\nblez a2, 2f\n" XP_LP_SETUP(0, a2, 2) XP_SW_RR_POST(a1, a3, a0) XP_SW_RR_POST(a1, a3, a0)                        \
  "2:\nret\n" XP_FUNCTION_END(name)

__asm__(DW_3X3_S1(dory_dw_3x3_s1_narrow, NARROW));
__asm__(DW_3X3_S1(dory_dw_3x3_s1_mul15, MUL15));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_narrow, NARROW, DW_SHIFT_S2, DW_ROW_S2, DW_MIDDLE_S2, DW_HALVES(t0, t1)));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_even_narrow, NARROW, , DW_ROW_S2_EVEN, DW_MIDDLE_S2_EVEN, ));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_mul15, MUL15, DW_SHIFT_S2, DW_ROW_S2, DW_MIDDLE_S2, DW_HALVES(t0, t1)));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_even_mul15, MUL15, , DW_ROW_S2_EVEN, DW_MIDDLE_S2_EVEN, ));
__asm__(DW_5X5_S1(dory_dw_5x5_s1_narrow, NARROW));
__asm__(DW_5X5_S1(dory_dw_5x5_s1_mul15, MUL15));
#ifndef DORY_DW_NO_WIDE
__asm__(DW_3X3_S1(dory_dw_3x3_s1_wide, WIDE));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_wide, WIDE, DW_SHIFT_S2, DW_ROW_S2, DW_MIDDLE_S2, DW_HALVES(t0, t1)));
__asm__(DW_3X3_S2(dory_dw_3x3_s2_even_wide, WIDE, , DW_ROW_S2_EVEN, DW_MIDDLE_S2_EVEN, ));
__asm__(DW_5X5_S1(dory_dw_5x5_s1_wide, WIDE));
#endif
__asm__(DW_SPLIT4(dory_dw_split4));
__asm__(DW_FILL(dory_dw_fill));
/* clang-format on */

#endif

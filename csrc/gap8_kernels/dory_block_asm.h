/* Blocks of 4 output channels x 4 pixels: 24 instructions for 64 multiply-accumulates.
 *
 * Registers, all of them but sp: x5-x20 sums (pixel p, channel c in x(5 + 4p + c)), x21-x24 weights, x25 and x26
 * activations, x27 weight pointer (it streams weights and constants alike), x28 activation pointer of pixel 0, x29-x31
 * offsets of pixels 1-3 from it, x1 output pointer, x3 output stride or run table, x4 words in a run. Between the
 * sums and the output, x21-x28 are free for the rescale. */
#ifndef DORY_BLOCK_ASM_H
#define DORY_BLOCK_ASM_H

#include "xpulp_asm.h"

/* Work of one call. Offsets are written out in the assembly. */
typedef struct {
  const uint8_t *x;       /*  0: pixel 0 */
  int32_t offset[3];      /*  4: of pixels 1 to 3 (dory_pointwise5_* differ) */
  const uint8_t *w;       /* 16 */
  uint8_t *y;             /* 20 */
  int32_t y_stride;       /* 24: from pixel to pixel */
  int32_t y_back;         /* 28: 4 - 3 * y_stride */
  int32_t groups;         /* 32: of four channels, >= 1 */
  int32_t words;          /* 36: in a run; at least 2 in dory_pointwise_*, 1 in dory_runs_* */
  int32_t reach;          /* 40: largest output, hi - lo */
  const uint32_t *table;  /* 44: dory_runs_*: addresses of pixel 0 and offsets for each run, and one row more */
  int32_t runs;           /* 48: also of dory_rows_* */
  int32_t blocks;         /* 52: dory_pointwise_*: blocks of four pixels, >= 1, */
  int32_t x_step, y_step; /* 56, 60: and what they add to x and, after all groups, y */
  int32_t x_jump;         /* 64: dory_rows_*: from the end of a run to the next one */
} dory_blocks_t;

/* clang-format off */
#define B_MUL(rd, rs1, rs2) "mul " #rd ", " #rs1 ", " #rs2 "\n"
#define B_MULH(rd, rs1, rs2) "mulh " #rd ", " #rs1 ", " #rs2 "\n"
#define B_MV(rd, rs1) "addi " #rd ", " #rs1 ", 0\n"
#define B_LI0(rd) "addi " #rd ", x0, 0\n"

/* The frame: 15 saved registers, then 60: x or table, 64: reach, 68: y_back, 72: groups, 76: y_stride, 80: runs, 84: w,
 * 88: blocks, 92: the arguments, 96-111: free. */
#define B_SAVE                                                                                                       \
  "addi sp, sp, -112\n"                                                                                              \
  "sw x1, 0(sp)\nsw x3, 4(sp)\nsw x4, 8(sp)\nsw x8, 12(sp)\nsw x9, 16(sp)\nsw x18, 20(sp)\nsw x19, 24(sp)\n"         \
  "sw x20, 28(sp)\nsw x21, 32(sp)\nsw x22, 36(sp)\nsw x23, 40(sp)\nsw x24, 44(sp)\nsw x25, 48(sp)\nsw x26, 52(sp)\n" \
  "sw x27, 56(sp)\n"
#define B_ENTER                                                                                                      \
  B_SAVE                                                                                                             \
  "lw x5, 40(a0)\nlw x6, 28(a0)\nlw x7, 32(a0)\nlw x8, 24(a0)\nlw x9, 48(a0)\nlw x27, 16(a0)\nlw x13, 52(a0)\n"      \
  "lw x1, 20(a0)\nlw x4, 36(a0)\n"                                                                                   \
  "sw x5, 64(sp)\nsw x6, 68(sp)\nsw x7, 72(sp)\nsw x8, 76(sp)\nsw x9, 80(sp)\nsw x27, 84(sp)\nsw x13, 88(sp)\n"      \
  "sw a0, 92(sp)\n"
#define B_LEAVE                                                                                                      \
  "lw x1, 0(sp)\nlw x3, 4(sp)\nlw x4, 8(sp)\nlw x8, 12(sp)\nlw x9, 16(sp)\nlw x18, 20(sp)\nlw x19, 24(sp)\n"         \
  "lw x20, 28(sp)\nlw x21, 32(sp)\nlw x22, 36(sp)\nlw x23, 40(sp)\nlw x24, 44(sp)\nlw x25, 48(sp)\nlw x26, 52(sp)\n" \
  "lw x27, 56(sp)\naddi sp, sp, 112\nret\n"

/* 24 instructions: one word of K. Pixel 0 comes last, its load moves the pointer on. */
#define B_STEP(DOT)                                                                                           \
  XP_LW_POST(x21, 4, x27)                                                                                     \
  XP_LW_POST(x22, 4, x27)                                                                                     \
  XP_LW_POST(x23, 4, x27)                                                                                     \
  XP_LW_POST(x24, 4, x27)                                                                                     \
  XP_LW_RR(x25, x29, x28) XP_LW_RR(x26, x30, x28) DOT(x9, x25, x21) DOT(x10, x25, x22) DOT(x11, x25, x23)     \
      DOT(x12, x25, x24) XP_LW_RR(x25, x31, x28) DOT(x13, x26, x21) DOT(x14, x26, x22) DOT(x15, x26, x23)     \
          DOT(x16, x26, x24) XP_LW_POST(x26, 4, x28) DOT(x17, x25, x21) DOT(x18, x25, x22) DOT(x19, x25, x23) \
              DOT(x20, x25, x24) DOT(x5, x26, x21) DOT(x6, x26, x22) DOT(x7, x26, x23) DOT(x8, x26, x24)

/* 16 instructions each: the sums begin at the biases, or at zero. */
#define B_BIASES                                                                                                 \
  XP_LW_POST(x5, 4, x27)                                                                                         \
  XP_LW_POST(x6, 4, x27)                                                                                         \
  XP_LW_POST(x7, 4, x27)                                                                                         \
  XP_LW_POST(x8, 4, x27)                                                                                         \
  B_MV(x9, x5) B_MV(x10, x6) B_MV(x11, x7) B_MV(x12, x8) B_MV(x13, x5) B_MV(x14, x6) B_MV(x15, x7) B_MV(x16, x8) \
      B_MV(x17, x5) B_MV(x18, x6) B_MV(x19, x7) B_MV(x20, x8)
#define B_ZEROS                                                                                                \
  B_LI0(x5)                                                                                                    \
  B_LI0(x6)                                                                                                    \
  B_LI0(x7)                                                                                                    \
  B_LI0(x8)                                                                                                    \
  B_LI0(x9) B_LI0(x10) B_LI0(x11) B_LI0(x12) B_LI0(x13) B_LI0(x14) B_LI0(x15) B_LI0(x16) B_LI0(x17) B_LI0(x18) \
      B_LI0(x19) B_LI0(x20)

/* One channel's four sums -> outputs: mult x25, add x26, shift x28, reach x23. 15 and 19 instructions. */
#define B_CONSTANTS XP_LW_POST(x25, 4, x27) XP_LW_POST(x26, 4, x27) XP_LW_POST(x28, 4, x27)
#define B_NARROW(p0, p1, p2, p3)                                                                                 \
  B_CONSTANTS B_MUL(p0, p0, x25) B_MUL(p1, p1, x25) B_MUL(p2, p2, x25) B_MUL(p3, p3, x25) XP_ADDNR(p0, x26, x28) \
      XP_ADDNR(p1, x26, x28) XP_ADDNR(p2, x26, x28) XP_ADDNR(p3, x26, x28) XP_CLIPUR(p0, p0, x23)                \
          XP_CLIPUR(p1, p1, x23) XP_CLIPUR(p2, p2, x23) XP_CLIPUR(p3, p3, x23)
#define B_MUL15_PAIR(p0, p1) \
  XP_MULUN(x21, p0, x25, 16) \
  XP_MULUN(x22, p1, x25, 16) \
  XP_MACHHS(x21, p0, x25)    \
  XP_MACHHS(x22, p1, x25)    \
  XP_ADDNR(x21, x26, x28) XP_ADDNR(x22, x26, x28) XP_CLIPUR(p0, x21, x23) XP_CLIPUR(p1, x22, x23)
#define B_MUL15(p0, p1, p2, p3) B_CONSTANTS B_MUL15_PAIR(p0, p1) B_MUL15_PAIR(p2, p3)
#define B_WIDE(p0, p1, p2, p3)                                                                                       \
  B_CONSTANTS B_MULH(p0, p0, x25) B_MULH(p1, p1, x25) B_MULH(p2, p2, x25) B_MULH(p3, p3, x25) XP_ADDNR(p0, x26, x28) \
      XP_ADDNR(p1, x26, x28) XP_ADDNR(p2, x26, x28) XP_ADDNR(p3, x26, x28) XP_CLIPUR(p0, p0, x23)                    \
          XP_CLIPUR(p1, p1, x23) XP_CLIPUR(p2, p2, x23) XP_CLIPUR(p3, p3, x23)

/* 2 + 4 channels + 12 instructions: to four words at y, y + stride, ...; y moves on by 4. */
#define B_FINISH(CHANNEL)                                                                                            \
  "lw x23, 64(sp)\nlw x24, 68(sp)\n" CHANNEL(x5, x9, x13, x17) CHANNEL(x6, x10, x14, x18) CHANNEL(x7, x11, x15, x19) \
      CHANNEL(x8, x12, x16, x20) XP_PACKLO_B(x5, x6, x5) XP_PACKLO_B(x9, x10, x9) XP_PACKLO_B(x13, x14, x13)         \
          XP_PACKLO_B(x17, x18, x17) XP_PACKHI_B(x5, x8, x7) XP_PACKHI_B(x9, x12, x11) XP_PACKHI_B(x13, x16, x15)    \
              XP_PACKHI_B(x17, x20, x19) XP_SW_RR_POST(x5, x3, x1) XP_SW_RR_POST(x9, x3, x1)                         \
                  XP_SW_RR_POST(x13, x3, x1) XP_SW_RR_POST(x17, x24, x1)

/* void name(const dory_blocks_t *): one run for each pixel; START is 17 instructions up to the inner loop, its loop
 * count in x4; BODY is the length of the loop over groups: 17 + 24 + 15 + 4 channels. */
#define B_POINTWISE(name, LESS, START, CHANNEL, BODY) \
  XP_FUNCTION(name)                                   \
  B_ENTER                                             \
  "lw x28, 0(a0)\nlw x29, 4(a0)\nlw x30, 8(a0)\nlw x31, 12(a0)\n"                                                      \
  "addi x4, x4, " #LESS "\naddi x3, x8, 0\n"                                                                           \
  "sw x28, 60(sp)\n"                                                                                                   \
  "1:\n"                                                                                                               \
  "lw x5, 72(sp)\nlw x28, 60(sp)\n"                                                                                    \
  XP_LP_SETUP(1, x5, BODY)                                                                                             \
  START XP_LP_SETUP(0, x4, 24) B_STEP(XP_SDOTUSP_B) B_FINISH(CHANNEL)                                                  \
  "lw x28, 60(sp)\n"                                                                                                   \
  "lw x5, 88(sp)\nlw x6, 92(sp)\nlw x27, 84(sp)\n"                                                                     \
  "addi x5, x5, -1\nsw x5, 88(sp)\n"                                                                                   \
  "lw x7, 56(x6)\nlw x8, 60(x6)\n"                                                                                     \
  "add x28, x28, x7\nadd x1, x1, x8\nsw x28, 60(sp)\n"                                                                 \
  "bne x5, x0, 1b\n"                                                                                                   \
  B_LEAVE XP_FUNCTION_END(name)

/* The same over several runs, whose addresses come from a table. Outer hardware loop: runs. */
#define B_RUNS(name, START, CHANNEL) B_RUNS_TO(name, START, B_FINISH(CHANNEL))
#define B_RUNS_TO(name, START, FINISH) \
  XP_FUNCTION(name)                  \
  B_ENTER                            \
  "lw x3, 44(a0)\nsw x3, 60(sp)\n"                                                                                     \
  "1:\n"                                                                                                               \
  "lw x3, 60(sp)\nlw x25, 80(sp)\n"                                                                                    \
  START                                                                                                                \
  XP_LW_POST(x28, 4, x3) XP_LW_POST(x29, 4, x3) XP_LW_POST(x30, 4, x3) XP_LW_POST(x31, 4, x3)                          \
  XP_LP_SETUP(1, x25, 29)                                                                                              \
  XP_LP_SETUP(0, x4, 24) B_STEP(XP_SDOTUSP_B)                                                                          \
  XP_LW_POST(x28, 4, x3) XP_LW_POST(x29, 4, x3) XP_LW_POST(x30, 4, x3) XP_LW_POST(x31, 4, x3)                          \
  "lw x3, 76(sp)\n"                                                                                                    \
  FINISH                                                                                                               \
  "lw x25, 72(sp)\naddi x25, x25, -1\nsw x25, 72(sp)\n"                                                                \
  "bne x25, x0, 1b\n"                                                                                                  \
  B_LEAVE XP_FUNCTION_END(name)

/* Blocks of 4 output channels x 5 pixels at equal distances: 29 instructions for 80 multiply-accumulates. Sums: pixel
 * p, channel c in x(5 + 4p + c); x25-x28 weights, x29 and x30 activations, x31 weight pointer, x1 activation pointer,
 * x3 distance of pixels, x4 what leads from pixel 4 back to pixel 0's next word. */
#define B5_STEP(DOT, LAST)                                                                                            \
  XP_LW_POST(x25, 4, x31)                                                                                             \
  XP_LW_POST(x26, 4, x31)                                                                                             \
  XP_LW_POST(x27, 4, x31) XP_LW_POST(x28, 4, x31) XP_LW_RR_POST(x29, x3, x1) XP_LW_RR_POST(x30, x3, x1)               \
  DOT(x5, x29, x25) DOT(x6, x29, x26) DOT(x7, x29, x27) DOT(x8, x29, x28) XP_LW_RR_POST(x29, x3, x1)                  \
  DOT(x9, x30, x25) DOT(x10, x30, x26) DOT(x11, x30, x27) DOT(x12, x30, x28) XP_LW_RR_POST(x30, x3, x1)               \
  DOT(x13, x29, x25) DOT(x14, x29, x26) DOT(x15, x29, x27) DOT(x16, x29, x28) XP_LW_RR_POST(x29, x4, x1)              \
  DOT(x17, x30, x25) DOT(x18, x30, x26) DOT(x19, x30, x27) DOT(x20, x30, x28) LAST                                    \
  DOT(x21, x29, x25) DOT(x22, x29, x26) DOT(x23, x29, x27) DOT(x24, x29, x28)

/* The loop count goes to x30; 30 and 21 instructions. */
#define B5_COUNT "lw x30, 80(sp)\n"
#define B5_FIRST B5_STEP(XP_DOTUSP_B, B5_COUNT)
#define B5_BIASES B5_COUNT B5_SUMS
#define B5_SUMS                                                                                                       \
  XP_LW_POST(x5, 4, x31) XP_LW_POST(x6, 4, x31) XP_LW_POST(x7, 4, x31) XP_LW_POST(x8, 4, x31)                         \
  B_MV(x9, x5) B_MV(x10, x6) B_MV(x11, x7) B_MV(x12, x8) B_MV(x13, x5) B_MV(x14, x6) B_MV(x15, x7) B_MV(x16, x8)      \
  B_MV(x17, x5) B_MV(x18, x6) B_MV(x19, x7) B_MV(x20, x8) B_MV(x21, x5) B_MV(x22, x6) B_MV(x23, x7) B_MV(x24, x8)

/* One channel's five sums -> outputs: mult x25, add x26, shift x27, reach x28. 18 and 23 instructions. */
#define B5_CONSTANTS XP_LW_POST(x25, 4, x31) XP_LW_POST(x26, 4, x31) XP_LW_POST(x27, 4, x31)
#define B5_LIMIT(p0, p1, p2, p3, p4)                                                                                  \
  XP_ADDNR(p0, x26, x27) XP_ADDNR(p1, x26, x27) XP_ADDNR(p2, x26, x27) XP_ADDNR(p3, x26, x27) XP_ADDNR(p4, x26, x27)  \
  XP_CLIPUR(p0, p0, x28) XP_CLIPUR(p1, p1, x28) XP_CLIPUR(p2, p2, x28) XP_CLIPUR(p3, p3, x28) XP_CLIPUR(p4, p4, x28)
#define B5_NARROW(p0, p1, p2, p3, p4)                                                                                 \
  B5_CONSTANTS B_MUL(p0, p0, x25) B_MUL(p1, p1, x25) B_MUL(p2, p2, x25) B_MUL(p3, p3, x25) B_MUL(p4, p4, x25)         \
  B5_LIMIT(p0, p1, p2, p3, p4)
#define B5_WIDE(p0, p1, p2, p3, p4)                                                                                   \
  B5_CONSTANTS B_MULH(p0, p0, x25) B_MULH(p1, p1, x25) B_MULH(p2, p2, x25) B_MULH(p3, p3, x25) B_MULH(p4, p4, x25)    \
  B5_LIMIT(p0, p1, p2, p3, p4)
#define B5_MUL15(p0, p1, p2, p3, p4)                                                                                  \
  B5_CONSTANTS XP_MULUN(x29, p0, x25, 16) XP_MULUN(x30, p1, x25, 16) XP_MACHHS(x29, p0, x25)                          \
  XP_MACHHS(x30, p1, x25) XP_ADDNR(x29, x26, x27) XP_ADDNR(x30, x26, x27) XP_CLIPUR(p0, x29, x28)                     \
  XP_CLIPUR(p1, x30, x28) XP_MULUN(x29, p2, x25, 16) XP_MULUN(x30, p3, x25, 16) XP_MULUN(x1, p4, x25, 16)             \
  XP_MACHHS(x29, p2, x25) XP_MACHHS(x30, p3, x25) XP_MACHHS(x1, p4, x25) XP_ADDNR(x29, x26, x27)                      \
  XP_ADDNR(x30, x26, x27) XP_ADDNR(x1, x26, x27) XP_CLIPUR(p2, x29, x28) XP_CLIPUR(p3, x30, x28)                      \
  XP_CLIPUR(p4, x1, x28)

/* 1 + 4 channels + 19 instructions. */
#define B5_FINISH(CHANNEL)                                                                                            \
  "lw x28, 64(sp)\n"                                                                                                  \
  CHANNEL(x5, x9, x13, x17, x21) CHANNEL(x6, x10, x14, x18, x22) CHANNEL(x7, x11, x15, x19, x23)                      \
  CHANNEL(x8, x12, x16, x20, x24)                                                                                     \
  "lw x25, 96(sp)\nlw x26, 76(sp)\nlw x27, 68(sp)\n"                                                                  \
  XP_PACKLO_B(x5, x6, x5) XP_PACKLO_B(x9, x10, x9) XP_PACKLO_B(x13, x14, x13) XP_PACKLO_B(x17, x18, x17)              \
  XP_PACKLO_B(x21, x22, x21) XP_PACKHI_B(x5, x8, x7) XP_PACKHI_B(x9, x12, x11) XP_PACKHI_B(x13, x16, x15)             \
  XP_PACKHI_B(x17, x20, x19) XP_PACKHI_B(x21, x24, x23) XP_SW_RR_POST(x5, x26, x25) XP_SW_RR_POST(x9, x26, x25)       \
  XP_SW_RR_POST(x13, x26, x25) XP_SW_RR_POST(x17, x26, x25) XP_SW_RR_POST(x21, x27, x25)                              \
  "sw x25, 96(sp)\n"

/* void name(const dory_blocks_t *): five pixels, offset[0] apart; offset[1] is 4 - 4 * offset[0], y_back
 * 4 - 4 * y_stride. The frame is that of the others, with 80: the loop count, 96: y. BODY: START + 1 + 29 + FINISH
 * + 1. */
#define B5_POINTWISE(name, LESS, START, CHANNEL, BODY)                                                                \
  XP_FUNCTION(name)                                                                                                   \
  B_SAVE                                                                                                              \
  "lw x5, 40(a0)\nlw x6, 28(a0)\nlw x7, 32(a0)\nlw x8, 24(a0)\nlw x9, 36(a0)\nlw x31, 16(a0)\nlw x13, 52(a0)\n"       \
  "lw x12, 20(a0)\nlw x1, 0(a0)\nlw x3, 4(a0)\nlw x4, 8(a0)\naddi x9, x9, " #LESS "\n"                                \
  "sw x5, 64(sp)\nsw x6, 68(sp)\nsw x7, 72(sp)\nsw x8, 76(sp)\nsw x9, 80(sp)\nsw x31, 84(sp)\nsw x13, 88(sp)\n"       \
  "sw a0, 92(sp)\nsw x12, 96(sp)\nsw x1, 60(sp)\n"                                                                    \
  "1:\n"                                                                                                              \
  "lw x5, 72(sp)\nlw x1, 60(sp)\n"                                                                                    \
  XP_LP_SETUP(1, x5, BODY)                                                                                            \
  START XP_LP_SETUP(0, x30, 29) B5_STEP(XP_SDOTUSP_B, ) B5_FINISH(CHANNEL)                                            \
  "lw x1, 60(sp)\n"                                                                                                   \
  "lw x5, 88(sp)\nlw x6, 92(sp)\nlw x31, 84(sp)\nlw x9, 96(sp)\n"                                                     \
  "addi x5, x5, -1\nsw x5, 88(sp)\n"                                                                                  \
  "lw x7, 56(x6)\nlw x8, 60(x6)\n"                                                                                    \
  "add x1, x1, x7\nadd x9, x9, x8\nsw x1, 60(sp)\nsw x9, 96(sp)\n"                                                    \
  "bne x5, x0, 1b\n"                                                                                                  \
  B_LEAVE XP_FUNCTION_END(name)

/* clang-format on */

#endif

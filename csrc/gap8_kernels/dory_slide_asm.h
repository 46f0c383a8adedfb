/* Blocks of 4 output channels x 4 neighbouring pixels whose windows have three columns, a pixel apart: of the twelve words
 * that they read of a channel word and a kernel row, six are different. 66 instructions for 192 multiply-accumulates.
 *
 * Registers: sums and weights as in dory_block_asm.h, x25, x26, x29 and x30 activations, x27 weight pointer, x28 activation
 * pointer, x31 distance of pixels, x3 from the last of them to the next word, x4 from the last weight of a tap to the next
 * tap, x1 from that of the third tap to the next word. The frame: 80: words of a tap, 84: from row to row of the input, less a
 * tap, 96: y, 100: x3, 104: x1, 108: kernel rows; 72 counts groups. */
#ifndef DORY_SLIDE_ASM_H
#define DORY_SLIDE_ASM_H

#include "dory_block_asm.h"

/* clang-format off */
#define B_TAP(a0, a1, a2, a3)                                                                                         \
  XP_SDOTUSP_B(x5, a0, x21) XP_SDOTUSP_B(x6, a0, x22) XP_SDOTUSP_B(x7, a0, x23) XP_SDOTUSP_B(x8, a0, x24)             \
  XP_SDOTUSP_B(x9, a1, x21) XP_SDOTUSP_B(x10, a1, x22) XP_SDOTUSP_B(x11, a1, x23) XP_SDOTUSP_B(x12, a1, x24)          \
  XP_SDOTUSP_B(x13, a2, x21) XP_SDOTUSP_B(x14, a2, x22) XP_SDOTUSP_B(x15, a2, x23) XP_SDOTUSP_B(x16, a2, x24)         \
  XP_SDOTUSP_B(x17, a3, x21) XP_SDOTUSP_B(x18, a3, x22) XP_SDOTUSP_B(x19, a3, x23) XP_SDOTUSP_B(x20, a3, x24)

/* Four weights of a tap; STEP leads on. */
#define B_TAP_WEIGHTS(STEP)                                                                                           \
  XP_LW_POST(x21, 4, x27) XP_LW_POST(x22, 4, x27) XP_LW_POST(x23, 4, x27) XP_LW_RR_POST(x24, STEP, x27)

/* 66 instructions: a word of three taps. */
#define B_SLIDE_STEP                                                                                                  \
  XP_LW_RR_POST(x25, x31, x28) XP_LW_RR_POST(x26, x31, x28) XP_LW_RR_POST(x29, x31, x28)                              \
  XP_LW_RR_POST(x30, x31, x28)                                                                                        \
  B_TAP_WEIGHTS(x4) B_TAP(x25, x26, x29, x30)                                                                         \
  XP_LW_RR_POST(x25, x31, x28)                                                                                        \
  B_TAP_WEIGHTS(x4) B_TAP(x26, x29, x30, x25)                                                                         \
  XP_LW_RR_POST(x26, x3, x28)                                                                                         \
  B_TAP_WEIGHTS(x1) B_TAP(x29, x30, x25, x26)

#define B_SLIDE(name, START, CHANNEL)                                                                                 \
  XP_FUNCTION(name)                                                                                                   \
  B_SAVE                                                                                                              \
  "lw x5, 40(a0)\nlw x6, 28(a0)\nlw x7, 32(a0)\nlw x8, 24(a0)\nlw x9, 36(a0)\nlw x27, 16(a0)\nlw x13, 52(a0)\n"       \
  "lw x1, 20(a0)\nlw x28, 0(a0)\nlw x31, 4(a0)\nlw x3, 8(a0)\nlw x4, 12(a0)\nlw x14, 64(a0)\nlw x15, 48(a0)\n"        \
  "sw x5, 64(sp)\nsw x6, 68(sp)\nsw x7, 72(sp)\nsw x8, 76(sp)\nsw x9, 80(sp)\nsw x14, 84(sp)\nsw x13, 88(sp)\n"       \
  "sw a0, 92(sp)\nsw x1, 96(sp)\nsw x28, 60(sp)\nsw x3, 100(sp)\nsw x15, 108(sp)\n"                                   \
  "slli x5, x4, 1\naddi x5, x5, 20\nsub x5, x0, x5\nsw x5, 104(sp)\n"                                                 \
  "1:\n"                                                                                                              \
  "lw x28, 60(sp)\nlw x3, 100(sp)\nlw x1, 104(sp)\n"                                                                  \
  START                                                                                                               \
  "lw x23, 80(sp)\nlw x21, 108(sp)\n"                                                                                 \
  XP_LP_SETUP(1, x21, 72)                                                                                             \
  XP_LP_SETUP(0, x23, 66) B_SLIDE_STEP                                                                                \
  "lw x22, 84(sp)\nlw x23, 80(sp)\nadd x28, x28, x22\nslli x21, x23, 5\nadd x27, x27, x21\n"                          \
  "lw x1, 96(sp)\nlw x3, 76(sp)\n"                                                                                    \
  B_FINISH(CHANNEL)                                                                                                   \
  "lw x5, 72(sp)\nsw x1, 96(sp)\naddi x5, x5, -1\nsw x5, 72(sp)\n"                                                    \
  "bne x5, x0, 1b\n"                                                                                                  \
  "lw x28, 60(sp)\nlw x5, 88(sp)\nlw x6, 92(sp)\naddi x5, x5, -1\nsw x5, 88(sp)\n"                                    \
  "lw x7, 56(x6)\nlw x8, 60(x6)\nlw x9, 32(x6)\nlw x27, 16(x6)\n"                                                     \
  "add x28, x28, x7\nadd x1, x1, x8\nsw x28, 60(sp)\nsw x1, 96(sp)\nsw x9, 72(sp)\n"                                  \
  "bne x5, x0, 1b\n"                                                                                                  \
  B_LEAVE XP_FUNCTION_END(name)

/* clang-format on */

#endif

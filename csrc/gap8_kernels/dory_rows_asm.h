/* Blocks of 4 output channels x 4 or 5 pixels whose windows are rows of contiguous words at equal distances: no table,
 * no gathering. Registers and frame are those of dory_block_asm.h, with 100: from the end
 * of a kernel row to the next one, 104: groups left, 108: words of a row (blocks of five). */
#ifndef DORY_ROWS_ASM_H
#define DORY_ROWS_ASM_H

#include "dory_block_asm.h"

/* clang-format off */
/* Sums at the biases or, for the narrow form, the first word's products; then kernel rows, 28 instructions around the
 * words of each. LESS: words that START takes. */
#define B_ROWS(name, LESS, START, CHANNEL)                                                                             \
  XP_FUNCTION(name)                                                                                                    \
  B_ENTER                                                                                                              \
  "lw x28, 0(a0)\nlw x29, 4(a0)\nlw x30, 8(a0)\nlw x31, 12(a0)\nlw x5, 64(a0)\naddi x3, x8, 0\n"                       \
  "sw x28, 60(sp)\nsw x5, 100(sp)\n"                                                                                   \
  "1:\n"                                                                                                               \
  "lw x5, 72(sp)\nsw x5, 104(sp)\n"                                                                                    \
  "2:\n"                                                                                                               \
  "lw x28, 60(sp)\n"                                                                                                   \
  START                                                                                                                \
  "lw x25, 80(sp)\naddi x26, x4, " #LESS "\n"                                                                          \
  XP_LP_SETUP(1, x25, 28)                                                                                              \
  XP_LP_SETUP(0, x26, 24) B_STEP(XP_SDOTUSP_B)                                                                         \
  "lw x25, 100(sp)\naddi x26, x4, 0\nadd x28, x28, x25\n"                                                              \
  B_FINISH(CHANNEL)                                                                                                    \
  "lw x5, 104(sp)\naddi x5, x5, -1\nsw x5, 104(sp)\n"                                                                  \
  "bne x5, x0, 2b\n"                                                                                                   \
  "lw x28, 60(sp)\nlw x5, 88(sp)\nlw x6, 92(sp)\nlw x27, 84(sp)\n"                                                     \
  "addi x5, x5, -1\nsw x5, 88(sp)\n"                                                                                   \
  "lw x7, 56(x6)\nlw x8, 60(x6)\n"                                                                                     \
  "add x28, x28, x7\nadd x1, x1, x8\nsw x28, 60(sp)\n"                                                                 \
  "bne x5, x0, 1b\n"                                                                                                   \
  B_LEAVE XP_FUNCTION_END(name)

/* The same for five pixels: 33 instructions around the words of a row. */
#define B5_ROWS(name, LESS, START, CHANNEL)                                                                            \
  XP_FUNCTION(name)                                                                                                    \
  B_SAVE                                                                                                               \
  "lw x5, 40(a0)\nlw x6, 28(a0)\nlw x7, 32(a0)\nlw x8, 24(a0)\nlw x9, 36(a0)\nlw x31, 16(a0)\nlw x13, 52(a0)\n"        \
  "lw x12, 20(a0)\nlw x1, 0(a0)\nlw x3, 4(a0)\nlw x4, 8(a0)\nlw x14, 64(a0)\nlw x15, 48(a0)\n"                         \
  "sw x5, 64(sp)\nsw x6, 68(sp)\nsw x7, 72(sp)\nsw x8, 76(sp)\nsw x9, 108(sp)\nsw x31, 84(sp)\nsw x13, 88(sp)\n"       \
  "sw a0, 92(sp)\nsw x12, 96(sp)\nsw x1, 60(sp)\nsw x14, 100(sp)\nsw x15, 80(sp)\n"                                    \
  "1:\n"                                                                                                               \
  "lw x5, 72(sp)\nsw x5, 104(sp)\n"                                                                                    \
  "2:\n"                                                                                                               \
  "lw x1, 60(sp)\n"                                                                                                    \
  START                                                                                                                \
  "lw x30, 108(sp)\nlw x25, 80(sp)\naddi x30, x30, " #LESS "\n"                                                        \
  XP_LP_SETUP(1, x25, 33)                                                                                              \
  XP_LP_SETUP(0, x30, 29) B5_STEP(XP_SDOTUSP_B, )                                                                      \
  "lw x25, 100(sp)\nlw x30, 108(sp)\nadd x1, x1, x25\n"                                                                \
  B5_FINISH(CHANNEL)                                                                                                   \
  "lw x5, 104(sp)\naddi x5, x5, -1\nsw x5, 104(sp)\n"                                                                  \
  "bne x5, x0, 2b\n"                                                                                                   \
  "lw x1, 60(sp)\n"                                                                                                    \
  "lw x5, 88(sp)\nlw x6, 92(sp)\nlw x31, 84(sp)\nlw x9, 96(sp)\n"                                                      \
  "addi x5, x5, -1\nsw x5, 88(sp)\n"                                                                                   \
  "lw x7, 56(x6)\nlw x8, 60(x6)\n"                                                                                     \
  "add x1, x1, x7\nadd x9, x9, x8\nsw x1, 60(sp)\nsw x9, 96(sp)\n"                                                     \
  "bne x5, x0, 1b\n"                                                                                                   \
  B_LEAVE XP_FUNCTION_END(name)

/* clang-format on */

#endif

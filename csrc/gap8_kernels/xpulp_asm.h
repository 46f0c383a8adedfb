/* Xpulp instructions as assembler text, in two spellings that give the same words: mnemonics for the GAP SDK's assembler
 * (DORY_XPULP_MNEMONICS), `.insn` for a stock RISC-V one. For __asm__ blocks and functions at top level:
 *
 *     __asm__(XP_FUNCTION(f) XP_LW_POST(a0, 4, a1) XP_SDOTUSP_B(a2, a0, a3) "ret\n" XP_FUNCTION_END(f));
 *
 * Operands are registers, operand references (%0, %[x]) or constants, the destination first. Post-increment loads are
 * (rd, increment, address), register-register ones (rd, offset, address); stores have their value first. */
#ifndef DORY_XPULP_ASM_H
#define DORY_XPULP_ASM_H

#if (defined(DORY_RT_GAP8) || defined(__pulp__)) && !defined(DORY_XPULP_INSN) && !defined(DORY_XPULP_MNEMONICS)
#define DORY_XPULP_MNEMONICS 1
#endif

/* Without compressed instructions: hardware loops count whole words. */
#define XP_BEGIN ".option push\n.option norvc\n"
#define XP_END ".option pop\n"
#define XP_FUNCTION(name) \
  ".section .text." #name ", \"ax\"\n.balign 16\n.globl " #name "\n.type " #name ", @function\n" XP_BEGIN #name ":\n"
#define XP_FUNCTION_END(name) ".size " #name ", .-" #name "\n" XP_END ".text\n"

/* Formats, with an instruction's fields in both spellings; `imm` of XP_RI_ is an unsigned 5-bit constant in rs2's field,
 * `high` of XP_RII_ one more in the low bits of funct7. */
#ifdef DORY_XPULP_MNEMONICS
#define XP_R_(name, opcode, f3, f7, rd, rs1, rs2) name " " #rd ", " #rs1 ", " #rs2 "\n"
#define XP_R1_(name, opcode, f3, f7, rd, rs1) name " " #rd ", " #rs1 "\n"
#define XP_RI_(name, opcode, f3, f7, rd, rs1, imm) name " " #rd ", " #rs1 ", " #imm "\n"
#define XP_RRI_(name, opcode, f3, f7, rd, rs1, rs2, imm) name " " #rd ", " #rs1 ", " #rs2 ", " #imm "\n"
#define XP_RII_(name, opcode, f3, f7, rd, rs1, high, low) name " " #rd ", " #rs1 ", " #high ", " #low "\n"
#define XP_LOAD_(name, f3, rd, imm, rs1) name " " #rd ", " #imm "(" #rs1 "!)\n"
#define XP_LOAD_RR_(name, opcode, f7, rd, rs2, rs1, post) name " " #rd ", " #rs2 "(" #rs1 post ")\n"
#define XP_STORE_(name, f3, rs2, imm, rs1) name " " #rs2 ", " #imm "(" #rs1 "!)\n"
#define XP_STORE_RR_(name, opcode, f3, rs2, offset, rs1, post) name " " #rs2 ", " #offset "(" #rs1 post ")\n"
#define XP_LOOP_(name, f3, loop, rs1, body) name " x" #loop ", " #rs1 ", .+4*(" #body ")\n"
#define XP_LOOP_COUNT_(loop, rs1) "lp.count x" #loop ", " #rs1 "\n"
#define XP_LOOP_LABEL_(name, f3, loop, label) name " x" #loop ", " #label "\n"
#else
#define XP_R_(name, opcode, f3, f7, rd, rs1, rs2) ".insn r " #opcode ", " #f3 ", " #f7 ", " #rd ", " #rs1 ", " #rs2 "\n"
#define XP_R1_(name, opcode, f3, f7, rd, rs1) ".insn r " #opcode ", " #f3 ", " #f7 ", " #rd ", " #rs1 ", x0\n"
#define XP_RI_(name, opcode, f3, f7, rd, rs1, imm) \
  ".insn r " #opcode ", " #f3 ", " #f7 ", " #rd ", " #rs1 ", x" #imm "\n"
#define XP_RRI_(name, opcode, f3, f7, rd, rs1, rs2, imm) \
  ".insn r " #opcode ", " #f3 ", " #f7 "+" #imm ", " #rd ", " #rs1 ", " #rs2 "\n"
#define XP_RII_(name, opcode, f3, f7, rd, rs1, high, low) \
  ".insn r " #opcode ", " #f3 ", " #f7 "+" #high ", " #rd ", " #rs1 ", x" #low "\n"
#define XP_LOAD_(name, f3, rd, imm, rs1) ".insn i 0x0b, " #f3 ", " #rd ", " #rs1 ", " #imm "\n"
#define XP_LOAD_RR_(name, opcode, f7, rd, rs2, rs1, post) \
  ".insn r " #opcode ", 7, " #f7 ", " #rd ", " #rs1 ", " #rs2 "\n"
#define XP_STORE_(name, f3, rs2, imm, rs1) ".insn s 0x2b, " #f3 ", " #rs2 ", " #imm "(" #rs1 ")\n"
#define XP_STORE_RR_(name, opcode, f3, rs2, offset, rs1, post) \
  ".insn r " #opcode ", " #f3 ", 0, " #offset ", " #rs1 ", " #rs2 "\n"
#define XP_LOOP_(name, f3, loop, rs1, body) ".insn i 0x7b, " #f3 ", x" #loop ", " #rs1 ", 2*(" #body ")\n"
#define XP_LOOP_COUNT_(loop, rs1) ".insn i 0x7b, 2, x" #loop ", " #rs1 ", 0\n"
#define XP_LOOP_LABEL_(name, f3, loop, label) \
  ".4byte 0x7b + (" #f3 " << 12) + (" #loop " << 7) + ((" #label " - .) / 2 << 20)\n"
#endif

/* Hardware loops: the next `body` instructions rs1 times (at least once, body >= 2); loop 0 inside loop 1. */
#define XP_LP_SETUP(loop, rs1, body) XP_LOOP_("lp.setup", 4, loop, rs1, body)
#define XP_LP_COUNT(loop, rs1) XP_LOOP_COUNT_(loop, rs1)
/* First and last instruction of the body as labels. */
#define XP_LP_STARTI(loop, label) XP_LOOP_LABEL_("lp.starti", 0, loop, label)
#define XP_LP_ENDI(loop, label) XP_LOOP_LABEL_("lp.endi", 1, loop, label)

/* Loads and stores. */
#define XP_LB_POST(rd, imm, rs1) XP_LOAD_("p.lb", 0, rd, imm, rs1)
#define XP_LBU_POST(rd, imm, rs1) XP_LOAD_("p.lbu", 4, rd, imm, rs1)
#define XP_LHU_POST(rd, imm, rs1) XP_LOAD_("p.lhu", 5, rd, imm, rs1)
#define XP_LW_POST(rd, imm, rs1) XP_LOAD_("p.lw", 2, rd, imm, rs1)
#define XP_LBU_RR(rd, rs2, rs1) XP_LOAD_RR_("p.lbu", 0x03, 0x20, rd, rs2, rs1, "")
#define XP_LW_RR(rd, rs2, rs1) XP_LOAD_RR_("p.lw", 0x03, 0x10, rd, rs2, rs1, "")
#define XP_LBU_RR_POST(rd, rs2, rs1) XP_LOAD_RR_("p.lbu", 0x0b, 0x20, rd, rs2, rs1, "!")
#define XP_LW_RR_POST(rd, rs2, rs1) XP_LOAD_RR_("p.lw", 0x0b, 0x10, rd, rs2, rs1, "!")
#define XP_SB_POST(rs2, imm, rs1) XP_STORE_("p.sb", 0, rs2, imm, rs1)
#define XP_SH_POST(rs2, imm, rs1) XP_STORE_("p.sh", 1, rs2, imm, rs1)
#define XP_SW_POST(rs2, imm, rs1) XP_STORE_("p.sw", 2, rs2, imm, rs1)
#define XP_SB_RR_POST(rs2, offset, rs1) XP_STORE_RR_("p.sb", 0x2b, 4, rs2, offset, rs1, "!")
#define XP_SW_RR_POST(rs2, offset, rs1) XP_STORE_RR_("p.sw", 0x2b, 6, rs2, offset, rs1, "!")
#define XP_SW_RR(rs2, offset, rs1) XP_STORE_RR_("p.sw", 0x23, 6, rs2, offset, rs1, "")

/* Dot products: U unsigned by signed bytes; S adds to rd. */
#define XP_DOTUSP_B(rd, rs1, rs2) XP_R_("pv.dotusp.b", 0x57, 1, 0x44, rd, rs1, rs2)
#define XP_SDOTUSP_B(rd, rs1, rs2) XP_R_("pv.sdotusp.b", 0x57, 1, 0x54, rd, rs1, rs2)
#define XP_DOTUP_B(rd, rs1, rs2) XP_R_("pv.dotup.b", 0x57, 1, 0x40, rd, rs1, rs2)
#define XP_SDOTUP_B(rd, rs1, rs2) XP_R_("pv.sdotup.b", 0x57, 1, 0x50, rd, rs1, rs2)
#define XP_DOTSP_H(rd, rs1, rs2) XP_R_("pv.dotsp.h", 0x57, 0, 0x4c, rd, rs1, rs2)
#define XP_SDOTSP_H(rd, rs1, rs2) XP_R_("pv.sdotsp.h", 0x57, 0, 0x5c, rd, rs1, rs2)

/* Products and sums. */
#define XP_MAC(rd, rs1, rs2) XP_R_("p.mac", 0x33, 0, 0x21, rd, rs1, rs2)
#define XP_MACHHS(rd, rs1, rs2) XP_R_("p.machhs", 0x5b, 1, 0x60, rd, rs1, rs2)
#define XP_MULUN(rd, rs1, rs2, n) XP_RRI_("p.mulun", 0x5b, 0, 0x00, rd, rs1, rs2, n)
#define XP_MACUN(rd, rs1, rs2, n) XP_RRI_("p.macun", 0x5b, 1, 0x00, rd, rs1, rs2, n)
#define XP_ADDNR(rd, rs1, rs2) XP_R_("p.addnr", 0x5b, 2, 0x20, rd, rs1, rs2)
#define XP_ADDRNR(rd, rs1, rs2) XP_R_("p.addrnr", 0x5b, 6, 0x20, rd, rs1, rs2)

/* Limits. */
#define XP_CLIP(rd, rs1, n) XP_RI_("p.clip", 0x33, 1, 0x0a, rd, rs1, n)
#define XP_CLIPU(rd, rs1, n) XP_RI_("p.clipu", 0x33, 2, 0x0a, rd, rs1, n)
#define XP_CLIPUR(rd, rs1, rs2) XP_R_("p.clipur", 0x33, 6, 0x0a, rd, rs1, rs2)
#define XP_MAX(rd, rs1, rs2) XP_R_("p.max", 0x33, 6, 0x02, rd, rs1, rs2)
#define XP_MIN(rd, rs1, rs2) XP_R_("p.min", 0x33, 4, 0x02, rd, rs1, rs2)

/* Bytes and halves in a word. */
#define XP_PACKLO_B(rd, rs1, rs2) XP_R_("pv.packlo.b", 0x57, 1, 0x70, rd, rs1, rs2)
#define XP_PACKHI_B(rd, rs1, rs2) XP_R_("pv.packhi.b", 0x57, 1, 0x6c, rd, rs1, rs2)
#define XP_PACK_H(rd, rs1, rs2) XP_R_("pv.pack.h", 0x57, 0, 0x68, rd, rs1, rs2)
#define XP_SHUFFLE_B(rd, rs1, rs2) XP_R_("pv.shuffle.b", 0x57, 1, 0x60, rd, rs1, rs2)
#define XP_SHUFFLE2_B(rd, rs1, rs2) XP_R_("pv.shuffle2.b", 0x57, 1, 0x64, rd, rs1, rs2)
#define XP_SHUFFLE2_H(rd, rs1, rs2) XP_R_("pv.shuffle2.h", 0x57, 0, 0x64, rd, rs1, rs2)

/* Packed bytes, lane by lane. */
#define XP_ADD_B(rd, rs1, rs2) XP_R_("pv.add.b", 0x57, 1, 0x00, rd, rs1, rs2)
#define XP_MAXU_B(rd, rs1, rs2) XP_R_("pv.maxu.b", 0x57, 1, 0x1c, rd, rs1, rs2)
#define XP_MINU_B(rd, rs1, rs2) XP_R_("pv.minu.b", 0x57, 1, 0x14, rd, rs1, rs2)

#define XP_SLL_B(rd, rs1, rs2) XP_R_("pv.sll.b", 0x57, 1, 0x28, rd, rs1, rs2)
#define XP_SRL_B(rd, rs1, rs2) XP_R_("pv.srl.b", 0x57, 1, 0x20, rd, rs1, rs2)
#define XP_SRA_B(rd, rs1, rs2) XP_R_("pv.sra.b", 0x57, 1, 0x24, rd, rs1, rs2)
#define XP_SRL_H(rd, rs1, rs2) XP_R_("pv.srl.h", 0x57, 0, 0x20, rd, rs1, rs2)

/* Bit fields: bits [low + width_1, low], width_1 being the width less one. */
#define XP_EXTRACT(rd, rs1, width_1, low) XP_RII_("p.extract", 0x33, 0, 0x60, rd, rs1, width_1, low)
#define XP_EXTRACTU(rd, rs1, width_1, low) XP_RII_("p.extractu", 0x33, 1, 0x60, rd, rs1, width_1, low)
#define XP_INSERT(rd, rs1, width_1, low) XP_RII_("p.insert", 0x33, 2, 0x60, rd, rs1, width_1, low)
#define XP_EXTHZ(rd, rs1) XP_R1_("p.exthz", 0x33, 5, 0x08, rd, rs1)

#endif

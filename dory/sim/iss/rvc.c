/* RV32C: each compressed instruction as the 32-bit one it stands for. */
#include "state.h"

static uint32_t bits(uint32_t h, unsigned low, unsigned n) { return (h >> low) & ((1u << n) - 1u); }

static uint32_t enc_i(uint32_t opc, uint32_t f3, uint32_t rd, uint32_t rs1, uint32_t imm) {
  return opc | rd << 7 | f3 << 12 | rs1 << 15 | (imm & 0xfffu) << 20;
}
static uint32_t enc_r(uint32_t f7, uint32_t f3, uint32_t rd, uint32_t rs1, uint32_t rs2) {
  return 0x33u | rd << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | f7 << 25;
}
static uint32_t enc_sw(uint32_t rs2, uint32_t rs1, uint32_t imm) {
  return 0x23u | bits(imm, 0, 5) << 7 | 2u << 12 | rs1 << 15 | rs2 << 20 | bits(imm, 5, 7) << 25;
}
static uint32_t enc_j(uint32_t rd, uint32_t imm) {
  return 0x6fu | rd << 7 | bits(imm, 12, 8) << 12 | bits(imm, 11, 1) << 20 | bits(imm, 1, 10) << 21 |
         bits(imm, 20, 1) << 31;
}
static uint32_t enc_b(uint32_t f3, uint32_t rs1, uint32_t imm) {
  return 0x63u | bits(imm, 11, 1) << 7 | bits(imm, 1, 4) << 8 | f3 << 12 | rs1 << 15 | bits(imm, 5, 6) << 25 |
         bits(imm, 12, 1) << 31;
}

static uint32_t imm6(uint32_t h) {
  uint32_t v = bits(h, 2, 5) | bits(h, 12, 1) << 5;
  return (v & 0x20u) ? v | 0xffffffc0u : v;
}
static uint32_t jump_offset(uint32_t h) {
  uint32_t v = bits(h, 3, 3) << 1 | bits(h, 11, 1) << 4 | bits(h, 2, 1) << 5 | bits(h, 7, 1) << 6 | bits(h, 6, 1) << 7 |
               bits(h, 9, 2) << 8 | bits(h, 8, 1) << 10 | bits(h, 12, 1) << 11;
  return (v & 0x800u) ? v | 0xfffff000u : v;
}
static uint32_t branch_offset(uint32_t h) {
  uint32_t v = bits(h, 3, 2) << 1 | bits(h, 10, 2) << 3 | bits(h, 2, 1) << 5 | bits(h, 5, 2) << 6 | bits(h, 12, 1) << 8;
  return (v & 0x100u) ? v | 0xffffff00u : v;
}

static uint32_t quadrant0(uint32_t h) {
  uint32_t rd = 8 + bits(h, 2, 3), rs1 = 8 + bits(h, 7, 3);
  uint32_t word_offset = bits(h, 10, 3) << 3 | bits(h, 6, 1) << 2 | bits(h, 5, 1) << 6;
  switch (h >> 13) {
    case 0: { /* c.addi4spn */
      uint32_t imm = bits(h, 11, 2) << 4 | bits(h, 7, 4) << 6 | bits(h, 6, 1) << 2 | bits(h, 5, 1) << 3;
      return imm ? enc_i(0x13, 0, rd, 2, imm) : 0;
    }
    case 2: /* c.lw */
      return enc_i(0x03, 2, rd, rs1, word_offset);
    case 6: /* c.sw */
      return enc_sw(rd, rs1, word_offset);
    default:
      return 0;
  }
}

static uint32_t arithmetic(uint32_t h) {
  uint32_t rd = 8 + bits(h, 7, 3), rs2 = 8 + bits(h, 2, 3), shift = bits(h, 2, 5);
  switch (bits(h, 10, 2)) {
    case 0: /* c.srli */
      return bits(h, 12, 1) ? 0 : enc_i(0x13, 5, rd, rd, shift);
    case 1: /* c.srai */
      return bits(h, 12, 1) ? 0 : enc_i(0x13, 5, rd, rd, shift | 0x400u);
    case 2: /* c.andi */
      return enc_i(0x13, 7, rd, rd, imm6(h));
    default:
      if (bits(h, 12, 1)) return 0;
      switch (bits(h, 5, 2)) {
        case 0: /* c.sub */
          return enc_r(0x20, 0, rd, rd, rs2);
        case 1: /* c.xor */
          return enc_r(0, 4, rd, rd, rs2);
        case 2: /* c.or */
          return enc_r(0, 6, rd, rd, rs2);
        default: /* c.and */
          return enc_r(0, 7, rd, rd, rs2);
      }
  }
}

static uint32_t quadrant1(uint32_t h) {
  uint32_t rd = bits(h, 7, 5);
  switch (h >> 13) {
    case 0: /* c.nop, c.addi */
      return enc_i(0x13, 0, rd, rd, imm6(h));
    case 1: /* c.jal */
      return enc_j(1, jump_offset(h));
    case 2: /* c.li */
      return enc_i(0x13, 0, rd, 0, imm6(h));
    case 3:
      if (rd == 2) { /* c.addi16sp */
        uint32_t imm =
            bits(h, 6, 1) << 4 | bits(h, 2, 1) << 5 | bits(h, 5, 1) << 6 | bits(h, 3, 2) << 7 | bits(h, 12, 1) << 9;
        if (imm & 0x200u) imm |= 0xfffffc00u;
        return imm ? enc_i(0x13, 0, 2, 2, imm) : 0;
      }
      return imm6(h) ? 0x37u | rd << 7 | imm6(h) << 12 : 0; /* c.lui */
    case 4:
      return arithmetic(h);
    case 5: /* c.j */
      return enc_j(0, jump_offset(h));
    case 6: /* c.beqz */
      return enc_b(0, 8 + bits(h, 7, 3), branch_offset(h));
    default: /* c.bnez */
      return enc_b(1, 8 + bits(h, 7, 3), branch_offset(h));
  }
}

static uint32_t quadrant2(uint32_t h) {
  uint32_t rd = bits(h, 7, 5), rs2 = bits(h, 2, 5);
  switch (h >> 13) {
    case 0: /* c.slli */
      return bits(h, 12, 1) ? 0 : enc_i(0x13, 1, rd, rd, rs2);
    case 2: /* c.lwsp */
      return rd ? enc_i(0x03, 2, rd, 2, bits(h, 4, 3) << 2 | bits(h, 12, 1) << 5 | bits(h, 2, 2) << 6) : 0;
    case 4:
      if (!bits(h, 12, 1)) {
        if (rs2) return enc_r(0, 0, rd, 0, rs2);  /* c.mv */
        return rd ? enc_i(0x67, 0, 0, rd, 0) : 0; /* c.jr */
      }
      if (rs2) return enc_r(0, 0, rd, rd, rs2);         /* c.add */
      return rd ? enc_i(0x67, 0, 1, rd, 0) : 0x100073u; /* c.jalr, c.ebreak */
    case 6:                                             /* c.swsp */
      return enc_sw(rs2, 2, bits(h, 9, 4) << 2 | bits(h, 7, 2) << 6);
    default:
      return 0;
  }
}

uint32_t iss_expand_compressed(uint32_t half) {
  switch (half & 3u) {
    case 0:
      return quadrant0(half);
    case 1:
      return quadrant1(half);
    case 2:
      return quadrant2(half);
    default:
      return 0;
  }
}

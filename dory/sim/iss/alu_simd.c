/* Packed arithmetic of Xpulp: four bytes or two halves in a register. */
#include "alu.h"

#define ALU(NAME, EXPR)                                                   \
  uint32_t alu_##NAME(uint32_t a, uint32_t b, uint32_t c, uint32_t imm) { \
    (void)a, (void)b, (void)c, (void)imm;                                 \
    return (uint32_t)(EXPR);                                              \
  }

#define BYTES(EXPR)                                      \
  uint32_t y = 0;                                        \
  for (unsigned i = 0; i < 4; i++) {                     \
    int32_t p = sign_byte(a, i), q = sign_byte(b, i);    \
    uint32_t up = zero_byte(a, i), uq = zero_byte(b, i); \
    (void)p, (void)q, (void)up, (void)uq;                \
    y |= ((uint32_t)(EXPR)&0xffu) << (8 * i);            \
  }                                                      \
  return y;
#define HALVES(EXPR)                                     \
  uint32_t y = 0;                                        \
  for (unsigned i = 0; i < 2; i++) {                     \
    int32_t p = sign_half(a, i), q = sign_half(b, i);    \
    uint32_t up = zero_half(a, i), uq = zero_half(b, i); \
    (void)p, (void)q, (void)up, (void)uq;                \
    y |= ((uint32_t)(EXPR)&0xffffu) << (16 * i);         \
  }                                                      \
  return y;
#define SIGNATURE(NAME) uint32_t alu_v_##NAME(uint32_t a, uint32_t b, uint32_t c, uint32_t imm)
/* One lane expression for both shapes: p, q signed and up, uq unsigned lanes; SB(x) and SH(x) re-wrap a lane. */
#define LANES(NAME, BYTE_EXPR, HALF_EXPR) \
  SIGNATURE(NAME##_b) {                   \
    (void)c, (void)imm;                   \
    BYTES(BYTE_EXPR)                      \
  }                                       \
  SIGNATURE(NAME##_h) {                   \
    (void)c, (void)imm;                   \
    HALVES(HALF_EXPR)                     \
  }
#define SAME(NAME, EXPR) LANES(NAME, EXPR, EXPR)
#define SB(X) sign_byte((uint32_t)(X), 0)
#define SH(X) sign_half((uint32_t)(X), 0)
#define UB(X) zero_byte((uint32_t)(X), 0)
#define UH(X) zero_half((uint32_t)(X), 0)
#define FLOOR(X, N) shift_right_signed((uint32_t)(X), (N))

SAME(add, up + uq)
SAME(sub, up - uq)
LANES(avg, FLOOR(SB(up + uq), 1), FLOOR(SH(up + uq), 1))
LANES(avgu, UB(up + uq) >> 1, UH(up + uq) >> 1)
LANES(add_div2, FLOOR(SB(up + uq), 1), FLOOR(SH(up + uq), 1))
LANES(add_div4, FLOOR(SB(up + uq), 2), FLOOR(SH(up + uq), 2))
LANES(sub_div2, FLOOR(SB(up - uq), 1), FLOOR(SH(up - uq), 1))
LANES(sub_div4, FLOOR(SB(up - uq), 2), FLOOR(SH(up - uq), 2))
SAME(min, p < q ? p : q)
SAME(minu, up < uq ? up : uq)
SAME(max, p > q ? p : q)
SAME(maxu, up > uq ? up : uq)
LANES(srl, up >> (uq & 7u), up >> (uq & 15u))
LANES(sra, FLOOR(p, uq & 7u), FLOOR(p, uq & 15u))
LANES(sll, up << (uq & 7u), up << (uq & 15u))
SAME(or, up | uq)
SAME(xor, up ^ uq)
SAME(and, up &uq)
SAME(abs, p < 0 ? 0u - up : up)
SAME(cmpeq, up == uq ? UINT32_MAX : 0u)
SAME(cmpne, up != uq ? UINT32_MAX : 0u)
SAME(cmpgt, p > q ? UINT32_MAX : 0u)
SAME(cmpge, p >= q ? UINT32_MAX : 0u)
SAME(cmplt, p < q ? UINT32_MAX : 0u)
SAME(cmple, p <= q ? UINT32_MAX : 0u)
SAME(cmpgtu, up > uq ? UINT32_MAX : 0u)
SAME(cmpgeu, up >= uq ? UINT32_MAX : 0u)
SAME(cmpltu, up < uq ? UINT32_MAX : 0u)
SAME(cmpleu, up <= uq ? UINT32_MAX : 0u)

/* Dot products: the first letter after "dot" is rs1's sign, the next, if there is one, rs2's. */
#define DOT_B(P, Q)                                                                                                    \
  ((uint32_t)(P##_byte(a, 0)) * (uint32_t)(Q##_byte(b, 0)) + (uint32_t)(P##_byte(a, 1)) * (uint32_t)(Q##_byte(b, 1)) + \
   (uint32_t)(P##_byte(a, 2)) * (uint32_t)(Q##_byte(b, 2)) + (uint32_t)(P##_byte(a, 3)) * (uint32_t)(Q##_byte(b, 3)))
#define DOT_H(P, Q) \
  ((uint32_t)(P##_half(a, 0)) * (uint32_t)(Q##_half(b, 0)) + (uint32_t)(P##_half(a, 1)) * (uint32_t)(Q##_half(b, 1)))
ALU(v_dotup_b, DOT_B(zero, zero))
ALU(v_dotusp_b, DOT_B(zero, sign))
ALU(v_dotsp_b, DOT_B(sign, sign))
ALU(v_sdotup_b, c + DOT_B(zero, zero))
ALU(v_sdotusp_b, c + DOT_B(zero, sign))
ALU(v_sdotsp_b, c + DOT_B(sign, sign))
ALU(v_dotup_h, DOT_H(zero, zero))
ALU(v_dotusp_h, DOT_H(zero, sign))
ALU(v_dotsp_h, DOT_H(sign, sign))
ALU(v_sdotup_h, c + DOT_H(zero, zero))
ALU(v_sdotusp_h, c + DOT_H(zero, sign))
ALU(v_sdotsp_h, c + DOT_H(sign, sign))

/* Single lanes: imm is the lane. */
ALU(v_extract_b, sign_byte(a, imm & 3u))
ALU(v_extract_h, sign_half(a, imm & 1u))
ALU(v_extractu_b, zero_byte(a, imm & 3u))
ALU(v_extractu_h, zero_half(a, imm & 1u))
ALU(v_insert_b, (c & ~(0xffu << (8 * (imm & 3u)))) | ((a & 0xffu) << (8 * (imm & 3u))))
ALU(v_insert_h, (c & ~(0xffffu << (16 * (imm & 1u)))) | ((a & 0xffffu) << (16 * (imm & 1u))))

/* Shuffles: b's lanes select among a's lanes (bit 2 of a byte lane, bit 1 of a half lane: a, else c). */
LANES(shuffle, zero_byte(a, uq & 3u), zero_half(a, uq & 1u))
SIGNATURE(shuffle2_b) {
  (void)imm;
  BYTES(zero_byte((uq & 4u) ? a : c, uq & 3u))
}
SIGNATURE(shuffle2_h) {
  (void)imm;
  HALVES(zero_half((uq & 2u) ? a : c, uq & 1u))
}
ALU(shuffle_sci_h, zero_half(a, imm & 1u) | (zero_half(a, (imm >> 1) & 1u) << 16))

/* pv.shuffleiN.sci.b: byte 3 is rs1's byte N, two bits of the immediate select each other byte. */
static uint32_t shuffle_low3(uint32_t a, uint32_t imm, unsigned top) {
  return zero_byte(a, imm & 3u) | zero_byte(a, (imm >> 2) & 3u) << 8 | zero_byte(a, (imm >> 4) & 3u) << 16 |
         zero_byte(a, top) << 24;
}
ALU(shufflei0_b, shuffle_low3(a, imm, 0))
ALU(shufflei1_b, shuffle_low3(a, imm, 1))
ALU(shufflei2_b, shuffle_low3(a, imm, 2))
ALU(shufflei3_b, shuffle_low3(a, imm, 3))

ALU(pack_h, zero_half(a, 0) << 16 | zero_half(b, 0))
ALU(pack_hh, zero_half(a, 1) << 16 | zero_half(b, 1))
ALU(packhi_b, (c & 0x0000ffffu) | zero_byte(a, 0) << 24 | zero_byte(b, 0) << 16)
ALU(packlo_b, (c & 0xffff0000u) | zero_byte(a, 0) << 8 | zero_byte(b, 0))

/* Complex numbers in Q15: real part in half 0, imaginary part in half 1. */
static uint32_t complex_multiply(uint32_t a, uint32_t b, uint32_t shift) {
  uint32_t re = (uint32_t)(sign_half(a, 0) * sign_half(b, 0)) - (uint32_t)(sign_half(a, 1) * sign_half(b, 1));
  uint32_t im = (uint32_t)(sign_half(a, 0) * sign_half(b, 1)) + (uint32_t)(sign_half(a, 1) * sign_half(b, 0));
  return (shift_right_signed(re, shift) & 0xffffu) | shift_right_signed(im, shift) << 16;
}
static uint32_t subtract_rotate(uint32_t a, uint32_t b, uint32_t shift) {
  int32_t re = SH(zero_half(a, 1) - zero_half(b, 1)), im = SH(zero_half(b, 0) - zero_half(a, 0));
  return (FLOOR(re, shift) & 0xffffu) | FLOOR(im, shift) << 16;
}
ALU(cplxmul, complex_multiply(a, b, 15))
ALU(cplxmul_div2, complex_multiply(a, b, 16))
ALU(cplxmul_div4, complex_multiply(a, b, 17))
/* The scalar forms as the vendor's simulator has them: the scalar is not cut to 16 bits, nor is the real part. */
ALU(cplxmul_sc, shift_right_signed((uint32_t)sign_half(a, 0) * b - (uint32_t)sign_half(a, 1) * b, 15) |
                    shift_right_signed((uint32_t)sign_half(a, 0) * b + (uint32_t)sign_half(a, 1) * b, 15) << 16)
ALU(cplxconj, zero_half(a, 0) | (0u - zero_half(a, 1)) << 16)
ALU(subrotmj, subtract_rotate(a, b, 0))
ALU(subrotmj_div2, subtract_rotate(a, b, 1))
ALU(subrotmj_div4, subtract_rotate(a, b, 2))

/* Viterbi: max leaves one decision bit per half behind, which the core keeps and hands to sel in imm. */
ALU(vitop_max, alu_v_max_h(a, b, c, imm))
ALU(vitop_sel, ((zero_half((imm & 1u) ? b : a, 0) << 1 | (imm & 1u)) & 0xffffu) |
                   (zero_half((imm & 2u) ? b : a, 1) << 1 | (imm >> 1 & 1u)) << 16)

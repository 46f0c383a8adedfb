/* Scalar arithmetic of RV32IM and Xpulp. */
#include "alu.h"

#define ALU(NAME, EXPR)                                                   \
  uint32_t alu_##NAME(uint32_t a, uint32_t b, uint32_t c, uint32_t imm) { \
    (void)a, (void)b, (void)c, (void)imm;                                 \
    return (uint32_t)(EXPR);                                              \
  }

ALU(add, a + b)
ALU(sub, a - b)
ALU(sll, a << (b & 31u))
ALU(slt, as_signed(a) < as_signed(b))
ALU(sltu, a < b)
ALU(xor, a ^ b)
ALU(srl, a >> (b & 31u))
ALU(sra, shift_right_signed(a, b & 31u))
ALU(or, a | b)
ALU(and, a &b)

ALU(mul, a *b)
ALU(mulh, (uint64_t)((int64_t)as_signed(a) * as_signed(b)) >> 32)
ALU(mulhsu, (uint64_t)((int64_t)as_signed(a) * (int64_t)b) >> 32)
ALU(mulhu, ((uint64_t)a * b) >> 32)

/* Division by zero and overflow give the values RISC-V defines. */
static uint32_t divide(uint32_t a, uint32_t b, int remainder) {
  if (b == 0) return remainder ? a : UINT32_MAX;
  if (a == 0x80000000u && b == UINT32_MAX) return remainder ? 0 : a;
  return (uint32_t)(remainder ? as_signed(a) % as_signed(b) : as_signed(a) / as_signed(b));
}
ALU(div, divide(a, b, 0))
ALU(rem, divide(a, b, 1))
ALU(divu, b == 0 ? UINT32_MAX : a / b)
ALU(remu, b == 0 ? a : a % b)

/* 16 x 16 products of the low or high halves, optionally accumulated, rounded and shifted right. */
#define SLO ((uint32_t)(sign_half(a, 0) * sign_half(b, 0)))
#define SHI ((uint32_t)(sign_half(a, 1) * sign_half(b, 1)))
#define ULO (zero_half(a, 0) * zero_half(b, 0))
#define UHI (zero_half(a, 1) * zero_half(b, 1))
static uint32_t half_ulp(uint32_t n) { return n ? 1u << (n - 1u) : 0u; }

ALU(mac, c + a * b)
ALU(msu, c - a * b)
ALU(muls, SLO)
ALU(mulu, ULO)
ALU(mulhhs, SHI)
ALU(mulhhu, UHI)
ALU(macs, c + SLO)
ALU(macu, c + ULO)
ALU(machhs, c + SHI)
ALU(machhu, c + UHI)
ALU(mulsn, shift_right_signed(SLO, imm))
ALU(mulun, ULO >> imm)
ALU(mulhhsn, shift_right_signed(SHI, imm))
ALU(mulhhun, UHI >> imm)
ALU(macsn, shift_right_signed(c + SLO, imm))
ALU(macun, (c + ULO) >> imm)
ALU(machhsn, shift_right_signed(c + SHI, imm))
ALU(machhun, (c + UHI) >> imm)
ALU(mulsrn, shift_right_signed(SLO + half_ulp(imm), imm))
ALU(mulurn, (ULO + half_ulp(imm)) >> imm)
ALU(mulhhsrn, shift_right_signed(SHI + half_ulp(imm), imm))
ALU(mulhhurn, (UHI + half_ulp(imm)) >> imm)
ALU(macsrn, shift_right_signed(c + SLO + half_ulp(imm), imm))
ALU(macurn, (c + ULO + half_ulp(imm)) >> imm)
ALU(machhsrn, shift_right_signed(c + SHI + half_ulp(imm), imm))
ALU(machhurn, (c + UHI + half_ulp(imm)) >> imm)

/* Sums normalised by a shift; the ...r forms accumulate into rd and take the shift from rs2. */
ALU(addn, shift_right_signed(a + b, imm))
ALU(addun, (a + b) >> imm)
ALU(addrn, shift_right_signed(a + b + half_ulp(imm), imm))
ALU(addurn, (a + b + half_ulp(imm)) >> imm)
ALU(subn, shift_right_signed(a - b, imm))
ALU(subun, (a - b) >> imm)
ALU(subrn, shift_right_signed(a - b + half_ulp(imm), imm))
ALU(suburn, (a - b + half_ulp(imm)) >> imm)
ALU(addnr, shift_right_signed(c + a, b & 31u))
ALU(addunr, (c + a) >> (b & 31u))
ALU(addrnr, shift_right_signed(c + a + half_ulp(b & 31u), b & 31u))
ALU(addurnr, (c + a + half_ulp(b & 31u)) >> (b & 31u))
ALU(subnr, shift_right_signed(c - a, b & 31u))
ALU(subunr, (c - a) >> (b & 31u))
ALU(subrnr, shift_right_signed(c - a + half_ulp(b & 31u), b & 31u))
ALU(suburnr, (c - a + half_ulp(b & 31u)) >> (b & 31u))

ALU(abs, (a & 0x80000000u) ? 0u - a : a)
ALU(slet, as_signed(a) <= as_signed(b))
ALU(sletu, a <= b)
ALU(min, as_signed(a) < as_signed(b) ? a : b)
ALU(minu, a < b ? a : b)
ALU(max, as_signed(a) > as_signed(b) ? a : b)
ALU(maxu, a > b ? a : b)
ALU(ror, (b & 31u) ? (a >> (b & 31u)) | (a << (32u - (b & 31u))) : a)

ALU(ff1, a ? (uint32_t)__builtin_ctz(a) : 32u)
ALU(fl1, a ? 31u - (uint32_t)__builtin_clz(a) : 32u)
ALU(cnt, __builtin_popcount(a))
/* Leading bits equal to the sign, the sign itself not counted; 0 for 0. */
ALU(clb, a == 0 ? 0u : a == UINT32_MAX ? 31u : (uint32_t)__builtin_clz(as_signed(a) < 0 ? ~a : a) - 1u)

ALU(exths, sign_half(a, 0))
ALU(exthz, zero_half(a, 0))
ALU(extbs, sign_byte(a, 0))
ALU(extbz, zero_byte(a, 0))

static uint32_t clamp(uint32_t x, int32_t low, int32_t high) {
  int32_t v = as_signed(x);
  return (uint32_t)(v < low ? low : v > high ? high : v);
}
ALU(clip, clamp(a, imm ? -(int32_t)(1u << (imm - 1u)) : -1, imm ? (int32_t)((1u << (imm - 1u)) - 1u) : 0))
ALU(clipu, clamp(a, 0, imm ? (int32_t)((1u << (imm - 1u)) - 1u) : 0))
ALU(clipr, clamp(a, as_signed(~b), as_signed(b)))
ALU(clipur, clamp(a, 0, as_signed(b)))

/* Bit fields. imm, or rs2 in the ...r forms, is (size - 1) << 5 | offset. */
static uint32_t field_mask(uint32_t spec) {
  uint32_t size = ((spec >> 5) & 31u) + 1u;
  return size == 32u ? UINT32_MAX : (1u << size) - 1u;
}
static uint32_t extract_signed(uint32_t a, uint32_t spec) {
  uint32_t size = ((spec >> 5) & 31u) + 1u, unused = 32u - size;
  return shift_right_signed(shift_right_signed(a, spec & 31u) << unused, unused);
}
ALU(extract, extract_signed(a, imm))
ALU(extractu, (a >> (imm & 31u)) & field_mask(imm))
ALU(insert, (c & ~(field_mask(imm) << (imm & 31u))) | ((a & field_mask(imm)) << (imm & 31u)))
ALU(bclr, a & ~(field_mask(imm) << (imm & 31u)))
ALU(bset, a | (field_mask(imm) << (imm & 31u)))
ALU(extractr, extract_signed(a, b))
ALU(extractur, (a >> (b & 31u)) & field_mask(b))
ALU(insertr, (c & ~(field_mask(b) << (b & 31u))) | ((a & field_mask(b)) << (b & 31u)))
ALU(bclrr, a & ~(field_mask(b) << (b & 31u)))
ALU(bsetr, a | (field_mask(b) << (b & 31u)))

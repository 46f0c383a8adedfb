/* Pure functions of an instruction's operands: a = rs1, b = rs2 or its replacement (immediate, replicated lane),
 * c = old rd, imm = decoded immediate. Everything that is not a memory access, a jump or a system instruction is one
 * of these; decoding binds it to the instruction. */
#ifndef DORY_ISS_ALU_H
#define DORY_ISS_ALU_H

#include <stdint.h>

typedef uint32_t iss_alu(uint32_t a, uint32_t b, uint32_t c, uint32_t imm);
typedef iss_alu *iss_alu_fn;

/* Scalar. */
iss_alu alu_add, alu_sub, alu_sll, alu_slt, alu_sltu, alu_xor, alu_srl, alu_sra, alu_or, alu_and, alu_mul, alu_mulh,
    alu_mulhsu, alu_mulhu, alu_div, alu_divu, alu_rem, alu_remu, alu_mac, alu_msu, alu_muls, alu_mulu, alu_mulhhs,
    alu_mulhhu, alu_macs, alu_macu, alu_machhs, alu_machhu, alu_mulsn, alu_mulun, alu_mulhhsn, alu_mulhhun, alu_macsn,
    alu_macun, alu_machhsn, alu_machhun, alu_mulsrn, alu_mulurn, alu_mulhhsrn, alu_mulhhurn, alu_macsrn, alu_macurn,
    alu_machhsrn, alu_machhurn, alu_addn, alu_addun, alu_addrn, alu_addurn, alu_subn, alu_subun, alu_subrn, alu_suburn,
    alu_addnr, alu_addunr, alu_addrnr, alu_addurnr, alu_subnr, alu_subunr, alu_subrnr, alu_suburnr, alu_abs, alu_slet,
    alu_sletu, alu_min, alu_minu, alu_max, alu_maxu, alu_ror, alu_ff1, alu_fl1, alu_clb, alu_cnt, alu_exths, alu_exthz,
    alu_extbs, alu_extbz, alu_clip, alu_clipu, alu_clipr, alu_clipur, alu_extract, alu_extractu, alu_insert, alu_bclr,
    alu_bset, alu_extractr, alu_extractur, alu_insertr, alu_bclrr, alu_bsetr;
/* Packed, in the shapes .h and .b. */
iss_alu alu_v_add_h, alu_v_add_b, alu_v_sub_h, alu_v_sub_b, alu_v_avg_h, alu_v_avg_b, alu_v_avgu_h, alu_v_avgu_b,
    alu_v_min_h, alu_v_min_b, alu_v_minu_h, alu_v_minu_b, alu_v_max_h, alu_v_max_b, alu_v_maxu_h, alu_v_maxu_b,
    alu_v_srl_h, alu_v_srl_b, alu_v_sra_h, alu_v_sra_b, alu_v_sll_h, alu_v_sll_b, alu_v_or_h, alu_v_or_b, alu_v_xor_h,
    alu_v_xor_b, alu_v_and_h, alu_v_and_b, alu_v_cmpeq_h, alu_v_cmpeq_b, alu_v_cmpne_h, alu_v_cmpne_b, alu_v_cmpgt_h,
    alu_v_cmpgt_b, alu_v_cmpge_h, alu_v_cmpge_b, alu_v_cmplt_h, alu_v_cmplt_b, alu_v_cmple_h, alu_v_cmple_b,
    alu_v_cmpgtu_h, alu_v_cmpgtu_b, alu_v_cmpgeu_h, alu_v_cmpgeu_b, alu_v_cmpltu_h, alu_v_cmpltu_b, alu_v_cmpleu_h,
    alu_v_cmpleu_b, alu_v_dotup_h, alu_v_dotup_b, alu_v_dotusp_h, alu_v_dotusp_b, alu_v_dotsp_h, alu_v_dotsp_b,
    alu_v_sdotup_h, alu_v_sdotup_b, alu_v_sdotusp_h, alu_v_sdotusp_b, alu_v_sdotsp_h, alu_v_sdotsp_b, alu_v_add_div2_h,
    alu_v_add_div2_b, alu_v_add_div4_h, alu_v_add_div4_b, alu_v_sub_div2_h, alu_v_sub_div2_b, alu_v_sub_div4_h,
    alu_v_sub_div4_b, alu_v_abs_h, alu_v_abs_b, alu_v_extract_h, alu_v_extract_b, alu_v_extractu_h, alu_v_extractu_b,
    alu_v_insert_h, alu_v_insert_b, alu_v_shuffle_h, alu_v_shuffle_b, alu_v_shuffle2_h, alu_v_shuffle2_b;
/* Packed, in one shape. */
iss_alu alu_pack_h, alu_pack_hh, alu_packhi_b, alu_packlo_b, alu_shuffle_sci_h, alu_shufflei0_b, alu_shufflei1_b,
    alu_shufflei2_b, alu_shufflei3_b, alu_cplxconj, alu_cplxmul, alu_cplxmul_div2, alu_cplxmul_div4, alu_cplxmul_sc,
    alu_subrotmj, alu_subrotmj_div2, alu_subrotmj_div4, alu_vitop_max, alu_vitop_sel;

/* Two's-complement helpers without undefined or implementation-defined steps that matter. */
static inline int32_t as_signed(uint32_t x) { return (int32_t)x; }

static inline uint32_t shift_right_signed(uint32_t x, uint32_t n) { return (x & 0x80000000u) ? ~(~x >> n) : x >> n; }

static inline int32_t sign_byte(uint32_t x, unsigned lane) { return (int8_t)(uint8_t)(x >> (8 * lane)); }
static inline uint32_t zero_byte(uint32_t x, unsigned lane) { return (x >> (8 * lane)) & 0xffu; }
static inline int32_t sign_half(uint32_t x, unsigned lane) { return (int16_t)(uint16_t)(x >> (16 * lane)); }
static inline uint32_t zero_half(uint32_t x, unsigned lane) { return (x >> (16 * lane)) & 0xffffu; }

#endif

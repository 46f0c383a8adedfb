/* Bytes to unsigned elements of 4 or 2 bits, which hold them. */
#include "dory_common.h"
#include "dory_subbyte.h"
#include "xpulp_asm.h"

/* `words` words of eight elements; the instructions are 8 for each. */
static void pack4(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t a, b, c, d;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 8)  //
                   XP_LW_POST(%[a], 4, %[from]) XP_LW_POST(%[b], 4, %[from])                               //
                   "srli %[c], %[a], 4\n" "or %[a], %[a], %[c]\n"                                          //
                   "srli %[d], %[b], 4\n" "or %[b], %[b], %[d]\n"                                          //
                   XP_SHUFFLE2_B(%[a], %[b], %[order]) XP_SW_POST(%[a], 4, %[to]) XP_END                   //
                   : [to] "+r"(to), [from] "+r"(from), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)  //
                   : [n] "r"(words), [order] "r"(0x06040200)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++, from += 2) to[i] = (uint8_t)(from[0] | from[1] << 4);
#endif
}

/* `words` words of sixteen elements; the instructions are 11 for each. */
static void pack2(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t a, b, c, d;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 11)  //
                   XP_LW_POST(%[a], 4, %[from]) XP_LW_POST(%[b], 4, %[from])                                   //
                   XP_LW_POST(%[c], 4, %[from]) XP_LW_POST(%[d], 4, %[from])                                   //
                   XP_DOTUP_B(%[a], %[a], %[places]) XP_DOTUP_B(%[b], %[b], %[places])                         //
                   XP_DOTUP_B(%[c], %[c], %[places]) XP_DOTUP_B(%[d], %[d], %[places])                         //
                   XP_PACKLO_B(%[a], %[b], %[a]) XP_PACKHI_B(%[a], %[d], %[c])                                 //
                   XP_SW_POST(%[a], 4, %[to]) XP_END                                                           //
                   : [to] "+r"(to), [from] "+r"(from), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)  //
                   : [n] "r"(words), [places] "r"(0x40100401)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++, from += 4) {
    to[i] = (uint8_t)(from[0] | from[1] << 2 | from[2] << 4 | from[3] << 6);
  }
#endif
}

/* Elements that begin a byte; what fills up the last byte is 0. */
static void pack(uint8_t *to, const uint8_t *from, int32_t elements, int32_t bits) {
  const int32_t per = bits == 4 ? 3 : 4, words = elements >> per; /* elements of a word, as a power of two */
  if (bits == 4) {
    pack4(to, from, words);
  } else {
    pack2(to, from, words);
  }
  uint8_t *byte = to + 4 * words;
  for (int32_t i = words << per; i < elements; byte++) {
    uint32_t v = 0;
    for (int32_t at = 0; at < 8 && i < elements; at += bits, i++) v |= (uint32_t)from[i] << at;
    *byte = (uint8_t)v;
  }
}

void dory_pack(const void *args) {
  const dory_repack_args_t *a = args;
  const int32_t bits = a->bits;
  if (a->rows == 1) { /* in shares of whole words */
    const int32_t per = bits == 4 ? 3 : 4;
    const dory_share_t words = dory_share((a->elements + (1 << per) - 1) >> per);
    if (words.from == words.to) return;
    const int32_t from = words.from << per, to = dory_lesser(words.to << per, a->elements);
    pack(a->to + 4 * words.from, a->from + from, to - from, bits);
    return;
  }
  const int32_t line = dory_packed_bytes(a->elements, bits);
  const dory_share_t rows = dory_share(a->rows);
  for (int32_t r = rows.from; r < rows.to; r++) pack(a->to + r * line, a->from + r * a->elements, a->elements, bits);
}

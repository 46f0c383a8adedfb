/* Unsigned elements of 4 or 2 bits to bytes. */
#include "dory_common.h"
#include "dory_subbyte.h"
#include "xpulp_asm.h"

/* The last word's body is behind the loop, so that no load reads behind it; the others load the next word. */
/* clang-format off */
#define FOUR(load)                                                                                         \
  XP_SRL_B(%[high], %[v], %[four])                                                                      \
  "and %[low], %[v], %[mask]\n" load "mv %[second], %[low]\n" XP_SHUFFLE2_B(%[low], %[high], %[order0]) \
      XP_SHUFFLE2_B(%[second], %[high], %[order1]) XP_SW_POST(%[low], 4, %[to]) XP_SW_POST(%[second], 4, %[to])
/* clang-format on */

/* `words` words of eight elements; the instructions are 8 for each. */
static void unpack4(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t v, low, high, second;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LW_POST(%[v], 4, %[from]) "beqz %[n], 1f\n" XP_LP_SETUP(0, %[n], 8)              //
                   FOUR(XP_LW_POST(%[v], 4, %[from])) "1:\n" FOUR("") XP_END                                    //
                   : [to] "+r"(to), [from] "+r"(from), [v] "=&r"(v), [low] "=&r"(low), [high] "=&r"(high),      //
                     [second] "=&r"(second)
                   : [n] "r"(words - 1), [four] "r"(0x04040404), [mask] "r"(0x0f0f0f0f), [order0] "r"(0x05010400),  //
                     [order1] "r"(0x07030602)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++, to += 2) {
    to[0] = from[i] & 15;
    to[1] = (uint8_t)(from[i] >> 4);
  }
#endif
}

/* `words` words of sixteen elements; the instructions are 17 for each. */
static void unpack2(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t v, a, b;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 17)  //
                   XP_LW_POST(%[v], 4, %[from])                                                        //
                   XP_SHUFFLE_B(%[a], %[v], %[one0]) XP_SHUFFLE_B(%[b], %[v], %[one1])                 //
                   XP_SRL_B(%[a], %[a], %[shifts]) XP_SRL_B(%[b], %[b], %[shifts])                     //
                   "and %[a], %[a], %[mask]\n" "and %[b], %[b], %[mask]\n"                             //
                   XP_SW_POST(%[a], 4, %[to]) XP_SW_POST(%[b], 4, %[to])                               //
                   XP_SHUFFLE_B(%[a], %[v], %[one2]) XP_SHUFFLE_B(%[b], %[v], %[one3])                 //
                   XP_SRL_B(%[a], %[a], %[shifts]) XP_SRL_B(%[b], %[b], %[shifts])                     //
                   "and %[a], %[a], %[mask]\n" "and %[b], %[b], %[mask]\n"                             //
                   XP_SW_POST(%[a], 4, %[to]) XP_SW_POST(%[b], 4, %[to]) XP_END                        //
                   : [to] "+r"(to), [from] "+r"(from), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b)        //
                   : [n] "r"(words), [shifts] "r"(0x06040200), [mask] "r"(0x03030303), [one0] "r"(0),  //
                     [one1] "r"(0x01010101), [one2] "r"(0x02020202), [one3] "r"(0x03030303)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++, to += 4) {
    for (int32_t k = 0; k < 4; k++) to[k] = from[i] >> (2 * k) & 3;
  }
#endif
}

/* Elements that begin a byte. */
static void unpack(uint8_t *to, const uint8_t *from, int32_t elements, int32_t bits) {
  const int32_t per = bits == 4 ? 3 : 4, words = elements >> per; /* elements of a word, as a power of two */
  if (bits == 4) {
    unpack4(to, from, words);
  } else {
    unpack2(to, from, words);
  }
  for (int32_t i = words << per; i < elements; i++) {
    const int32_t at = i * bits;
    to[i] = (uint8_t)(from[at >> 3] >> (at & 7) & ((1 << bits) - 1));
  }
}

void dory_unpack(const void *args) {
  const dory_repack_args_t *a = args;
  const int32_t bits = a->bits;
  if (a->rows == 1) { /* in shares of whole words */
    const int32_t per = bits == 4 ? 3 : 4;
    const dory_share_t words = dory_share((a->elements + (1 << per) - 1) >> per);
    if (words.from == words.to) return;
    const int32_t from = words.from << per, to = dory_lesser(words.to << per, a->elements);
    unpack(a->to + from, a->from + 4 * words.from, to - from, bits);
    return;
  }
  const int32_t line = dory_packed_bytes(a->elements, bits);
  const dory_share_t rows = dory_share(a->rows);
  for (int32_t r = rows.from; r < rows.to; r++) unpack(a->to + r * a->elements, a->from + r * line, a->elements, bits);
}

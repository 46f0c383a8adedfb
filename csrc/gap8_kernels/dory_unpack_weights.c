/* Signed weights of 4 or 2 bits to bytes, and the constants around them. */
#include "dory_common.h"
#include "dory_subbyte.h"
#include "xpulp_asm.h"

/* The last word's body is behind the loop, so that no load reads behind it; the others load the next word. */
/* clang-format off */
#define FOUR(load)                                                                                    \
  XP_SLL_B(%[a], %[v], %[four])                                                                    \
  XP_SRA_B(%[b], %[v], %[four]) load XP_SRA_B(%[a], %[a], %[four]) XP_SW_POST(%[a], 4, %[to]) \
      XP_SW_POST(%[b], 4, %[to])
#define TWO(load)                                                                                          \
  XP_SLL_B(%[a], %[v], %[six])                                                                          \
  XP_SLL_B(%[b], %[v], %[four]) XP_SLL_B(%[c], %[v], %[two]) XP_SRA_B(%[d], %[v], %[six])         \
      load XP_SRA_B(%[a], %[a], %[six]) XP_SRA_B(%[b], %[b], %[six]) XP_SRA_B(%[c], %[c], %[six]) \
          XP_SW_POST(%[a], 4, %[to]) XP_SW_POST(%[b], 4, %[to]) XP_SW_POST(%[c], 4, %[to])           \
              XP_SW_POST(%[d], 4, %[to])
/* clang-format on */

/* `words` packed words, two unpacked ones each; the instructions are 6 for each. */
static void unpack4(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t v, a, b;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LW_POST(%[v], 4, %[from]) "beqz %[n], 1f\n" XP_LP_SETUP(0, %[n], 6)  //
                   FOUR(XP_LW_POST(%[v], 4, %[from])) "1:\n" FOUR("") XP_END                         //
                   : [to] "+r"(to), [from] "+r"(from), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b)      //
                   : [n] "r"(words - 1), [four] "r"(0x04040404)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++) {
    const int32_t at = (i >> 2) * 8 + (i & 3);
    to[at] = (uint8_t)(((from[i] & 15) ^ 8) - 8);
    to[at + 4] = (uint8_t)(((from[i] >> 4) ^ 8) - 8);
  }
#endif
}

/* `words` packed words, four unpacked ones each; the instructions are 12 for each. */
static void unpack2(uint8_t *to, const uint8_t *from, int32_t words) {
  if (words == 0) return;
#if defined(__riscv)
  uint32_t v, a, b, c, d;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LW_POST(%[v], 4, %[from]) "beqz %[n], 1f\n" XP_LP_SETUP(0, %[n], 12)  //
                   TWO(XP_LW_POST(%[v], 4, %[from])) "1:\n" TWO("") XP_END                            //
                   : [to] "+r"(to), [from] "+r"(from), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b),      //
                     [c] "=&r"(c), [d] "=&r"(d)
                   : [n] "r"(words - 1), [two] "r"(0x02020202), [four] "r"(0x04040404), [six] "r"(0x06060606)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++) {
    const int32_t at = (i >> 2) * 16 + (i & 3);
    for (int32_t k = 0; k < 4; k++) to[at + 4 * k] = (uint8_t)(((from[i] >> (2 * k) & 3) ^ 2) - 2);
  }
#endif
}

/* Unpacked words that do not fill a packed one. */
static void unpack_rest(uint8_t *to, const uint8_t *from, int32_t bytes, int32_t bits) {
  const int32_t sign = 1 << (bits - 1), mask = 2 * sign - 1;
  for (int32_t i = 0; i < bytes; i++) to[i] = (uint8_t)(((from[i & 3] >> (i >> 2) * bits & mask) ^ sign) - sign);
}

/* Packed words [first, end) of a unit's weights. */
static void unpack(const dory_unpack_weights_args_t *a, uint8_t *to, const uint8_t *from, int32_t first, int32_t end) {
  const int32_t wide = a->bits == 4 ? 8 : 16; /* unpacked bytes of a packed word */
  const int32_t rest = a->body - wide * (end - 1);
  const int32_t words = end - first - (rest < wide);
  to += first * wide;
  from += 4 * first;
  if (a->bits == 4) {
    unpack4(to, from, words);
  } else {
    unpack2(to, from, words);
  }
  if (rest < wide) unpack_rest(to + words * wide, from + 4 * words, rest, a->bits);
}

/* The words of all units are cut into equal shares; constants come with the first word. */
void dory_unpack_weights(const void *args) {
  const dory_unpack_weights_args_t *a = args;
  const int32_t packed = dory_packed_unit(a), wide = a->head + a->body + a->tail;
  const int32_t words = (packed - a->head - a->tail) >> 2;
  dory_share_t mine = dory_share(a->units * words);
  if (mine.from == mine.to) return;
  int32_t unit = mine.from / words, first = dory_rest(mine.from, unit, words);
  for (int32_t left = mine.to - mine.from; left > 0; unit++, first = 0) {
    const uint8_t *from = a->from + unit * packed;
    uint8_t *to = a->to + unit * wide;
    const int32_t end = dory_lesser(words, first + left);
    if (first == 0) {
      dory_copy(to, from, a->head);
      dory_copy(to + wide - a->tail, from + packed - a->tail, a->tail);
    }
    unpack(a, to + a->head, from + a->head, first, end);
    left -= end - first;
  }
}

/* Sum of two tensors of different scales, on a common grid. */
#include "dory_common.h"
#include "xpulp_asm.h"

#if defined(__riscv)
/* clang-format off */
#define A_AND(rd, rs1, rs2) "and " #rd ", " #rs1 ", " #rs2 "\n"
/* One output of a pair of halves [a, b]: the sum of products, the bias and the shift, the limits. */
#define A_FINISH(v) XP_DOTSP_H(v, v, %[mults])
#define A_ROUND(v) XP_ADDNR(v, %[bias], %[shift])
#define A_LIMIT(v) XP_CLIPUR(v, v, %[reach])

/* 23 instructions for four outputs: bytes to pairs of halves [a, b], one dot product each. LAST is what is done with the
 * word of outputs, BODY the number of all instructions. */
#define A_LOOP(BODY, LAST)                                                                                  \
  XP_BEGIN XP_LP_SETUP(0, %[n], BODY) XP_LW_POST(%[p], 4, %[x]) XP_LW_POST(%[q], 4, %[z])         \
      XP_PACK_H(%[r], %[q], %[p]) XP_SHUFFLE2_H(%[p], %[q], %[high]) XP_SRL_H(%[s], %[r], %[eight]) \
          A_AND(%[r], %[r], %[mask]) XP_SRL_H(%[q], %[p], %[eight]) A_AND(%[p], %[p], %[mask])      \
              A_FINISH(%[r]) A_FINISH(%[s]) A_FINISH(%[p]) A_FINISH(%[q]) A_ROUND(%[r]) A_ROUND(%[s])  \
                  A_ROUND(%[p]) A_ROUND(%[q]) A_LIMIT(%[r]) A_LIMIT(%[s]) A_LIMIT(%[p]) A_LIMIT(%[q])  \
                      XP_PACKLO_B(%[r], %[s], %[r]) XP_PACKHI_B(%[r], %[q], %[p])                      \
                          LAST XP_SW_POST(%[r], 4, %[y]) XP_END
#define A_LOW XP_ADD_B(%[r], %[r], %[low])
#define A_OPERANDS                                                                                                       \
  : [x] "+r"(x), [z] "+r"(z), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [r] "=&r"(r), [s] "=&r"(s)                      \
  : [n] "r"(words), [mults] "r"(mults), [bias] "r"(bias), [shift] "r"(a->shift), [reach] "r"(a->hi - a->lo),           \
    [mask] "r"(0x00ff00ffu), [eight] "r"(0x00080008u), [high] "r"(0x00030001u), [low] "r"((uint32_t)a->lo * 0x01010101u) \
  : "memory"

/* clang-format on */

/* Four outputs a step; multipliers have 15 bits. The lower limit is taken off before the shift. */
static void add_words(const dory_add_args_t *a, int32_t from, int32_t words) {
  const uint8_t *x = a->a + from, *z = a->b + from;
  uint8_t *y = a->y + from;
  const uint32_t mults = (uint32_t)a->mult_a | (uint32_t)a->mult_b << 16;
  const int32_t bias = a->lo ? a->bias - a->lo * (1 << a->shift) : a->bias;
  uint32_t p, q, r, s;
  if (words <= 0) return;
  if (a->lo) {
    __asm__ volatile(A_LOOP(24, A_LOW) A_OPERANDS);
  } else {
    __asm__ volatile(A_LOOP(23, "") A_OPERANDS);
  }
}

/* Without a lower limit, or with one that can be taken off within 32 bits: products are not negative. */
static int fast(const dory_add_args_t *a) { return a->lo == 0 || (a->shift <= 22 && a->bias >= -(1 << 30)); }
#else
static void add_words(const dory_add_args_t *a, int32_t from, int32_t words) { (void)a, (void)from, (void)words; }
static int fast(const dory_add_args_t *a) {
  (void)a;
  return 0;
}
#endif

/* Shares are whole words, so that no two cores write to one. */
void dory_add(const void *args) {
  const dory_add_args_t *a = args;
  const dory_share_t words = dory_share((a->size + 3) / 4);
  const int32_t to = dory_lesser(4 * words.to, a->size);
  int32_t i = 4 * words.from;
  if (fast(a)) {
    add_words(a, i, (to - i) / 4);
    i += (to - i) / 4 * 4;
  }
  for (; i < to; i++) {
    const int32_t sum = a->a[i] * a->mult_a + a->b[i] * a->mult_b + a->bias;
    a->y[i] = (uint8_t)dory_clip(sum >> a->shift, a->lo, a->hi);
  }
}

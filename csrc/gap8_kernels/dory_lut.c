/* A function of one byte, by table. */
#include "dory_common.h"
#include "xpulp_asm.h"

/* 12 instructions for four bytes. */
static void look_up_words(const uint8_t *table, const uint8_t *x, uint8_t *y, int32_t words) {
#if defined(__riscv)
  uint32_t v, p, q, r, s;
  if (words <= 0) return;
  /* clang-format off */
  __asm__ volatile(XP_BEGIN XP_LP_SETUP(0, %[n], 12) XP_LW_POST(%[v], 4, %[x])                                    //
                   XP_EXTRACTU(%[p], %[v], 7, 0) XP_EXTRACTU(%[q], %[v], 7, 8) XP_EXTRACTU(%[r], %[v], 7, 16)  //
                   XP_EXTRACTU(%[s], %[v], 7, 24)                                                                  //
                   XP_LBU_RR(%[p], %[p], %[table]) XP_LBU_RR(%[q], %[q], %[table])                             //
                   XP_LBU_RR(%[r], %[r], %[table]) XP_LBU_RR(%[s], %[s], %[table])                             //
                   XP_PACKLO_B(%[p], %[q], %[p]) XP_PACKHI_B(%[p], %[s], %[r]) XP_SW_POST(%[p], 4, %[y])
                       XP_END  //
                   : [x] "+r"(x), [y] "+r"(y), [v] "=&r"(v), [p] "=&r"(p), [q] "=&r"(q), [r] "=&r"(r), [s] "=&r"(s)
                   : [n] "r"(words), [table] "r"(table)
                   : "memory");
  /* clang-format on */
#else
  for (int32_t i = 0; i < 4 * words; i++) y[i] = table[x[i]];
#endif
}

/* Shares are whole words, so that no two cores write to one. */
void dory_lut(const void *args) {
  const dory_lut_args_t *a = args;
  const dory_share_t share = dory_share((a->size + 3) / 4);
  const int32_t to = dory_lesser(4 * share.to, a->size), words = (to - 4 * share.from) / 4;
  const uint8_t *const table = a->table + drt_core_id() * a->step;
  look_up_words(table, a->x + 4 * share.from, a->y + 4 * share.from, words);
  for (int32_t i = 4 * (share.from + words); i < to; i++) a->y[i] = table[a->x[i]];
}

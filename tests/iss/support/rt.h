/* Runtime calls for test programs; iss_calls.h says what they do. */
#ifndef RT_H
#define RT_H

#include <stddef.h>
#include <stdint.h>

typedef void (*rt_fn)(void *);

void rt_exit(int code) __attribute__((noreturn));
void rt_putchar(int c);
void rt_write(const char *text, uint32_t n);
uint64_t rt_cycles64(void);
int rt_core_id(void);
int rt_core_count(void);
uint32_t rt_dma_start(uint32_t job, void *l1, void *l2, uint32_t lines, uint32_t bytes, uint32_t stride, int out);
void rt_dma_wait(uint32_t job);
uint32_t rt_ram_read(uint32_t job, void *l2, uint32_t ram, uint32_t bytes);
uint32_t rt_ram_write(uint32_t job, const void *l2, uint32_t ram, uint32_t bytes);
void rt_ram_wait(uint32_t job);
void rt_team_fork(int cores, rt_fn fn, void *arg);
void rt_barrier(void);
void rt_cluster_run(rt_fn fn, void *arg, void *stacks, uint32_t first, uint32_t other);
void rt_layer_begin(int id);
void rt_layer_end(int id);
void rt_poison(void *l1, uint32_t bytes);
void rt_live(int space, void *base, uint32_t bytes, const uint32_t *ranges, int count);

static inline uint32_t cycles(void) {
  uint32_t c;
  __asm__ volatile("csrr %0, mcycle" : "=r"(c)::"memory");
  return c;
}

#define L1 __attribute__((section(".l1"), aligned(4)))
/* Stacks in L1: 2 KiB for core 0, 1 KiB for each other core. */
#define CLUSTER(FN, ARG)                             \
  do {                                               \
    static uint8_t stacks[2048 + 7 * 1024] L1;       \
    rt_cluster_run((FN), (ARG), stacks, 2048, 1024); \
  } while (0)

#endif

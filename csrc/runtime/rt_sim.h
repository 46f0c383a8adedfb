/* The runtime in the simulator: every call is one trap, see iss_calls.h. */
#ifndef DORY_RT_SIM_H
#define DORY_RT_SIM_H

#include <stddef.h>
#include <stdint.h>

#include "iss_calls.h"

#define DRT_CHECKED 1 /* drt_live is wanted */

typedef struct {
  uint32_t job;
} drt_dma_t;

typedef struct {
  uint32_t job;
} drt_ram_t;

static inline uint32_t drt_trap(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f,
                                uint32_t g) {
  register uint32_t a0 __asm__("a0") = a;
  register uint32_t a1 __asm__("a1") = b;
  register uint32_t a2 __asm__("a2") = c;
  register uint32_t a3 __asm__("a3") = d;
  register uint32_t a4 __asm__("a4") = e;
  register uint32_t a5 __asm__("a5") = f;
  register uint32_t a6 __asm__("a6") = g;
  register uint32_t a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a6), "r"(a7) : "memory");
  return a0;
}

/* A call without arguments: kernels ask for their core's number, which is one instruction on the chip. */
static inline uint32_t drt_query(uint32_t number) {
  register uint32_t a0 __asm__("a0");
  register uint32_t a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "=r"(a0) : "r"(a7) : "memory");
  return a0;
}

static inline int drt_core_id(void) { return (int)drt_query(ISS_CORE_ID); }

static inline int drt_core_count(void) { return (int)drt_query(ISS_CORE_COUNT); }

/* Calls of the compiler's, not traps in line: other code runs meanwhile and changes registers. */
void drt_team_fork(int cores, void (*fn)(const void *), const void *arg);
void drt_cluster_run(void (*fn)(void *), void *arg, void *stacks, uint32_t core0_bytes, uint32_t other_bytes);

static inline void drt_team_barrier(void) { (void)drt_query(ISS_TEAM_BARRIER); }

static inline void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes,
                              uint32_t stride_bytes) {
  job->job = drt_trap(ISS_DMA_START, job->job, (uint32_t)l1, (uint32_t)l2, lines, line_bytes, stride_bytes, 0);
}

static inline void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes,
                               uint32_t stride_bytes) {
  job->job = drt_trap(ISS_DMA_START, job->job, (uint32_t)l1, (uint32_t)l2, lines, line_bytes, stride_bytes, 1);
}

static inline void drt_dma_wait(drt_dma_t *job) {
  if (job->job) (void)drt_trap(ISS_DMA_WAIT, job->job, 0, 0, 0, 0, 0, 0);
  job->job = 0;
}

static inline void drt_fetch(void *to, const void *constants, uint32_t bytes) {
  drt_dma_t job = {0};
  drt_dma_in(&job, to, constants, 1, bytes, 0);
  drt_dma_wait(&job);
}

static inline void drt_ram_read(drt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes) {
  job->job = drt_trap(ISS_RAM_READ, job->job, (uint32_t)l2, l3, bytes, 0, 0, 0);
}

static inline void drt_ram_write(drt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes) {
  job->job = drt_trap(ISS_RAM_WRITE, job->job, (uint32_t)l2, l3, bytes, 0, 0, 0);
}

static inline void drt_ram_wait(drt_ram_t *job) {
  if (job->job) (void)drt_trap(ISS_RAM_WAIT, job->job, 0, 0, 0, 0, 0, 0);
  job->job = 0;
}

static inline uint32_t drt_cycles(void) {
  uint32_t cycles;
  __asm__ volatile("csrr %0, 0xb00" : "=r"(cycles)); /* mcycle */
  return cycles;
}

static inline void drt_layer_begin(int layer) { (void)drt_trap(ISS_LAYER_BEGIN, (uint32_t)layer, 0, 0, 0, 0, 0, 0); }

static inline void drt_layer_end(int layer) { (void)drt_trap(ISS_LAYER_END, (uint32_t)layer, 0, 0, 0, 0, 0, 0); }

/* Bytes that become live in L1 hold nothing yet, but for the first `kept` ranges (at most one): reading them before they
 * are written is an error. */
static inline void drt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count, int kept) {
  (void)drt_trap(ISS_LIVE, (uint32_t)space, (uint32_t)base, bytes, (uint32_t)ranges, (uint32_t)count, 0, 0);
  if (space != 1) return;
  const uint32_t from = kept ? ranges[0] : bytes, to = kept ? ranges[0] + ranges[1] : bytes;
  (void)drt_trap(ISS_POISON, (uint32_t)base, from, 0, 0, 0, 0, 0);
  if (to < bytes) (void)drt_trap(ISS_POISON, (uint32_t)base + to, bytes - to, 0, 0, 0, 0, 0);
}

/* A layer's output: the simulator hands the bytes to its caller. */
static inline void drt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes) {
  (void)drt_trap(ISS_DUMP, (uint32_t)layer, (uint32_t)l2, l3, bytes, 0, 0, 0);
}

#endif

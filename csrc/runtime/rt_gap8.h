/* The runtime on GAP8, on PMSIS calls. DORY_CORES is the team's size. */
#ifndef DORY_RT_GAP8_H
#define DORY_RT_GAP8_H

#include <stdint.h>

#include "pmsis.h"
#include "bsp/ram.h"

#ifndef DORY_CORES
#error "DORY_CORES must be the number of cluster cores"
#endif

/* Commands that one handle keeps in flight. The cluster DMA has 16 counters and a layer at most three handles with
 * several commands at a time, so a fifth command waits for the first. */
#define RT_DMA_RING 4

typedef struct {
  pi_cl_dma_cmd_t ring[RT_DMA_RING];
  uint32_t started, waited;
} rt_dma_t;

typedef struct {
  pi_cl_ram_req_t request;
  enum { RT_RAM_IDLE = 0, RT_RAM_READ, RT_RAM_WRITE } state;
} rt_ram_t;

typedef struct {
  void (*fn)(const void *);
  const void *arg;
} rt_team_call_t;

extern struct pi_device *rt_gap8_ram; /* set by dory_device_open */

static inline int rt_core_id(void) { return pi_core_id(); }

static inline int rt_core_count(void) { return DORY_CORES; }

static inline void rt_team_barrier(void) { pi_cl_team_barrier(0); }

static inline void rt_team_entry(void *call) {
  const rt_team_call_t *c = call;
  c->fn(c->arg);
}

static inline void rt_team_fork(int cores, void (*fn)(const void *), const void *arg) {
  rt_team_call_t call = {fn, arg};
  pi_cl_team_fork(cores, rt_team_entry, &call);
}

/* Out of line: a layer's loop shares the instruction cache with its kernel. */
void rt_dma_in(rt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void rt_dma_out(rt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void rt_dma_wait(rt_dma_t *job);

static inline void rt_ram_read(rt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes) {
  job->state = RT_RAM_READ;
  pi_cl_ram_read(rt_gap8_ram, l3, l2, bytes, &job->request);
}

static inline void rt_ram_write(rt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes) {
  job->state = RT_RAM_WRITE;
  pi_cl_ram_write(rt_gap8_ram, l3, (void *)l2, bytes, &job->request);
}

static inline void rt_ram_wait(rt_ram_t *job) {
  if (job->state == RT_RAM_READ) pi_cl_ram_read_wait(&job->request);
  if (job->state == RT_RAM_WRITE) pi_cl_ram_write_wait(&job->request);
  job->state = RT_RAM_IDLE;
}

static inline uint32_t rt_cycles(void) { return pi_perf_read(PI_PERF_CYCLES); }

static inline void rt_layer_begin(int layer) { (void)layer; }

static inline void rt_layer_end(int layer) { (void)layer; }

#endif

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
#define DRT_DMA_RING 4

typedef struct {
  pi_cl_dma_cmd_t ring[DRT_DMA_RING];
  uint32_t started, waited;
} drt_dma_t;

typedef struct {
  pi_cl_ram_req_t request;
  enum { DRT_RAM_IDLE = 0, DRT_RAM_READ, DRT_RAM_WRITE } state;
} drt_ram_t;

typedef struct {
  void (*fn)(const void *);
  const void *arg;
} drt_team_call_t;

extern struct pi_device *drt_gap8_ram; /* set by dory_device_open */

static inline int drt_core_id(void) { return pi_core_id(); }

static inline int drt_core_count(void) { return DORY_CORES; }

static inline void drt_team_barrier(void) { pi_cl_team_barrier(0); }

static inline void drt_team_entry(void *call) {
  const drt_team_call_t *c = call;
  c->fn(c->arg);
}

static inline void drt_team_fork(int cores, void (*fn)(const void *), const void *arg) {
  drt_team_call_t call = {fn, arg};
  pi_cl_team_fork(cores, drt_team_entry, &call);
}

/* Out of line: a layer's loop shares the instruction cache with its kernel. */
void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void drt_dma_wait(drt_dma_t *job);

static inline void drt_fetch(void *to, const void *constants, uint32_t bytes) {
  pi_cl_dma_cmd_t command;
  pi_cl_dma_cmd((uint32_t)constants, (uint32_t)to, bytes, PI_CL_DMA_DIR_EXT2LOC, &command);
  pi_cl_dma_cmd_wait(&command);
}

static inline void drt_ram_read(drt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes) {
  job->state = DRT_RAM_READ;
  pi_cl_ram_read(drt_gap8_ram, l3, l2, bytes, &job->request);
}

static inline void drt_ram_write(drt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes) {
  job->state = DRT_RAM_WRITE;
  pi_cl_ram_write(drt_gap8_ram, l3, (void *)l2, bytes, &job->request);
}

static inline void drt_ram_wait(drt_ram_t *job) {
  if (job->state == DRT_RAM_READ) pi_cl_ram_read_wait(&job->request);
  if (job->state == DRT_RAM_WRITE) pi_cl_ram_write_wait(&job->request);
  job->state = DRT_RAM_IDLE;
}

static inline uint32_t drt_cycles(void) { return pi_perf_read(PI_PERF_CYCLES); }

static inline void drt_layer_begin(int layer) { (void)layer; }

static inline void drt_layer_end(int layer) { (void)layer; }

#endif

/* Every figure the simulator uses. Filled from Python (dory.sim.iss.IssParams), which documents units and sources. */
#ifndef DORY_ISS_PARAMS_H
#define DORY_ISS_PARAMS_H

#include <stdint.h>

/* Transfer time: setup + bytes * per_byte + (ceil(bytes / burst_bytes) - 1) * per_burst, at least floor. */
typedef struct {
  uint32_t setup, per_byte_milli, per_burst, burst_bytes, floor;
} iss_ram_law;

typedef struct {
  uint32_t cores;
  uint32_t l1_base, l1_bytes, l1_banks;
  uint32_t l2_base, l2_bytes;
  uint32_t ram_bytes;
  uint32_t fc_khz, cluster_khz;
  /* Core, cycles. */
  uint32_t load_use, use_mulh, mul_use, mulh, div_base, branch_taken, jump, misaligned;
  uint32_t l2_access, fc_l2_access, fc_l1_access;
  /* Instruction cache; 0 bytes: none. */
  uint32_t icache_bytes, icache_line, icache_ways, icache_miss_milli;
  /* Runtime calls, cycles. */
  uint32_t fork_start, fork_join, barrier, elw, elw_wake, cluster_start_fc;
  /* Cluster DMA. */
  uint32_t dma_issue, dma_setup, dma_wake, dma_floor, dma_2d_setup, dma_bytes_per_cycle;
  uint32_t dma_in_line_extra, dma_in_line_floor, dma_out_line_extra, dma_out_line_floor;
  uint32_t dma_queue, dma_max_bytes;
  uint32_t l2_wait_dma_cap;
  /* HyperRAM, FC cycles; the hand-over from the cluster in nanoseconds plus cluster cycles. */
  iss_ram_law ram_read_fc, ram_write_fc, ram_read_cl, ram_write_cl;
  uint32_t ram_issue, ram_wake, ram_offload_ns, ram_offload_cycles;
} iss_params;

#endif

/* The runtime that generated applications and kernels are written against: cluster team, cluster DMA (L2 <-> L1),
 * external RAM (L3 <-> L2), time and checks. Three implementations: rt_gap8 (PMSIS), rt_host (threads) and
 * rt_sim (the in-tree simulator). Layer code and kernels are the same files everywhere.
 *
 * Names begin with drt_: the SDK's own operating system has a runtime with rt_.
 *
 * Rules that every implementation may rely on and the host one checks:
 *  - a transfer's destination is neither read nor written, its source not written, between start and wait;
 *  - RAM transfers have L2 addresses, L3 addresses and sizes that are multiples of 4 bytes;
 *  - a DMA transfer moves fewer than 64 KiB, its L1 side is contiguous;
 *  - transfers are started and waited for by core 0 of the cluster alone. */
#ifndef DORY_RT_H
#define DORY_RT_H

#include <stddef.h>
#include <stdint.h>

#if defined(DORY_RT_GAP8)
#include "rt_gap8.h"
#elif defined(DORY_RT_SIM)
#include "rt_sim.h"
#else
#include "rt_host.h"
#endif

/* Each platform header defines, as types or static inline functions where speed asks for it:
 *
 *   drt_dma_t, drt_ram_t                      handles of transfers in flight; all zero = idle
 *   int  drt_core_id(void)                   0 .. cores-1 inside a team, 0 on the cluster's first core
 *   int  drt_core_count(void)                cores in the running team
 *   void drt_team_fork(int cores, void (*fn)(const void *), const void *arg)
 *                                           fn(arg) on `cores` cores, returns when all have finished
 *   void drt_team_barrier(void)
 *   void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes)
 *   void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes)
 *                                           start a copy of `lines` lines; the L2 side advances by stride_bytes a line
 *                                           (ignored for one line); a DMA job may carry several starts before its wait
 *   void drt_fetch(void *to, const void *constants, uint32_t bytes)
 *                                           copies constants of the program to core 0's stack, whole words, and waits
 *   void drt_dma_wait(drt_dma_t *job)         all of the job's copies are done; no-op on an idle handle
 *   void drt_ram_read(drt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes)
 *   void drt_ram_write(drt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes)
 *   void drt_ram_wait(drt_ram_t *job)         no-op on an idle handle
 *   uint32_t drt_cycles(void)                cluster cycles, wraps
 *   void drt_layer_begin(int layer)          marks for profilers and checkers; cost nothing on the chip
 *   void drt_layer_end(int layer)
 *
 * and, where DRT_CHECKED is defined,
 *   void drt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count, int kept)
 *                                           from now on only these [offset, size) pairs of the arena may be touched;
 *                                           space 1 = L1, 2 = L2; all of L1 but the first `kept` pairs (at most one) is
 *                                           empty
 *   void drt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes)
 *                                           a layer's output, for comparison; in RAM when l2 is NULL
 */

#endif

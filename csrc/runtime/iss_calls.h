/* Runtime calls of an application built for the simulator: `ecall` with the number in a7 and arguments in a0...;
 * results come back in a0 (and a1). All other registers keep their values, except across ISS_TEAM_FORK and
 * ISS_CLUSTER_RUN, which run other code: treat those two as function calls (ra is restored). The file is included by C
 * and by assembly, hence only numbers. Costs are those of the target description, on top of the ecall's one cycle. */
#ifndef DORY_ISS_CALLS_H
#define DORY_ISS_CALLS_H

/* Ends the simulation. a0 = exit code. Returning from the ELF's entry point does the same. */
#define ISS_EXIT 0
/* a0 = character. */
#define ISS_PUTCHAR 1
/* a0 = address, a1 = bytes. */
#define ISS_WRITE 2
/* -> a0, a1 = low and high word of the calling core's clock domain's cycle counter. The CSRs mcycle, cycle (and their h
 * halves) give the same without a call. */
#define ISS_CYCLES 3
/* -> a0 = 0 ... 7 in the cluster, 0 on the FC (mhartid tells them apart). */
#define ISS_CORE_ID 4
/* -> a0 = cores in the running team; 1 outside a team. */
#define ISS_CORE_COUNT 5
/* a0 = lowest address of the calling core's stack, checked at every change of sp. The cluster's cores need no call. */
#define ISS_STACK 6

/* Cluster DMA, from cluster cores. a0 = job (0 opens one), a1 = L1 address, a2 = L2 address, a3 = lines, a4 = bytes in a
 * line, a5 = L2 bytes from line to line (ignored for one line), a6 = 0 for L2 -> L1, 1 for L1 -> L2.
 * -> a0 = job. Several copies may join one job. */
#define ISS_DMA_START 8
/* a0 = job; returns when all of its copies are done, and closes it. 0 is no job: returns at once. */
#define ISS_DMA_WAIT 9
/* HyperRAM. a0 = job (0 opens one), a1 = L2 address, a2 = RAM address, a3 = bytes; all multiples of 4. -> a0 = job. */
#define ISS_RAM_READ 10
#define ISS_RAM_WRITE 11
/* a0 = job, as ISS_DMA_WAIT. */
#define ISS_RAM_WAIT 12

/* From core 0 of the cluster. a0 = cores, a1 = function, a2 = its argument: runs function(argument) on cores 0 ... a0 - 1
 * and returns when all have returned. */
#define ISS_TEAM_FORK 16
/* All cores of the team. */
#define ISS_TEAM_BARRIER 17
/* From the FC, which waits. a0 = function, a1 = its argument, on core 0 of the cluster; a2 = lowest address of the
 * stacks, a3 = bytes for core 0, a4 = bytes for each other core, upwards in that order. */
#define ISS_CLUSTER_RUN 18

/* Markers and checks: they take no time. a0 = layer. */
#define ISS_LAYER_BEGIN 24
#define ISS_LAYER_END 25
/* a0 = address, a1 = bytes of L1: reading these is an error until they are written. */
#define ISS_POISON 26
/* a0 = space (1: L1, 2: L2), a1 = base, a2 = bytes, a3 = address of pairs of 32-bit (offset, size), a4 = their number:
 * from now on only these ranges of the arena may be read or written. */
#define ISS_LIVE 27
/* a0 = layer, a1 = L2 address or 0, a2 = RAM address (used when a1 is 0), a3 = bytes: hands a layer's output to whoever runs
 * the simulator. */
#define ISS_DUMP 28

#endif

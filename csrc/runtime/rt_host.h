/* The runtime on a PC: eight threads for eight cores, transfers that arrive as late as they may, and checks. Every
 * violation ends the program with exit code 70 and one line on stderr. */
#ifndef DORY_RT_HOST_H
#define DORY_RT_HOST_H

#include <stddef.h>
#include <stdint.h>

#define DRT_CHECKED 1 /* drt_live and drt_dump_layer are wanted */

/* 0 = idle. A DMA handle may carry several transfers before its wait, a RAM handle one. */
typedef struct {
  uint32_t id;
} drt_dma_t;

typedef struct {
  uint32_t id;
} drt_ram_t;

int drt_core_id(void);
int drt_core_count(void);
void drt_team_fork(int cores, void (*fn)(const void *), const void *arg);
void drt_team_barrier(void);

void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void drt_dma_wait(drt_dma_t *job);
void drt_fetch(void *to, const void *constants, uint32_t bytes);
void drt_ram_read(drt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes);
void drt_ram_write(drt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes);
void drt_ram_wait(drt_ram_t *job);

/* There is no cycle on a PC: always 0. */
uint32_t drt_cycles(void);
void drt_layer_begin(int layer);
void drt_layer_end(int layer);
void drt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count, int kept);

/* Appends a layer's output to the dump file, if one is open: from l2, or from RAM when l2 is NULL. */
void drt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes);

/* For device_host.c. They return 0, or -1 without memory or file. */
int drt_host_init(uint32_t ram_bytes, int cores);
void drt_host_ram_load(uint32_t at, const void *from, uint32_t bytes);
int drt_host_dump_open(const char *path);
void drt_host_free(void);

#endif

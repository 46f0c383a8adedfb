/* The runtime on a PC: eight threads for eight cores, transfers that arrive as late as they may, and checks. Every
 * violation ends the program with exit code 70 and one line on stderr. */
#ifndef DORY_RT_HOST_H
#define DORY_RT_HOST_H

#include <stddef.h>
#include <stdint.h>

#define RT_CHECKED 1 /* rt_live and rt_dump_layer are wanted */

/* 0 = idle. A DMA handle may carry several transfers before its wait, a RAM handle one. */
typedef struct {
  uint32_t id;
} rt_dma_t;

typedef struct {
  uint32_t id;
} rt_ram_t;

int rt_core_id(void);
int rt_core_count(void);
void rt_team_fork(int cores, void (*fn)(const void *), const void *arg);
void rt_team_barrier(void);

void rt_dma_in(rt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void rt_dma_out(rt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes);
void rt_dma_wait(rt_dma_t *job);
void rt_ram_read(rt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes);
void rt_ram_write(rt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes);
void rt_ram_wait(rt_ram_t *job);

/* There is no cycle on a PC: always 0. */
uint32_t rt_cycles(void);
void rt_layer_begin(int layer);
void rt_layer_end(int layer);
void rt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count);

/* Appends a layer's output to the dump file, if one is open: from l2, or from RAM when l2 is NULL. */
void rt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes);

/* For device_host.c. They return 0, or -1 without memory or file. */
int rt_host_init(uint32_t ram_bytes, int cores);
void rt_host_ram_load(uint32_t at, const void *from, uint32_t bytes);
int rt_host_dump_open(const char *path);
void rt_host_free(void);

#endif

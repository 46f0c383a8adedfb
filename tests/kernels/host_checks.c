/* A small layer against the host runtime, correct or with one fault, which the argument names. Exits 0 when nothing was
 * noticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dory_rt.h"

enum { CORES = 4, RAM = 1024, L1 = 4096, L2 = 131072, LINES = 4, LINE = 16, WIDE = 64 };

static struct {
  const char *name;
  uint8_t *l1, *l2;
  drt_dma_t in, out;
  drt_ram_t ram, other;
} g;

static int fault(const char *name) { return strcmp(g.name, name) == 0; }

/* The live buffers: L1 [0, 256) and [512, 768), all of L2 except for its last 4 KiB. */
static void live(void) {
  const uint32_t l1[] = {0, 256, 512, 256}, l2[] = {0, L2 - 4096};
  drt_live(1, g.l1, L1, l1, 2, 0);
  drt_live(2, g.l2, L2, l2, 1, 0);
}

static void in_team(const void *arg) {
  (void)arg;
  if (drt_core_id() == (fault("dma-in-worker") ? 1 : 0)) {
    if (fault("dma-in-team") || fault("dma-in-worker")) drt_dma_in(&g.in, g.l1, g.l2, 1, LINE, 0);
    if (fault("dma-wait-in-team")) drt_dma_wait(&g.in);
    if (fault("ram-in-team")) drt_ram_read(&g.ram, g.l2, 0, 64);
    if (fault("ram-wait-in-team")) drt_ram_wait(&g.other);
  }
  drt_team_barrier();
  /* Every core its own bytes of the output. */
  const int core = drt_core_id(), share = LINES * LINE / drt_core_count();
  for (int i = core * share; i < (core + 1) * share; i++) g.l1[512 + i] = (uint8_t)(g.l1[i] + 1);
  if (fault("write-outside") && core == CORES - 1) g.l1[300] = 1;
  if (fault("write-outside-l2") && core == 0) g.l2[L2 - 1] = 1;
}

static void ram_faults(void) {
  if (fault("ram-size")) drt_ram_read(&g.other, g.l2, 0, 6);
  if (fault("ram-address")) drt_ram_read(&g.other, g.l2, 2, 8);
  if (fault("ram-l2-address")) drt_ram_write(&g.other, g.l2 + 1, 0, 8);
  if (fault("ram-bounds")) drt_ram_read(&g.other, g.l2, RAM - 4, 8);
  if (fault("ram-bounds-wrap")) drt_ram_write(&g.other, g.l2, 0xfffffffcu, 8);
  if (fault("ram-outside-live")) drt_ram_read(&g.other, g.l2 + L2 - 4096, 0, 8);
  if (fault("ram-wait-in-team")) drt_ram_read(&g.other, g.l2 + 1024, 0, 8);
  if (fault("ram-handle-twice")) {
    drt_ram_read(&g.other, g.l2 + 1024, 0, 8);
    drt_ram_read(&g.other, g.l2 + 2048, 8, 8);
  }
  if (fault("ram-write-then-read")) {
    drt_ram_t late = {0};
    drt_ram_write(&g.other, g.l2 + 1024, 64, 8);
    drt_ram_read(&late, g.l2 + 2048, 68, 8);
  }
}

/* While the input is on its way from L2 to L1. */
static void dma_faults(void) {
  drt_dma_t other = {0};
  if (fault("read-early")) printf("%d\n", g.l1[LINE]);
  if (fault("write-early")) g.l1[3] = 1;
  if (fault("write-source")) g.l2[WIDE + 1] ^= 1;
  if (fault("overlap")) drt_dma_in(&other, g.l1 + LINES * LINE - 1, g.l2 + 4096, 1, LINE, 0);
  if (fault("start-writes-source")) drt_dma_out(&other, g.l2 + WIDE, g.l1 + 512, 1, LINE, 0);
  if (fault("start-reads-destination")) drt_dma_out(&other, g.l2 + 4096, g.l1 + LINE, 1, LINE, 0);
  if (fault("64k")) drt_dma_in(&other, g.l1, g.l2, 1024, 64, 64);
  if (fault("dma-outside-live")) drt_dma_in(&other, g.l1 + 255, g.l2, 1, 2, 0);
  if (fault("dma-outside-arena")) drt_dma_in(&other, g.l1 + L1, g.l2, 1, 2, 0);
  if (fault("dirty-handle")) {
    other.id = 12345;
    drt_dma_in(&other, g.l1 + 128, g.l2 + 4096, 1, LINE, 0);
  }
  if (fault("dirty-handle-wait")) {
    other.id = 12345;
    drt_dma_wait(&other);
  }
}

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "host_checks: %s\n", what);
  exit(9);
}

static void layer(void) {
  drt_layer_begin(3);
  live();
  check(g.l1[0] == 0xa5, "L1 holds what an earlier layer left");
  drt_ram_read(&g.ram, g.l2, 256, 256);
  drt_ram_wait(&g.ram);
  ram_faults();
  /* Four pieces of rows, as one column of tiles has them. */
  drt_dma_in(&g.in, g.l1, g.l2, LINES, LINE, WIDE);
  dma_faults();
  drt_dma_wait(&g.in);
  drt_team_fork(fault("team") ? CORES - 1 : CORES, in_team, NULL);
  /* Two tiles side by side: their lines interleave without touching each other. */
  drt_dma_out(&g.out, g.l2 + 8192, g.l1 + 512, LINES, LINE, 2 * LINE);
  drt_dma_out(&g.out, g.l2 + 8192 + LINE, g.l1 + 512, LINES, LINE, 2 * LINE);
  if (fault("overlapping-lines")) drt_dma_out(&g.out, g.l2 + 8192 + 5 * LINE + 1, g.l1 + 512, 1, 1, 0);
  if (fault("given-up-in-flight")) drt_live(1, g.l1, L1, (const uint32_t[]){0, 256}, 1, 0);
  if (fault("bad-live")) drt_live(1, g.l1, L1, (const uint32_t[]){L1 - 8, 16}, 1, 0);
  if (!fault("forgotten-dma")) {
    drt_dma_wait(&g.out);
    drt_dma_wait(&g.out); /* idle by now */
  }
  drt_layer_end(3);
}

int main(int argc, char **argv) {
  g.name = argc > 1 ? argv[1] : "";
  check(drt_host_init(RAM, CORES) == 0, "no runtime");
  g.l1 = malloc(L1);
  g.l2 = malloc(L2);
  check(g.l1 && g.l2, "out of memory");
  memset(g.l1, 0, L1);
  memset(g.l2, 0, L2);
  uint8_t data[256];
  for (int i = 0; i < 256; i++) data[i] = (uint8_t)i;
  if (fault("load")) drt_host_ram_load(RAM - 255, data, sizeof data);
  drt_host_ram_load(256, data, sizeof data);
  layer();
  for (int i = 0; i < LINES * 2 * LINE; i++) {
    check(g.l2[8192 + i] == (uint8_t)(i / (2 * LINE) * WIDE + i % LINE + 1), "wrong result");
  }
  if (fault("read-prefetch")) { /* still on its way when the next layer begins */
    drt_ram_read(&g.ram, g.l2, 0, 64);
    live();
    printf("%d\n", g.l2[9]);
    drt_ram_wait(&g.ram);
  }
  if (fault("forgotten-ram")) drt_ram_read(&g.ram, g.l2, 0, 4);
  drt_host_free();
  free(g.l1);
  free(g.l2);
  puts("done");
  return 0;
}

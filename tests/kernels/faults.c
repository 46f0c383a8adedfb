/* One small program a fault: `faults NAME` does it once. The host runtime must notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dory_rt.h"

enum { CORES = 4, L1_BYTES = 1024, L2_BYTES = 2048, RAM_BYTES = 4096 };

/* Live: L1 [0, 256) and [272, 400), L2 [0, 512) and [1024, 1536); the rest is gaps. */
static const uint32_t l1_ranges[] = {0, 256, 272, 128}, l2_ranges[] = {0, 512, 1024, 512};

static uint8_t *l1, *l2;
static volatile uint8_t *volatile any; /* keeps the compiler from seeing through an access */
static rt_dma_t dma;
static rt_ram_t ram;

static void expect(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "unexpected: %s\n", what);
  exit(4);
}

static uint8_t peek(const uint8_t *p) {
  any = (uint8_t *)(uintptr_t)p;
  return *any;
}

static void poke(uint8_t *p, uint8_t v) {
  any = p;
  *any = v;
}

static void read_before_wait(void) {
  rt_dma_in(&dma, l1, l2, 1, 64, 0);
  printf("%d\n", peek(l1 + 8));
}

static void read_ram_before_wait(void) {
  rt_ram_read(&ram, l2, 0, 64);
  printf("%d\n", peek(l2 + 8));
}

static void write_destination(void) {
  rt_dma_in(&dma, l1, l2, 2, 32, 64);
  poke(l1 + 40, 1);
  rt_dma_wait(&dma);
}

static void write_source(void) {
  rt_dma_in(&dma, l1, l2 + 16, 2, 32, 64);
  poke(l2 + 81, (uint8_t)(peek(l2 + 81) + 1));
  rt_dma_wait(&dma);
}

static void write_ram_source(void) {
  rt_ram_write(&ram, l2 + 1024, 0, 64);
  poke(l2 + 1024, (uint8_t)(peek(l2 + 1024) + 1));
  rt_ram_wait(&ram);
}

static void same_destination(void) {
  rt_dma_t other = {0};
  rt_dma_in(&dma, l1, l2, 1, 64, 0);
  rt_dma_in(&other, l1 + 63, l2 + 64, 1, 64, 0);
}

static void overwrite_source(void) {
  rt_dma_out(&dma, l2, l1, 4, 8, 32);
  rt_dma_in(&dma, l1 + 31, l2 + 1024, 1, 8, 0);
}

static void read_destination(void) {
  rt_ram_read(&ram, l2, 0, 64);
  rt_dma_in(&dma, l1, l2 + 60, 1, 8, 0);
}

static void forgotten_dma(void) {
  rt_dma_in(&dma, l1, l2, 1, 64, 0);
  rt_layer_end(7);
}

static void forgotten_ram(void) {
  rt_ram_read(&ram, l2, 0, 64);
  rt_layer_end(7); /* a prefetch may outlive its layer */
  rt_host_free();
}

static void dma_into_gap(void) { rt_dma_in(&dma, l1 + 200, l2, 2, 32, 32); }

static void dma_from_gap(void) { rt_dma_in(&dma, l1, l2 + 500, 2, 8, 16); }

static void dma_outside(void) { rt_dma_in(&dma, l1, l2 + L2_BYTES, 1, 8, 0); }

static void dma_sides_swapped(void) { rt_dma_out(&dma, l1, l2, 1, 8, 0); }

static void dma_too_long(void) { rt_dma_in(&dma, l1, l2, 64, 1024, 1024); }

static void ram_unaligned(void) { rt_ram_read(&ram, l2 + 2, 0, 64); }

static void ram_odd_size(void) { rt_ram_read(&ram, l2, 4, 62); }

static void ram_behind_the_end(void) { rt_ram_read(&ram, l2, RAM_BYTES - 32, 64); }

static void ram_into_gap(void) { rt_ram_read(&ram, l2 + 512, 0, 64); }

static void ram_handle_reused(void) {
  rt_ram_read(&ram, l2, 0, 64);
  rt_ram_read(&ram, l2 + 64, 0, 64);
}

static void handle_not_zeroed(void) {
  dma.id = 77;
  rt_dma_in(&dma, l1, l2, 1, 64, 0);
}

static void write_gap_l1(void) {
  poke(l1 + 260, 1);
  rt_layer_end(7);
}

static void write_gap_l2(void) {
  poke(l2 + 1536, 1);
  rt_live(2, l2, L2_BYTES, l2_ranges, 2);
}

static void read_gap(void) { printf("%d\n", peek(l2 + 600)); }

static void give_up_in_flight(void) {
  rt_ram_read(&ram, l2 + 1024, 0, 64);
  rt_live(2, l2, L2_BYTES, l2_ranges, 1);
}

static void start_on_core(const void *arg) {
  (void)arg;
  if (rt_core_id() == 1) rt_dma_in(&dma, l1, l2, 1, 64, 0);
}

static void dma_in_team(void) { rt_team_fork(CORES, start_on_core, NULL); }

static void wrong_team(void) { rt_team_fork(CORES + 1, start_on_core, NULL); }

static int order[CORES];

static void meet(const void *arg) {
  (void)arg;
  order[rt_core_id()] = 1;
  rt_team_barrier();
  for (int i = 0; i < rt_core_count(); i++) expect(order[i] == 1, "a core passed the barrier early");
}

/* Everything that is allowed, with the right data at the end. */
static void no_fault(void) {
  rt_ram_t prefetch = {0};
  uint8_t weights[64];
  for (int i = 0; i < 64; i++) weights[i] = (uint8_t)(3 * i);
  rt_host_ram_load(128, weights, sizeof weights);
  for (int i = 0; i < 512; i++) l2[i] = (uint8_t)i;
  expect(peek(l1) == 0xa5, "stale data in L1");
  rt_ram_read(&prefetch, l2 + 1024, 128, 64);
  rt_dma_in(&dma, l1, l2, 4, 10, 100); /* many starts, one wait; both may read one source */
  rt_dma_in(&dma, l1 + 40, l2 + 5, 1, 7, 0);
  rt_layer_begin(1);
  rt_dma_wait(&dma);
  rt_dma_wait(&dma);
  expect(l1[0] == 0 && l1[10] == 100 && l1[39] == (309 & 255) && l1[46] == 11 && l1[47] == 0xa5, "DMA in");
  rt_dma_out(&dma, l2 + 201, l1, 4, 3, 5);
  rt_dma_wait(&dma);
  expect(l2[201] == 0 && l2[204] == 204 && l2[206] == 3 && l2[218] == 101, "DMA out");
  rt_team_fork(CORES, meet, NULL);
  rt_layer_end(1);
  rt_live(2, l2, L2_BYTES, l2_ranges + 2, 1); /* the prefetch goes on */
  rt_live(1, l1, L1_BYTES, l1_ranges, 1);
  expect(peek(l1) == 0xa5, "stale data in L1");
  rt_ram_wait(&prefetch);
  expect(memcmp(l2 + 1024, weights, 64) == 0, "RAM read");
  rt_ram_write(&prefetch, l2 + 1028, 0, 8);
  rt_ram_wait(&prefetch);
  rt_ram_read(&prefetch, l2 + 1200, 0, 8);
  rt_ram_wait(&prefetch);
  expect(memcmp(l2 + 1200, weights + 4, 8) == 0, "RAM write");
  rt_layer_end(2);
  rt_host_free();
  free(l1);
  free(l2);
}

#define CASE(name) \
  { #name, name }
static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {
    CASE(no_fault),          CASE(read_before_wait),  CASE(read_ram_before_wait), CASE(write_destination),
    CASE(write_source),      CASE(write_ram_source),  CASE(same_destination),     CASE(overwrite_source),
    CASE(read_destination),  CASE(forgotten_dma),     CASE(forgotten_ram),        CASE(dma_into_gap),
    CASE(dma_from_gap),      CASE(dma_outside),       CASE(dma_sides_swapped),    CASE(dma_too_long),
    CASE(ram_unaligned),     CASE(ram_odd_size),      CASE(ram_behind_the_end),   CASE(ram_into_gap),
    CASE(ram_handle_reused), CASE(handle_not_zeroed), CASE(write_gap_l1),         CASE(write_gap_l2),
    CASE(read_gap),          CASE(give_up_in_flight), CASE(dma_in_team),          CASE(wrong_team),
};

int main(int argc, char **argv) {
  l1 = malloc(L1_BYTES);
  l2 = malloc(L2_BYTES);
  expect(argc == 2 && l1 && l2 && rt_host_init(RAM_BYTES, CORES) == 0, "set-up");
  memset(l1, 0, L1_BYTES);
  memset(l2, 0, L2_BYTES);
  rt_live(1, l1, L1_BYTES, l1_ranges, 2);
  rt_live(2, l2, L2_BYTES, l2_ranges, 2);
  rt_layer_begin(7);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(cases[i].name, argv[1]) != 0) continue;
    cases[i].run();
    return 0;
  }
  expect(0, "no such case");
}

/* Runs kernel calls in the simulator, each twice (the second one with a warm instruction cache), between layer marks. Whoever
 * runs the simulator fills the table and the L2 data behind the program, and takes the outputs from the dump. */
#include "dory_device.h"
#include "dory_kernels.h"
#include "dory_rt.h"
#include "dory_subbyte.h"

enum { MAX_BUFFERS = 10, MAX_WORDS = 64 };

typedef struct {
  uint32_t l1, l2, bytes; /* l2 is 0 for what the kernel itself writes */
} buffer_t;

/* The table: job_t of whole words, found by its symbol's name. */
typedef struct {
  uint32_t function, cores, buffers, output; /* index of the output among the buffers */
  buffer_t buffer[MAX_BUFFERS];
  uint32_t words, args[MAX_WORDS]; /* the kernel's argument struct */
} job_t;

extern uint8_t dory_l2_start[];
uint32_t job_count = 1;
const job_t *job_table = (const job_t *)1; /* not in .bss: both are written before the program starts */

#define KERNEL(name) name,
static void (*const functions[])(const void *) = {KERNELS};

static void run_job(uint32_t id, const job_t *j) {
  uint32_t args[MAX_WORDS], live[2 * MAX_BUFFERS];
  drt_dma_t dma = {0};
  for (uint32_t i = 0; i < j->words; i++) args[i] = j->args[i];
  uint8_t *const arena = (uint8_t *)0x10000000u + STACKS;
  for (uint32_t i = 0; i < j->buffers; i++) {
    live[2 * i] = j->buffer[i].l1 - (uint32_t)arena;
    live[2 * i + 1] = j->buffer[i].bytes;
  }
  drt_live(1, arena, 0x10000u - STACKS, live, (int)j->buffers, 0);
  for (uint32_t i = 0; i < j->buffers; i++) {
    const buffer_t *b = &j->buffer[i];
    if (b->l2 && b->bytes) drt_dma_in(&dma, (void *)b->l1, (const void *)b->l2, 1, b->bytes, 0);
  }
  drt_dma_wait(&dma);
  for (int k = 0; k < 2; k++) {
    drt_layer_begin((int)id);
    drt_team_fork((int)j->cores, functions[j->function], args);
    drt_layer_end((int)id);
  }
  const buffer_t *y = &j->buffer[j->output];
  uint8_t *const to = (uint8_t *)(((uint32_t)dory_l2_start + 63u) / 64u * 64u);
  drt_dma_out(&dma, to, (const void *)y->l1, 1, y->bytes, 0);
  drt_dma_wait(&dma);
  drt_dump_layer((int)id, to, 0, y->bytes);
}

static void run_all(void *arg) {
  (void)arg;
  for (uint32_t i = 0; i < job_count; i++) run_job(i, &job_table[i]);
}

int dory_main(void) {
  drt_cluster_run(run_all, 0, (void *)0x10000000u, STACK_CORE0, STACK_WORKER);
  return 0;
}

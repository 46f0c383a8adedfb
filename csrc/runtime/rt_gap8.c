/* Cluster DMA on GAP8. */
#include "rt_gap8.h"

#define MAX_STRIDE 0xffffu /* a field of the command */

static void drt_dma_wait_one(drt_dma_t *job) { pi_cl_dma_cmd_wait(&job->ring[job->waited++ % DRT_DMA_RING]); }

static void drt_dma_command(drt_dma_t *job, uint32_t l2, uint32_t l1, uint32_t lines, uint32_t line, uint32_t stride,
                            pi_cl_dma_dir_e direction) {
  if (job->started - job->waited == DRT_DMA_RING) drt_dma_wait_one(job);
  pi_cl_dma_cmd_t *command = &job->ring[job->started++ % DRT_DMA_RING];
  if (lines == 1) {
    pi_cl_dma_cmd(l2, l1, line, direction, command);
  } else {
    pi_cl_dma_cmd_2d(l2, l1, lines * line, stride, line, direction, command);
  }
}

/* Strides above the command's 16-bit field go line by line. */
static void drt_dma_start(drt_dma_t *job, uint32_t l2, uint32_t l1, uint32_t lines, uint32_t line, uint32_t stride,
                          pi_cl_dma_dir_e direction) {
  if (lines == 1 || stride <= MAX_STRIDE) {
    drt_dma_command(job, l2, l1, lines, line, stride, direction);
    return;
  }
  for (uint32_t i = 0; i < lines; i++) drt_dma_command(job, l2 + i * stride, l1 + i * line, 1, line, 0, direction);
}

void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  drt_dma_start(job, (uint32_t)l2, (uint32_t)l1, lines, line_bytes, stride_bytes, PI_CL_DMA_DIR_EXT2LOC);
}

void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  drt_dma_start(job, (uint32_t)l2, (uint32_t)l1, lines, line_bytes, stride_bytes, PI_CL_DMA_DIR_LOC2EXT);
}

void drt_dma_wait(drt_dma_t *job) {
  while (job->waited != job->started) drt_dma_wait_one(job);
}

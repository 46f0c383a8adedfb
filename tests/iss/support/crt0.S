/* Start-up of test programs and their runtime calls, one stub each. */
#include "iss_calls.h"

  .section .text.start, "ax"
  .globl _start
  .type _start, @function
_start:
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  la sp, fc_stack_end
  la a0, fc_stack
  li a7, ISS_STACK
  ecall
  call main
  li a7, ISS_EXIT
  ecall
  .size _start, .-_start

.macro CALL name number
  .section .text.\name, "ax"
  .globl \name
  .type \name, @function
\name:
  li a7, \number
  ecall
  ret
  .size \name, .-\name
.endm

  CALL rt_exit ISS_EXIT
  CALL rt_putchar ISS_PUTCHAR
  CALL rt_write ISS_WRITE
  CALL rt_cycles64 ISS_CYCLES
  CALL rt_core_id ISS_CORE_ID
  CALL rt_core_count ISS_CORE_COUNT
  CALL rt_dma_start ISS_DMA_START
  CALL rt_dma_wait ISS_DMA_WAIT
  CALL rt_ram_read ISS_RAM_READ
  CALL rt_ram_write ISS_RAM_WRITE
  CALL rt_ram_wait ISS_RAM_WAIT
  CALL rt_team_fork ISS_TEAM_FORK
  CALL rt_barrier ISS_TEAM_BARRIER
  CALL rt_cluster_run ISS_CLUSTER_RUN
  CALL rt_layer_begin ISS_LAYER_BEGIN
  CALL rt_layer_end ISS_LAYER_END
  CALL rt_poison ISS_POISON
  CALL rt_live ISS_LIVE

  .section .bss
  .align 4
fc_stack:
  .space 4096
fc_stack_end:

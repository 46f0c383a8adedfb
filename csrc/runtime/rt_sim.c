/* The runtime calls during which other code runs. */
#include "rt_sim.h"

#define STRING(x) #x
#define CALL(name, number) \
  __asm__("  .section .text." #name ", \"ax\"\n"     \
          "  .globl " #name "\n"                     \
          "  .type " #name ", @function\n" #name     \
          ":\n"                                      \
          "  li a7, " STRING(number)                 \
          "\n"                                       \
          "  ecall\n"                                \
          "  ret\n"                                  \
          "  .size " #name ", .-" #name "\n"         \
          "  .text\n")

CALL(drt_team_fork, ISS_TEAM_FORK);
CALL(drt_cluster_run, ISS_CLUSTER_RUN);

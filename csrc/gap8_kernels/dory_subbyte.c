/* A kernel between unpacking and packing. */
#include "dory_subbyte.h"

#include "dory_rt.h"

void dory_subbyte(const void *args) {
  const dory_subbyte_args_t *a = args;
  for (int32_t i = 0; i < a->inputs; i++) dory_unpack(&a->x[i]);
  if (a->weights.units) dory_unpack_weights(&a->weights);
  if (a->inputs | a->weights.units) drt_team_barrier();
  a->kernel(a->args);
  if (a->y.rows) {
    drt_team_barrier();
    dory_pack(&a->y);
  }
}

/* The convolution's blocks in assembly. An application has those of its layers' forms, dory_conv_FORM.c; the others are
 * null. */
#ifndef DORY_CONV_BLOCKS_H
#define DORY_CONV_BLOCKS_H

#include "dory_block_asm.h"

typedef void block_fn_t(const dory_blocks_t *b);

#define DORY_BLOCKS(form)                                                                                              \
  __attribute__((weak)) block_fn_t dory_pointwise_##form, dory_pointwise5_##form, dory_rows_##form, dory_rows5_##form, \
      dory_slide_##form, dory_runs_##form

DORY_BLOCKS(narrow);
DORY_BLOCKS(mul15);
DORY_BLOCKS(wide);

#endif

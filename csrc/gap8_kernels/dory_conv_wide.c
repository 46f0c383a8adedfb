/* The convolution's blocks with outputs in the wide form, see dory_forms.h. */
#include "dory_kernels.h"

#if defined(__riscv)
#include "dory_rows_asm.h"
#include "dory_slide_asm.h"

/* clang-format off */
__asm__(B_POINTWISE(dory_pointwise_wide, 0, B_BIASES, B_WIDE, 116));
__asm__(B5_POINTWISE(dory_pointwise5_wide, 0, B5_BIASES, B5_WIDE, 144));
__asm__(B_ROWS(dory_rows_wide, 0, B_BIASES, B_WIDE));
__asm__(B5_ROWS(dory_rows5_wide, 0, B5_SUMS, B5_WIDE));
__asm__(B_SLIDE(dory_slide_wide, B_BIASES, B_WIDE));
__asm__(B_RUNS(dory_runs_wide, B_BIASES, B_WIDE));
/* clang-format on */
#endif

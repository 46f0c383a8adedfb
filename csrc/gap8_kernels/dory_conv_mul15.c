/* The convolution's blocks with outputs in the mul15 form, see dory_forms.h. */
#include "dory_kernels.h"

#if defined(__riscv)
#include "dory_rows_asm.h"
#include "dory_slide_asm.h"

/* clang-format off */
__asm__(B_POINTWISE(dory_pointwise_mul15, 0, B_BIASES, B_MUL15, 132));
__asm__(B5_POINTWISE(dory_pointwise5_mul15, 0, B5_BIASES, B5_MUL15, 164));
__asm__(B_ROWS(dory_rows_mul15, 0, B_BIASES, B_MUL15));
__asm__(B5_ROWS(dory_rows5_mul15, 0, B5_SUMS, B5_MUL15));
__asm__(B_SLIDE(dory_slide_mul15, B_BIASES, B_MUL15));
__asm__(B_RUNS(dory_runs_mul15, B_BIASES, B_MUL15));
/* clang-format on */
#endif

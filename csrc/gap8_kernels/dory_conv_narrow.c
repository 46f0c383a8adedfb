/* The convolution's blocks with outputs in the narrow form, see dory_forms.h. */
#include "dory_kernels.h"

#if defined(__riscv)
#include "dory_rows_asm.h"
#include "dory_slide_asm.h"

/* clang-format off */
__asm__(B_POINTWISE(dory_pointwise_narrow, -1, B_STEP(XP_DOTUSP_B), B_NARROW, 124));
__asm__(B5_POINTWISE(dory_pointwise5_narrow, -1, B5_FIRST, B5_NARROW, 153));
__asm__(B_ROWS(dory_rows_narrow, -1, B_STEP(XP_DOTUSP_B), B_NARROW));
__asm__(B5_ROWS(dory_rows5_narrow, -1, B5_STEP(XP_DOTUSP_B, ), B5_NARROW));
__asm__(B_SLIDE(dory_slide_narrow, B_ZEROS, B_NARROW));
__asm__(B_RUNS(dory_runs_narrow, B_ZEROS, B_NARROW));
/* clang-format on */
#endif

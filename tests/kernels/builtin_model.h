/* What the GAP SDK's compiler has built in, modelled in C: types and operand order must fit the real thing. */
#include <stdint.h>

typedef uint8_t model_v4u __attribute__((vector_size(4)));
typedef int8_t model_v4s __attribute__((vector_size(4)));

static inline int __builtin_pulp_sdotusp4(model_v4u a, model_v4s b, int acc) {
  for (int i = 0; i < 4; i++) acc = (int)((unsigned)acc + (unsigned)(a[i] * b[i]));
  return acc;
}

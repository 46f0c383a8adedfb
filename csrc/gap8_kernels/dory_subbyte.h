/* Operands of fewer than 8 bits. Kernels compute on bytes: dory_subbyte unpacks a tile's operands into buffers of bytes, runs
 * the kernel and packs its output, all on the same team.
 *
 * Activations are unsigned, `bits` (4 or 2) bits each, lowest bits first; rows (pixels) begin on bytes. Weights are signed and
 * packed by words: bits [k * bits, (k + 1) * bits) of every byte of a packed word are the four weights of the k-th of 8 / bits
 * unpacked words. */
#ifndef DORY_SUBBYTE_H
#define DORY_SUBBYTE_H

#include <stdint.h>

enum { DORY_SUBBYTE_INPUTS = 8 };

/* dory_unpack, dory_pack: `rows` rows of `elements` elements from one buffer to the other; the unpacked one has no gaps. */
typedef struct {
  const uint8_t *restrict from;
  uint8_t *restrict to;
  int32_t rows, elements;
  int32_t bits;
} dory_repack_args_t;

/* dory_unpack_weights: units of `head` bytes of constants, `body` bytes of weights when unpacked, `tail` bytes of constants;
 * all three are multiples of 4, and packed weights fill whole words. Constants are copied. */
typedef struct {
  const uint8_t *restrict from;
  uint8_t *restrict to;
  int32_t units;
  int32_t head, body, tail;
  int32_t bits;
} dory_unpack_weights_args_t;

/* dory_subbyte: the first `inputs` of x and, where rows and units are not 0, weights and output. */
typedef struct {
  dory_repack_args_t x[DORY_SUBBYTE_INPUTS];
  int32_t inputs;
  dory_unpack_weights_args_t weights;
  dory_repack_args_t y;
  void (*kernel)(const void *args);
  const void *args;
} dory_subbyte_args_t;

/* Bytes of `elements` elements. */
static inline int32_t dory_packed_bytes(int32_t elements, int32_t bits) { return (elements * bits + 7) >> 3; }

/* Bytes of a unit of packed weights. */
static inline int32_t dory_packed_unit(const dory_unpack_weights_args_t *a) {
  return a->head + ((a->body * a->bits + 31) >> 5) * 4 + a->tail;
}

/* A tile of `pixels` pixels of `channels` channels; where pixels leave no gaps they are one row. */
static inline dory_repack_args_t dory_repack(const uint8_t *from, uint8_t *to, int32_t pixels, int32_t channels,
                                             int32_t bits) {
  const int32_t whole = (channels * bits & 7) == 0;
  return (dory_repack_args_t){from, to, whole && pixels > 0 ? 1 : pixels, whole ? pixels * channels : channels, bits};
}

void dory_unpack(const void *args);
void dory_unpack_weights(const void *args);
void dory_pack(const void *args);
void dory_subbyte(const void *args);

#endif

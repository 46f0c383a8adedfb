/* Arguments of the kernels. Every kernel has the signature void kernel(const void *args), runs on all cores of a team (SPMD:
 * it splits the work by drt_core_id()/drt_core_count()) and touches only what its struct points to. Tensors are HWC, uint8;
 * sizes are elements (= bytes) of the tile in L1, not of the whole layer. Padding is virtual: rows and columns outside the
 * tile that read as pad_value.
 *
 * Packed weights come in channel groups; a group is its weights followed by its constants
 *     int32 bias[G], int32 mult[G], int32 shift[G] (+ 64 * add)
 * with the input zero-point already folded into bias.
 *     y = clip(zero_point + add + ((acc * mult + (1 << (shift-1))) >> shift), lo, hi)
 * the product in 64 bits. Unused channels of the last group hold zero weights and (0, 0, 1). */
#ifndef DORY_KERNELS_H
#define DORY_KERNELS_H

#include <stdint.h>

/* A sliding window on one tile. Output (oy, ox) reads input rows oy*stride_h - pad_t + ky*dil_h (columns alike). */
typedef struct {
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t dil_h, dil_w;
  int32_t pad_t, pad_l; /* of this tile; bottom and right follow from the sizes */
} dory_window_t;

/* Output range shared by all requantising kernels. */
typedef struct {
  int32_t zero_point;
  int32_t lo, hi;
} dory_clip_t;

/* How sums become outputs, and which constants follow the weights of dory_conv and dory_linear: see dory_forms.h. */
enum { DORY_NARROW, DORY_MUL15, DORY_WIDE, DORY_EXACT };

/* dory_conv: standard convolution, groups of G = 4 output channels: [K4/4][4 channels][4 bytes], K in (ky, kx, c) order with
 * every tap's channels zero-filled to a multiple of 4. Only where c_in is no multiple of 4 and at most 16, or there are
 * several taps and K = kernel_h*kernel_w*c_in is at most 320, it is K without gaps, zero-filled to K4 >= 8. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict w;
  uint8_t *restrict y;
  uint8_t *restrict scratch; /* dory_conv_scratch() bytes, 4-byte aligned */
  int32_t h_in, w_in, c_in;
  int32_t h_out, w_out, c_out;
  dory_window_t win;
  int32_t pad_value;
  int32_t form;
  int32_t in_place; /* windows are read where they are: of a padded copy in the scratch where they reach outside */
  dory_clip_t clip; /* without the zero-point, which is in the constants */
} dory_conv_args_t;

/* dory_conv_sums: the step of a convolution that adds the products of c_in of its input channels. Weights are groups of 4
 * output channels, [taps][C4/4][4 channels][4 bytes], without constants: those are apart, for each group the biases (16
 * bytes; not in the narrow form) and mult, add, shift of each channel (48 bytes). sums: dory_conv_sums_bytes() bytes, kept
 * from the first step of a tile to the last one, which alone reads the constants and writes y. */
typedef struct {
  dory_conv_args_t conv; /* scratch: dory_conv_sums_scratch() bytes */
  int32_t *restrict sums;
  const uint8_t *restrict heads;
  const uint8_t *restrict tails;
  int32_t first, last; /* of the tile's steps */
} dory_conv_sums_args_t;

/* dory_grouped_conv: any group count (a depthwise convolution with a multiplier is one), G = 1: weights [ky][kx][c_in / groups],
 * zero-filled to a multiple of 4 bytes. The tile's output channel o is channel c_first + o of the layer and reads the c_group_in
 * input channels from ((c_first + o) / c_group_out) * c_group_in on. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict w;
  uint8_t *restrict y;
  int32_t h_in, w_in, c_in;
  int32_t h_out, w_out, c_out;
  dory_window_t win;
  int32_t c_first, c_group_in, c_group_out;
  int32_t pad_value;
  dory_clip_t clip;
} dory_grouped_conv_args_t;

/* dory_depthwise: c channels in and out. A channel's weights are kernel_h rows of whole words, filled up with zeros; behind
 * them four words: mult, bias, add, shift + (form << 8), see dory_depthwise.h. Groups of G = 4 channels, the last one filled
 * up. The work is split over bands of `rows` output rows of four channels (a dilated window has no use for rows). `turned`:
 * x and y lie in memory with rows and columns exchanged, for narrow tiles; kernels that are not dilated only. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict w;
  uint8_t *restrict y;
  uint8_t *restrict scratch; /* dory_depthwise_scratch() bytes, 4-byte aligned */
  int32_t h_in, w_in, c;
  int32_t h_out, w_out;
  dory_window_t win;
  int32_t pad_value;
  int32_t rows;
  int32_t turned;
  dory_clip_t clip;
} dory_depthwise_args_t;

/* dory_linear: y[n] over a vector of k inputs, groups of G = 4: [K4/4][4 channels][4 bytes], zero-filled to K4. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict w;
  uint8_t *restrict y;
  int32_t k, n;
  int32_t form;
  dory_clip_t clip;
} dory_linear_args_t;

/* dory_linear32: the same sums, stored as n int32 (y holds 4 n bytes). A group is [K4/4][4 sums][4 bytes], then
 * int32 bias[4]. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict w;
  uint8_t *restrict y; /* 4-byte aligned */
  int32_t k, n;
} dory_linear32_args_t;

/* dory_add: y = clip((a * mult_a + b * mult_b + bias) >> shift, lo, hi), an arithmetic shift; every sum fits int32.
 * bias holds the zero-points and the half. */
typedef struct {
  const uint8_t *restrict a;
  const uint8_t *restrict b;
  uint8_t *restrict y;
  int32_t size;
  int32_t mult_a, mult_b, bias, shift;
  int32_t lo, hi;
} dory_add_args_t;

/* dory_maxpool, dory_avgpool: c channels in and out. Max: padding never wins; a window of padding alone gives lo.
 * Average: sum of (x - zero_in) over the valid inputs, then
 * y = clip(zero_point + ((sum * mult[n] + (1 << (shift-1))) >> shift), lo, hi); n is the number of valid inputs of
 * that output. */
typedef struct {
  const uint8_t *restrict x;
  uint8_t *restrict y;
  int32_t h_in, w_in, c;
  int32_t h_out, w_out;
  dory_window_t win;
  int32_t lo, hi;
} dory_maxpool_args_t;

typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict mult; /* int32 mult[kernel_h*kernel_w + 1], 4-byte aligned */
  uint8_t *restrict y;
  int32_t h_in, w_in, c;
  int32_t h_out, w_out;
  dory_window_t win;
  int32_t zero_in, shift;
  dory_clip_t clip;
} dory_avgpool_args_t;

/* dory_lut: y[i] = table[x[i]], 256 entries. Core i reads the table at table + i * step: copies that begin one bank after the
 * other keep cores with equal data from waiting for each other; step 0 is one table for all. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict table;
  uint8_t *restrict y;
  int32_t size;
  int32_t step;
} dory_lut_args_t;

/* dory_pad: copies an h_in x w_in x c tile to (pad_t, pad_l) of an h_out x w_out x c tile, the rest is value. */
typedef struct {
  const uint8_t *restrict x;
  uint8_t *restrict y;
  int32_t h_in, w_in, c;
  int32_t h_out, w_out;
  int32_t pad_t, pad_l;
  int32_t value;
} dory_pad_args_t;

/* dory_concat: `lines` lines; line i of y is line i of every input in turn (bytes[k] bytes each). */
#define DORY_CONCAT_MAX 8
typedef struct {
  const uint8_t *x[DORY_CONCAT_MAX];
  int32_t bytes[DORY_CONCAT_MAX];
  int32_t inputs;
  uint8_t *restrict y;
  int32_t lines;
} dory_concat_args_t;

/* dory_permute: y[i] = x[offset(i)] where i counts through the mixed radix count[0..dims), outermost first, and offset is the
 * sum of digit*stride. Runs on L2 directly. */
#define DORY_PERMUTE_MAX 6
typedef struct {
  const uint8_t *restrict x;
  uint8_t *restrict y;
  int32_t dims;
  int32_t count[DORY_PERMUTE_MAX];
  int32_t stride[DORY_PERMUTE_MAX];
} dory_permute_args_t;

/* dory_softmax: over the c channels of each of `rows` rows, top being the row's largest x:
 *     e[i] = table[top - x[i]]                    uint32, table[0] = 65536, no entry larger
 *     sum = sum of e                              uint32: c <= 65535
 *     y[i] = clip(zero_point + (e[i] * numerator + sum / 2) / sum, lo, hi)
 * The numerator is 64 bits wide, both divisions are unsigned and round down. */
typedef struct {
  const uint8_t *restrict x;
  const uint8_t *restrict table; /* uint32 table[256], 4-byte aligned */
  uint8_t *restrict y;
  int32_t rows, c;
  int32_t numerator; /* round(1 / output scale) */
  dory_clip_t clip;
} dory_softmax_args_t;

/* Arguments of any kernel that works on tiles. */
typedef union {
  dory_conv_args_t conv;
  dory_conv_sums_args_t conv_sums;
  dory_grouped_conv_args_t grouped_conv;
  dory_depthwise_args_t depthwise;
  dory_linear_args_t linear;
  dory_linear32_args_t linear32;
  dory_add_args_t add;
  dory_maxpool_args_t maxpool;
  dory_avgpool_args_t avgpool;
  dory_lut_args_t lut;
  dory_pad_args_t pad;
  dory_concat_args_t concat;
  dory_softmax_args_t softmax;
} dory_args_t;

/* Bytes of scratch for a team of `cores` cores. */
uint32_t dory_conv_scratch(const dory_conv_args_t *a, int32_t cores);
uint32_t dory_conv_sums_scratch(const dory_conv_sums_args_t *a, int32_t cores);
/* Of `sums`: 64 for each block of four pixels and four channels. */
uint32_t dory_conv_sums_bytes(const dory_conv_sums_args_t *a);
/* Four planes a core, of as many rows as 16 KiB hold for all cores together, of one output row at least and of all at most;
 * 0 for a dilated window. */
uint32_t dory_depthwise_scratch(const dory_depthwise_args_t *a, int32_t cores);

void dory_conv(const void *args);
void dory_conv_sums(const void *args);
void dory_grouped_conv(const void *args);
void dory_depthwise(const void *args);
void dory_linear(const void *args);
void dory_linear32(const void *args);
void dory_add(const void *args);
void dory_maxpool(const void *args);
void dory_avgpool(const void *args);
void dory_lut(const void *args);
void dory_pad(const void *args);
void dory_concat(const void *args);
void dory_permute(const void *args);
void dory_softmax(const void *args);

#endif

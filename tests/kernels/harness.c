/* Runs kernels and helpers on request: reads jobs from stdin, answers on stdout, until end of file.
 *
 * Job (int32 each unless said): function, cores, number of parameters, parameters, number of inputs, then for each its
 * size and its bytes, bytes of output. Answer: scratch bytes, output bytes. Every buffer has exactly its size, between
 * guards that the sanitizer makes unreadable and that are compared afterwards; inputs must come out unchanged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dory_crc32.h"
#include "dory_kernels.h"
#include "dory_rt.h"
#include "dory_subbyte.h"
#include "dory_tile.h"
#include "rt_host_internal.h"

enum { GUARD = 64, GUARD_BYTE = 0xc3, MAX_PARAMETERS = 64, MAX_INPUTS = 10 };

typedef struct {
  uint8_t *at, *original;
  uint32_t bytes;
} buffer_t;

typedef struct {
  int32_t parameters[MAX_PARAMETERS];
  int next;
  buffer_t inputs[MAX_INPUTS], scratch, y;
  int cores;
} job_t;

static void fail(const char *what) {
  fprintf(stderr, "harness: %s\n", what);
  exit(3);
}

static void get(void *to, size_t bytes) {
  if (fread(to, 1, bytes, stdin) != bytes) fail("truncated job");
}

static int32_t get_int(void) {
  int32_t v;
  get(&v, sizeof v);
  return v;
}

static buffer_t new_buffer(uint32_t bytes) {
  uint8_t *all = malloc(bytes + 2u * GUARD);
  if (!all) fail("out of memory");
  memset(all, GUARD_BYTE, bytes + 2u * GUARD);
  const buffer_t b = {all + GUARD, NULL, bytes};
  DRT_POISON(all, GUARD);
  DRT_POISON(b.at + bytes, GUARD);
  return b;
}

static void check_guards(const buffer_t *b) {
  DRT_UNPOISON(b->at - GUARD, GUARD);
  DRT_UNPOISON(b->at + b->bytes, GUARD);
  for (int i = 1; i <= GUARD; i++) {
    if (b->at[-i] != GUARD_BYTE || b->at[b->bytes + (uint32_t)i - 1] != GUARD_BYTE) fail("a guard byte was written");
  }
}

static void free_buffer(buffer_t *b) {
  if (!b->at) return;
  check_guards(b);
  if (b->original && memcmp(b->at, b->original, b->bytes) != 0) fail("an input was written");
  free(b->original);
  free(b->at - GUARD);
}

static int32_t next(job_t *j) { return j->parameters[j->next++]; }

static dory_window_t window(job_t *j) {
  dory_window_t w;
  int32_t *const fields[] = {&w.kernel_h, &w.kernel_w, &w.stride_h, &w.stride_w,
                             &w.dil_h,    &w.dil_w,    &w.pad_t,    &w.pad_l};
  for (int i = 0; i < 8; i++) *fields[i] = next(j);
  return w;
}

static dory_clip_t clip(job_t *j) {
  dory_clip_t c;
  c.zero_point = next(j);
  c.lo = next(j);
  c.hi = next(j);
  return c;
}

static void fork_team(const job_t *j, void (*kernel)(const void *), const void *args) {
  drt_team_fork(j->cores, kernel, args);
}

/* Parameters come in the order of the struct's fields. */
static uint32_t conv(job_t *j) {
  dory_conv_args_t a = {.x = j->inputs[0].at, .w = j->inputs[1].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c_in = next(j);
  a.h_out = next(j), a.w_out = next(j), a.c_out = next(j);
  a.win = window(j);
  a.pad_value = next(j);
  a.form = next(j);
  a.in_place = next(j);
  a.clip = clip(j);
  j->scratch = new_buffer(dory_conv_scratch(&a, j->cores));
  a.scratch = j->scratch.at;
  fork_team(j, dory_conv, &a);
  return j->scratch.bytes;
}

static uint32_t grouped_conv(job_t *j) {
  dory_grouped_conv_args_t a = {.x = j->inputs[0].at, .w = j->inputs[1].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c_in = next(j);
  a.h_out = next(j), a.w_out = next(j), a.c_out = next(j);
  a.win = window(j);
  a.c_first = next(j), a.c_group_in = next(j), a.c_group_out = next(j);
  a.pad_value = next(j);
  a.clip = clip(j);
  fork_team(j, dory_grouped_conv, &a);
  return 0;
}

static uint32_t depthwise(job_t *j) {
  dory_depthwise_args_t a = {.x = j->inputs[0].at, .w = j->inputs[1].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c = next(j);
  a.h_out = next(j), a.w_out = next(j);
  a.win = window(j);
  a.pad_value = next(j);
  a.rows = next(j);
  a.turned = next(j);
  a.clip = clip(j);
  j->scratch = new_buffer(dory_depthwise_scratch(&a, j->cores));
  a.scratch = j->scratch.at;
  fork_team(j, dory_depthwise, &a);
  return j->scratch.bytes;
}

static uint32_t linear(job_t *j) {
  dory_linear_args_t a = {.x = j->inputs[0].at, .w = j->inputs[1].at, .y = j->y.at};
  a.k = next(j), a.n = next(j);
  a.form = next(j);
  a.clip = clip(j);
  fork_team(j, dory_linear, &a);
  return 0;
}

static uint32_t linear32(job_t *j) {
  dory_linear32_args_t a = {.x = j->inputs[0].at, .w = j->inputs[1].at, .y = j->y.at};
  a.k = next(j), a.n = next(j);
  fork_team(j, dory_linear32, &a);
  return 0;
}

static uint32_t add(job_t *j) {
  dory_add_args_t a = {.a = j->inputs[0].at, .b = j->inputs[1].at, .y = j->y.at, .size = (int32_t)j->y.bytes};
  a.mult_a = next(j), a.mult_b = next(j), a.bias = next(j), a.shift = next(j);
  a.lo = next(j), a.hi = next(j);
  fork_team(j, dory_add, &a);
  return 0;
}

static uint32_t maxpool(job_t *j) {
  dory_maxpool_args_t a = {.x = j->inputs[0].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c = next(j);
  a.h_out = next(j), a.w_out = next(j);
  a.win = window(j);
  a.lo = next(j), a.hi = next(j);
  fork_team(j, dory_maxpool, &a);
  return 0;
}

static uint32_t avgpool(job_t *j) {
  dory_avgpool_args_t a = {.x = j->inputs[0].at, .mult = j->inputs[1].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c = next(j);
  a.h_out = next(j), a.w_out = next(j);
  a.win = window(j);
  a.zero_in = next(j), a.shift = next(j);
  a.clip = clip(j);
  fork_team(j, dory_avgpool, &a);
  return 0;
}

static uint32_t lut(job_t *j) {
  dory_lut_args_t a = {.x = j->inputs[0].at, .table = j->inputs[1].at, .y = j->y.at, .size = (int32_t)j->y.bytes};
  a.step = next(j);
  fork_team(j, dory_lut, &a);
  return 0;
}

static uint32_t pad(job_t *j) {
  dory_pad_args_t a = {.x = j->inputs[0].at, .y = j->y.at};
  a.h_in = next(j), a.w_in = next(j), a.c = next(j);
  a.h_out = next(j), a.w_out = next(j);
  a.pad_t = next(j), a.pad_l = next(j);
  a.value = next(j);
  fork_team(j, dory_pad, &a);
  return 0;
}

static uint32_t concat(job_t *j) {
  dory_concat_args_t a = {.y = j->y.at};
  a.lines = next(j);
  a.inputs = next(j);
  for (int i = 0; i < a.inputs; i++) {
    a.x[i] = j->inputs[i].at;
    a.bytes[i] = next(j);
  }
  fork_team(j, dory_concat, &a);
  return 0;
}

static uint32_t permute(job_t *j) {
  dory_permute_args_t a = {.x = j->inputs[0].at, .y = j->y.at};
  a.dims = next(j);
  for (int i = 0; i < a.dims; i++) {
    a.count[i] = next(j);
    a.stride[i] = next(j);
  }
  fork_team(j, dory_permute, &a);
  return 0;
}

static uint32_t softmax(job_t *j) {
  dory_softmax_args_t a = {.x = j->inputs[0].at, .table = j->inputs[1].at, .y = j->y.at};
  a.rows = next(j), a.c = next(j), a.numerator = next(j);
  a.clip = clip(j);
  fork_team(j, dory_softmax, &a);
  return 0;
}

/* Rows, elements, bits; the answer's first number is the bytes of the packed buffer. */
static uint32_t repack(job_t *j, void (*kernel)(const void *)) {
  dory_repack_args_t a = {.from = j->inputs[0].at, .to = j->y.at};
  a.rows = next(j), a.elements = next(j), a.bits = next(j);
  fork_team(j, kernel, &a);
  return (uint32_t)(a.rows * dory_packed_bytes(a.elements, a.bits));
}

static uint32_t unpack(job_t *j) { return repack(j, dory_unpack); }

static uint32_t pack(job_t *j) { return repack(j, dory_pack); }

static uint32_t unpack_weights(job_t *j) {
  dory_unpack_weights_args_t a = {.from = j->inputs[0].at, .to = j->y.at};
  a.units = next(j), a.head = next(j), a.body = next(j), a.tail = next(j), a.bits = next(j);
  fork_team(j, dory_unpack_weights, &a);
  return (uint32_t)(a.units * dory_packed_unit(&a));
}

/* In pieces of the given size. */
static uint32_t crc32(job_t *j) {
  const uint32_t piece = (uint32_t)next(j);
  uint32_t crc = 0;
  for (uint32_t at = 0; at < j->inputs[0].bytes; at += piece) {
    const uint32_t left = j->inputs[0].bytes - at;
    crc = dory_crc32(crc, j->inputs[0].at + at, left < piece ? left : piece);
  }
  memcpy(j->y.at, &crc, sizeof crc);
  return 0;
}

static uint32_t range(job_t *j) {
  int32_t p[6];
  for (int i = 0; i < 6; i++) p[i] = next(j);
  const dory_range_t r = dory_range(p[0], p[1], p[2], p[3], p[4], p[5]);
  const int32_t out[4] = {r.i0, r.in, r.pad_lo, r.pad_hi};
  memcpy(j->y.at, out, sizeof out);
  return 0;
}

/* A tile of a tensor to "L1" and from there to the same place of another tensor, which is the output. */
static uint32_t tile(job_t *j) {
  int32_t p[8];
  for (int i = 0; i < 8; i++) p[i] = next(j);
  drt_dma_t job = {0};
  j->scratch = new_buffer((uint32_t)(p[3] * p[5] * p[7]));
  memset(j->y.at, 0, j->y.bytes);
  dory_tile_in(&job, j->scratch.at, j->inputs[0].at, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
  drt_dma_wait(&job);
  dory_tile_out(&job, j->scratch.at, j->y.at, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
  drt_dma_wait(&job);
  return j->scratch.bytes;
}

static uint32_t (*const functions[])(job_t *) = {
    conv,    grouped_conv, depthwise, linear,         add,   maxpool, avgpool, lut,     pad, concat, permute,
    softmax, unpack,       pack,      unpack_weights, crc32, range,   tile,    linear32};

static void run(int32_t function, int *cores) {
  job_t j = {.cores = get_int()};
  if (j.cores != *cores) {
    if (*cores) drt_host_free();
    if (drt_host_init(64, j.cores)) fail("drt_host_init");
    *cores = j.cores;
  }
  const int32_t parameters = get_int();
  if (parameters > MAX_PARAMETERS) fail("too many parameters");
  get(j.parameters, sizeof(int32_t) * (size_t)parameters);
  const int32_t inputs = get_int();
  if (inputs > MAX_INPUTS) fail("too many inputs");
  for (int32_t i = 0; i < inputs; i++) {
    buffer_t *b = &j.inputs[i];
    *b = new_buffer((uint32_t)get_int());
    get(b->at, b->bytes);
    b->original = malloc(b->bytes + 1u);
    if (!b->original) fail("out of memory");
    memcpy(b->original, b->at, b->bytes);
  }
  j.y = new_buffer((uint32_t)get_int());
  const uint32_t scratch = functions[function](&j);
  if (j.next != parameters) fail("not every parameter was read");
  for (int32_t i = 0; i < inputs; i++) free_buffer(&j.inputs[i]);
  free_buffer(&j.scratch);
  if (fwrite(&scratch, sizeof scratch, 1, stdout) != 1 || fwrite(j.y.at, 1, j.y.bytes, stdout) != j.y.bytes) {
    fail("cannot answer");
  }
  fflush(stdout);
  free_buffer(&j.y);
}

int main(void) {
  int cores = 0;
  int32_t function;
  while (fread(&function, sizeof function, 1, stdin) == 1) run(function, &cores);
  if (cores) drt_host_free();
  return 0;
}

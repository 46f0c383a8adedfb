/* Checked asynchronous copies: data arrives at the wait, not before. */
#include <stdlib.h>
#include <string.h>

#include "rt_host_internal.h"

enum { MAX_COPIES = 4096, GARBAGE = 0xa5 };

typedef struct {
  uint32_t handle;
  const char *what;
  rt_area_t to, from;
  uint8_t *snapshot;
} copy_t;

static struct {
  copy_t copies[MAX_COPIES];
  int count;
  uint32_t last_handle;
} state;

static uint64_t bytes_of(const rt_area_t *a) { return (uint64_t)a->lines * a->line; }

/* Lines of `a` against the lines of `b` that can touch them. */
static int overlap(const rt_area_t *a, const rt_area_t *b) {
  const uintptr_t b0 = (uintptr_t)b->at, b_end = b0 + (uintptr_t)(b->lines - 1) * b->stride + b->line;
  for (uint32_t i = 0; i < a->lines; i++) {
    const uintptr_t lo = (uintptr_t)a->at + (uintptr_t)i * a->stride, hi = lo + a->line;
    if (hi <= b0 || lo >= b_end) continue;
    uintptr_t j = lo > b0 && b->stride ? (lo - b0) / b->stride : 0;
    for (; j < b->lines; j++) {
      const uintptr_t start = b0 + j * b->stride;
      if (start >= hi) break;
      if (start + b->line > lo) return 1;
    }
  }
  return 0;
}

static void poison(const rt_area_t *a) {
  for (uint32_t i = 0; i < a->lines; i++) RT_POISON(a->at + (size_t)i * a->stride, a->line);
}

static void unpoison(const rt_area_t *a) {
  for (uint32_t i = 0; i < a->lines; i++) RT_UNPOISON(a->at + (size_t)i * a->stride, a->line);
}

uint32_t rt_host_start(uint32_t handle, const char *what, rt_area_t to, rt_area_t from) {
  if (!handle) handle = ++state.last_handle;
  if (bytes_of(&to) == 0) return handle;
  for (int i = 0; i < state.count; i++) {
    const copy_t *c = &state.copies[i];
    if (overlap(&to, &c->to)) rt_host_fail("%s writes where a %s in flight writes", what, c->what);
    if (overlap(&to, &c->from)) rt_host_fail("%s writes the source of a %s in flight", what, c->what);
    if (overlap(&from, &c->to)) rt_host_fail("%s reads the destination of a %s in flight", what, c->what);
  }
  if (state.count == MAX_COPIES) rt_host_fail("%s: more than %d copies in flight", what, MAX_COPIES);
  copy_t *c = &state.copies[state.count++];
  *c = (copy_t){handle, what, to, from, malloc(bytes_of(&from))};
  if (!c->snapshot) rt_host_fail("out of memory");
  for (uint32_t i = 0; i < from.lines; i++) {
    memcpy(c->snapshot + (size_t)i * from.line, from.at + (size_t)i * from.stride, from.line);
  }
  for (uint32_t i = 0; i < to.lines; i++) memset(to.at + (size_t)i * to.stride, GARBAGE, to.line);
  poison(&to);
  return handle;
}

static void deliver(copy_t *c) {
  for (uint32_t i = 0; i < c->from.lines; i++) {
    const uint8_t *now = c->from.at + (size_t)i * c->from.stride, *then = c->snapshot + (size_t)i * c->from.line;
    for (uint32_t k = 0; k < c->from.line; k++) {
      if (now[k] != then[k]) rt_host_fail("the source of a %s in flight was written (line %u, byte %u)", c->what, i, k);
    }
  }
  unpoison(&c->to);
  for (uint64_t done = 0; done < bytes_of(&c->to); done++) {
    uint8_t *to = c->to.at + done / c->to.line * c->to.stride + done % c->to.line;
    if (*to != GARBAGE) rt_host_fail("the destination of a %s in flight was written", c->what);
    *to = c->snapshot[done];
  }
  free(c->snapshot);
}

void rt_host_wait(uint32_t handle, const char *what) {
  if (handle > state.last_handle) rt_host_fail("%s: wait for a handle that was never started", what);
  int kept = 0;
  for (int i = 0; handle && i < state.count; i++) {
    if (state.copies[i].handle == handle) {
      deliver(&state.copies[i]);
    } else {
      state.copies[kept++] = state.copies[i];
    }
  }
  if (handle) state.count = kept;
  rt_host_repoison(); /* a word may be shared with a neighbour that is still in flight */
}

void rt_host_idle(const char *what) {
  for (int i = 0; i < state.count; i++) {
    if (strcmp(state.copies[i].what, what) == 0) rt_host_fail("a %s is still in flight at the end of the layer", what);
  }
}

void rt_host_repoison(void) {
  for (int i = 0; i < state.count; i++) poison(&state.copies[i].to);
}

void rt_host_transfers_free(void) {
  for (int i = 0; i < state.count; i++) free(state.copies[i].snapshot);
  state.count = 0;
}

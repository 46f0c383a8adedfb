/* Checked asynchronous copies: data arrives at the wait, not before. */
#include <stdlib.h>
#include <string.h>

#include "rt_host_internal.h"

enum { MAX_COPIES = 4096, GARBAGE = 0xa5 };

typedef struct {
  uint32_t handle;
  const char *what;
  drt_area_t to, from;
  uint8_t *snapshot;
} copy_t;

static struct {
  copy_t copies[MAX_COPIES];
  int count;
  uint32_t last_handle;
} state;

static uint64_t bytes_of(const drt_area_t *a) { return (uint64_t)a->lines * a->line; }

/* Lines of `a` against the lines of `b` that can touch them. */
static int overlap(const drt_area_t *a, const drt_area_t *b) {
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

static void poison(const drt_area_t *a) {
  for (uint32_t i = 0; i < a->lines; i++) DRT_POISON(a->at + (size_t)i * a->stride, a->line);
}

static void unpoison(const drt_area_t *a) {
  for (uint32_t i = 0; i < a->lines; i++) DRT_UNPOISON(a->at + (size_t)i * a->stride, a->line);
}

uint32_t drt_host_start(uint32_t handle, const char *what, drt_area_t to, drt_area_t from) {
  if (handle > state.last_handle) drt_host_fail("%s: the handle was not zeroed before its first use", what);
  if (!handle) handle = ++state.last_handle;
  if (bytes_of(&to) == 0) return handle;
  for (int i = 0; i < state.count; i++) {
    const copy_t *c = &state.copies[i];
    const char *how = overlap(&to, &c->to)     ? "writes where one in flight writes"
                      : overlap(&to, &c->from) ? "writes the source of one in flight"
                      : overlap(&from, &c->to) ? "reads the destination of one in flight"
                                               : NULL;
    if (how) {
      drt_host_fail("%s from %s to %s %s (%s from %s to %s)", what, drt_host_place(from.at).text,
                    drt_host_place(to.at).text, how, c->what, drt_host_place(c->from.at).text,
                    drt_host_place(c->to.at).text);
    }
  }
  if (overlap(&to, &from)) drt_host_fail("%s from %s onto itself", what, drt_host_place(from.at).text);
  if (state.count == MAX_COPIES) drt_host_fail("%s: more than %d copies in flight", what, MAX_COPIES);
  copy_t *c = &state.copies[state.count++];
  *c = (copy_t){handle, what, to, from, malloc(bytes_of(&from))};
  if (!c->snapshot) drt_host_fail("out of memory");
  for (uint32_t i = 0; i < from.lines; i++) {
    memcpy(c->snapshot + (size_t)i * from.line, from.at + (size_t)i * from.stride, from.line);
  }
  for (uint32_t i = 0; i < to.lines; i++) memset(to.at + (size_t)i * to.stride, GARBAGE, to.line);
  poison(&to);
  return handle;
}

static void deliver(copy_t *c) {
  const uint32_t line = c->from.line;
  for (uint32_t i = 0; i < c->from.lines; i++) {
    const uint8_t *now = c->from.at + (size_t)i * c->from.stride, *then = c->snapshot + (size_t)i * line;
    if (memcmp(now, then, line) == 0) continue;
    uint32_t k = 0;
    while (now[k] == then[k]) k++;
    drt_host_fail("source of a %s in flight was written (%s; it reads %u x %u bytes from %s)", c->what,
                  drt_host_place(now + k).text, c->from.lines, line, drt_host_place(c->from.at).text);
  }
  unpoison(&c->to);
  for (uint32_t i = 0; i < c->to.lines; i++) {
    uint8_t *to = c->to.at + (size_t)i * c->to.stride;
    for (uint32_t k = 0; k < line; k++) {
      if (to[k] == GARBAGE) continue;
      drt_host_fail("destination of a %s in flight was written (%s; it writes %u x %u bytes to %s)", c->what,
                    drt_host_place(to + k).text, c->to.lines, line, drt_host_place(c->to.at).text);
    }
    memcpy(to, c->snapshot + (size_t)i * line, line);
  }
  free(c->snapshot);
}

void drt_host_wait(uint32_t handle, const char *what) {
  if (handle > state.last_handle) drt_host_fail("%s: wait for a handle that was never started", what);
  int kept = 0;
  for (int i = 0; i < state.count; i++) {
    if (state.copies[i].handle == handle) {
      deliver(&state.copies[i]);
    } else {
      state.copies[kept++] = state.copies[i];
    }
  }
  state.count = kept;
}

void drt_host_check_live(const uint8_t *arena, uint32_t bytes, const uint8_t *live) {
  for (int i = 0; i < state.count; i++) {
    for (int side = 0; side < 2; side++) {
      const drt_area_t *a = side ? &state.copies[i].to : &state.copies[i].from;
      const uintptr_t at = (uintptr_t)a->at - (uintptr_t)arena;
      if (at >= bytes) continue;
      for (uint32_t n = 0; n < a->lines; n++) {
        if (memchr(live + at + (size_t)n * a->stride, 0, a->line)) {
          drt_host_fail("the buffer at %s is given up while a %s in flight %s it", drt_host_place(a->at).text,
                        state.copies[i].what, side ? "writes" : "reads");
        }
      }
    }
  }
}

void drt_host_idle(const char *what) {
  for (int i = 0; i < state.count; i++) {
    const copy_t *c = &state.copies[i];
    if (strcmp(c->what, what) == 0) {
      drt_host_fail("%s from %s to %s was never waited for", what, drt_host_place(c->from.at).text,
                    drt_host_place(c->to.at).text);
    }
  }
}

void drt_host_repoison(void) {
  for (int i = 0; i < state.count; i++) poison(&state.copies[i].to);
}

void drt_host_transfers_free(void) {
  for (int i = 0; i < state.count; i++) free(state.copies[i].snapshot);
  state.count = 0;
}

/* Threads, arenas, RAM and messages of the host runtime. */
#define _POSIX_C_SOURCE 200809L
#include "rt_host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rt_host_internal.h"

enum { MAX_CORES = 64, CANARY = 0xca, GARBAGE = 0xa5, KEPT = 2, DMA_MAX_BYTES = 65535 };

static struct {
  int cores, layer, quit;
  pthread_t threads[MAX_CORES];
  pthread_barrier_t start, end, team;
  void (*fn)(const void *);
  const void *arg;
  uint8_t *ram;
  uint32_t ram_bytes;
  FILE *dump;
  struct {
    uint8_t *live; /* one flag a byte, NULL before the first drt_live */
    uint8_t *base;
    uint32_t bytes;
  } arena[3];
} host = {.layer = -1};

static _Thread_local int core_id;
static _Thread_local int in_team;

_Noreturn void drt_host_fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("dory-host: error: ", stderr);
  if (host.layer >= 0) fprintf(stderr, "layer %d: ", host.layer);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
  fflush(NULL);
  _Exit(70);
}

/* The arena that an address lies in, 0 for none. */
static int space_of(const uint8_t *p) {
  for (int space = 1; space <= 2; space++) {
    const uint8_t *base = host.arena[space].base;
    if (base && p >= base && p < base + host.arena[space].bytes) return space;
  }
  return 0;
}

rt_place_t drt_host_place(const uint8_t *p) {
  rt_place_t out;
  const int space = space_of(p);
  if (space) {
    snprintf(out.text, sizeof out.text, "L%d + %u", space, (unsigned)(p - host.arena[space].base));
  } else if (host.ram && p >= host.ram && p < host.ram + host.ram_bytes) {
    snprintf(out.text, sizeof out.text, "RAM + %u", (unsigned)(p - host.ram));
  } else {
    snprintf(out.text, sizeof out.text, "%p", (const void *)p);
  }
  return out;
}

/* Every byte of a transfer's side must lie in a live buffer of the arena, once drt_live has told which there are. */
static void check_side(const char *what, int space, const uint8_t *at, uint32_t lines, uint32_t line, uint32_t stride) {
  const uint8_t *live = host.arena[space].live;
  for (uint32_t i = 0; live && i < lines; i++) {
    const uint8_t *from = at + (size_t)i * stride;
    const uintptr_t offset = (uintptr_t)from - (uintptr_t)host.arena[space].base;
    const int outside = offset > host.arena[space].bytes || line > host.arena[space].bytes - offset;
    const uint8_t *dead = outside ? NULL : memchr(live + offset, 0, line);
    if (outside || dead) {
      const uint8_t *where = dead ? from + (dead - (live + offset)) : from;
      drt_host_fail("%s touches %s, outside of every L%d buffer (line %u of %u, %u bytes each)", what,
                    drt_host_place(where).text, space, i, lines, line);
    }
  }
}

int drt_core_id(void) { return core_id; }

int drt_core_count(void) { return in_team ? host.cores : 1; }

static void *worker(void *arg) {
  core_id = (int)(intptr_t)arg;
  in_team = 1;
  for (;;) {
    pthread_barrier_wait(&host.start);
    if (host.quit) return NULL;
    host.fn(host.arg);
    pthread_barrier_wait(&host.end);
  }
}

void drt_team_fork(int cores, void (*fn)(const void *), const void *arg) {
  if (cores != host.cores) drt_host_fail("a team of %d cores, the device was opened with %d", cores, host.cores);
  host.fn = fn;
  host.arg = arg;
  pthread_barrier_wait(&host.start);
  in_team = 1;
  fn(arg);
  in_team = 0;
  pthread_barrier_wait(&host.end);
}

void drt_team_barrier(void) {
  if (in_team) pthread_barrier_wait(&host.team);
}

static void check_caller(const char *what) {
  if (core_id || in_team) drt_host_fail("%s by core %d inside a team; core 0 alone may do that", what, core_id);
}

static void check_dma(const void *l1, const void *l2, uint32_t lines, uint32_t line, uint32_t stride) {
  check_caller("a DMA was started");
  if ((uint64_t)lines * line > DMA_MAX_BYTES) drt_host_fail("DMA of %u x %u bytes: 64 KiB or more", lines, line);
  check_side("DMA", 1, l1, lines, line, line);
  check_side("DMA", 2, l2, lines, line, stride);
}

void drt_dma_in(drt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  check_dma(l1, l2, lines, line_bytes, stride_bytes);
  job->id = drt_host_start(job->id, "DMA", (drt_area_t){l1, lines, line_bytes, line_bytes},
                           (drt_area_t){(uint8_t *)(uintptr_t)l2, lines, line_bytes, stride_bytes});
}

void drt_dma_out(drt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  check_dma(l1, l2, lines, line_bytes, stride_bytes);
  job->id = drt_host_start(job->id, "DMA", (drt_area_t){l2, lines, line_bytes, stride_bytes},
                           (drt_area_t){(uint8_t *)(uintptr_t)l1, lines, line_bytes, line_bytes});
}

void drt_fetch(void *to, const void *constants, uint32_t bytes) { memcpy(to, constants, bytes); }

void drt_dma_wait(drt_dma_t *job) {
  check_caller("a DMA was waited for");
  if (job->id) drt_host_wait(job->id, "DMA");
  job->id = 0;
}

static drt_area_t ram_area(const drt_ram_t *job, uint32_t l3, const void *l2, uint32_t bytes) {
  check_caller("a RAM transfer was started");
  if (job->id) drt_host_fail("RAM transfer started on a handle that is in flight: it holds one at a time");
  if (!bytes || l3 % 4 || bytes % 4 || (uintptr_t)l2 % 4) {
    drt_host_fail("RAM transfer of %u bytes between %s and RAM + %u: not whole aligned words", bytes,
                  drt_host_place(l2).text, l3);
  }
  if (l3 > host.ram_bytes || bytes > host.ram_bytes - l3) {
    drt_host_fail("RAM transfer of %u bytes at RAM + %u: the network has %u bytes", bytes, l3, host.ram_bytes);
  }
  check_side("RAM transfer", 2, l2, 1, bytes, bytes);
  return (drt_area_t){host.ram + l3, 1, bytes, bytes};
}

void drt_ram_read(drt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes) {
  job->id = drt_host_start(job->id, "RAM read", (drt_area_t){l2, 1, bytes, bytes}, ram_area(job, l3, l2, bytes));
}

void drt_ram_write(drt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes) {
  job->id = drt_host_start(job->id, "RAM write", ram_area(job, l3, l2, bytes),
                           (drt_area_t){(uint8_t *)(uintptr_t)l2, 1, bytes, bytes});
}

void drt_ram_wait(drt_ram_t *job) {
  check_caller("a RAM transfer was waited for");
  if (job->id) drt_host_wait(job->id, "RAM");
  job->id = 0;
}

uint32_t drt_cycles(void) { return 0; }

void drt_layer_begin(int layer) { host.layer = layer; }

static void check_dead(int space) {
  const uint8_t *base = host.arena[space].base, *live = host.arena[space].live;
  if (!live) return;
  DRT_UNPOISON(base, host.arena[space].bytes);
  for (uint32_t i = 0; i < host.arena[space].bytes; i++) {
    if (!live[i] && base[i] != CANARY) drt_host_fail("L%d + %u, outside of every buffer, was written", space, i);
  }
}

static void poison_dead(int space) {
  const uint8_t *live = host.arena[space].live;
  DRT_POISON(host.arena[space].base, host.arena[space].bytes);
  for (uint32_t i = 0; i < host.arena[space].bytes;) {
    uint32_t end = i;
    while (end < host.arena[space].bytes && live[end]) end++;
    if (end > i) DRT_UNPOISON(host.arena[space].base + i, end - i);
    i = end + 1;
  }
  drt_host_repoison();
}

void drt_layer_end(int layer) {
  drt_host_idle("DMA");
  for (int space = 1; space <= 2; space++) {
    check_dead(space);
    if (host.arena[space].live) poison_dead(space);
  }
  (void)layer;
}

/* Bytes that die get the canary; bytes of L1 that become live get garbage, so that stale data is never right by luck. The
 * first `kept` ranges hold data already. */
void drt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count, int kept) {
  uint8_t *memory = (uint8_t *)(uintptr_t)base, *now = calloc(bytes ? bytes : 1, 1);
  if (!now) drt_host_fail("out of memory");
  check_dead(space);
  for (int r = 0; r < count; r++) {
    const uint32_t at = ranges[2 * r], size = ranges[2 * r + 1];
    if (at > bytes || size > bytes - at)
      drt_host_fail("a buffer at L%d + %u of %u bytes: the arena has %u", space, at, size, bytes);
    memset(now + at, r < kept ? KEPT : 1, size);
  }
  drt_host_check_live(memory, bytes, now);
  DRT_UNPOISON(memory, bytes);
  for (uint32_t i = 0; i < bytes; i++) {
    if (!now[i]) {
      memory[i] = CANARY;
    } else if (space == 1 && now[i] != KEPT) {
      memory[i] = GARBAGE;
    }
  }
  free(host.arena[space].live);
  host.arena[space].live = now;
  host.arena[space].base = memory;
  host.arena[space].bytes = bytes;
  poison_dead(space);
}

void drt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes) {
  (void)layer;
  if (!host.dump) return;
  if (fwrite(l2 ? l2 : host.ram + l3, 1, bytes, host.dump) != bytes) drt_host_fail("the dump file cannot be written");
}

int drt_host_init(uint32_t ram_bytes, int cores) {
  if (cores < 1 || cores > MAX_CORES) return -1;
  host.cores = cores;
  host.quit = 0;
  host.layer = -1;
  host.ram_bytes = (ram_bytes + 3u) / 4u * 4u;
  host.ram = calloc(host.ram_bytes + 4u, 1);
  if (!host.ram) return -1;
  pthread_barrier_init(&host.start, NULL, (unsigned)cores);
  pthread_barrier_init(&host.end, NULL, (unsigned)cores);
  pthread_barrier_init(&host.team, NULL, (unsigned)cores);
  for (int i = 1; i < cores; i++) {
    if (pthread_create(&host.threads[i], NULL, worker, (void *)(intptr_t)i)) return -1;
  }
  return 0;
}

void drt_host_ram_load(uint32_t at, const void *from, uint32_t bytes) {
  if (at > host.ram_bytes || bytes > host.ram_bytes - at) drt_host_fail("the weights do not fit the RAM");
  memcpy(host.ram + at, from, bytes);
}

int drt_host_dump_open(const char *path) {
  host.dump = fopen(path, "wb");
  return host.dump ? 0 : -1;
}

void drt_host_free(void) {
  drt_host_idle("RAM read");
  drt_host_idle("RAM write");
  host.quit = 1;
  pthread_barrier_wait(&host.start);
  for (int i = 1; i < host.cores; i++) pthread_join(host.threads[i], NULL);
  pthread_barrier_destroy(&host.start);
  pthread_barrier_destroy(&host.end);
  pthread_barrier_destroy(&host.team);
  drt_host_transfers_free();
  for (int space = 1; space <= 2; space++) {
    if (host.arena[space].live) DRT_UNPOISON(host.arena[space].base, host.arena[space].bytes);
    free(host.arena[space].live);
    host.arena[space].live = host.arena[space].base = NULL;
  }
  free(host.ram);
  host.ram = NULL;
  if (host.dump && fclose(host.dump)) drt_host_fail("the dump file cannot be written");
  host.dump = NULL;
}

/* Threads, arenas, RAM and messages of the host runtime. */
#define _POSIX_C_SOURCE 200809L
#include "rt_host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rt_host_internal.h"

enum { MAX_CORES = 64, CANARY = 0xca, GARBAGE = 0xa5, DMA_MAX_BYTES = 65535 };

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
    uint8_t *live; /* one flag a byte, NULL before the first rt_live */
    uint8_t *base;
    uint32_t bytes;
  } arena[3];
} host = {.layer = -1};

static _Thread_local int core_id;
static _Thread_local int in_team;

_Noreturn void rt_host_fail(const char *format, ...) {
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

rt_place_t rt_host_place(const uint8_t *p) {
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

/* Every byte of a transfer's side must lie in a live buffer of the arena, once rt_live has told which there are. */
static void check_side(const char *what, int space, const uint8_t *at, uint32_t lines, uint32_t line, uint32_t stride) {
  const uint8_t *live = host.arena[space].live;
  for (uint32_t i = 0; live && i < lines; i++) {
    const uint8_t *from = at + (size_t)i * stride;
    const uintptr_t offset = (uintptr_t)from - (uintptr_t)host.arena[space].base;
    const int outside = offset > host.arena[space].bytes || line > host.arena[space].bytes - offset;
    const uint8_t *dead = outside ? NULL : memchr(live + offset, 0, line);
    if (outside || dead) {
      const uint8_t *where = dead ? from + (dead - (live + offset)) : from;
      rt_host_fail("%s touches %s, outside of every L%d buffer (line %u of %u, %u bytes each)", what,
                   rt_host_place(where).text, space, i, lines, line);
    }
  }
}

int rt_core_id(void) { return core_id; }

int rt_core_count(void) { return in_team ? host.cores : 1; }

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

void rt_team_fork(int cores, void (*fn)(const void *), const void *arg) {
  if (cores != host.cores) rt_host_fail("a team of %d cores, the device was opened with %d", cores, host.cores);
  host.fn = fn;
  host.arg = arg;
  pthread_barrier_wait(&host.start);
  in_team = 1;
  fn(arg);
  in_team = 0;
  pthread_barrier_wait(&host.end);
}

void rt_team_barrier(void) {
  if (in_team) pthread_barrier_wait(&host.team);
}

static void check_caller(const char *what) {
  if (core_id || in_team) rt_host_fail("%s by core %d inside a team; core 0 alone may do that", what, core_id);
}

static void check_dma(const void *l1, const void *l2, uint32_t lines, uint32_t line, uint32_t stride) {
  check_caller("a DMA was started");
  if ((uint64_t)lines * line > DMA_MAX_BYTES) rt_host_fail("DMA of %u x %u bytes: 64 KiB or more", lines, line);
  check_side("DMA", 1, l1, lines, line, line);
  check_side("DMA", 2, l2, lines, line, stride);
}

void rt_dma_in(rt_dma_t *job, void *l1, const void *l2, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  check_dma(l1, l2, lines, line_bytes, stride_bytes);
  job->id = rt_host_start(job->id, "DMA", (rt_area_t){l1, lines, line_bytes, line_bytes},
                          (rt_area_t){(uint8_t *)(uintptr_t)l2, lines, line_bytes, stride_bytes});
}

void rt_dma_out(rt_dma_t *job, void *l2, const void *l1, uint32_t lines, uint32_t line_bytes, uint32_t stride_bytes) {
  check_dma(l1, l2, lines, line_bytes, stride_bytes);
  job->id = rt_host_start(job->id, "DMA", (rt_area_t){l2, lines, line_bytes, stride_bytes},
                          (rt_area_t){(uint8_t *)(uintptr_t)l1, lines, line_bytes, line_bytes});
}

void rt_dma_wait(rt_dma_t *job) {
  check_caller("a DMA was waited for");
  if (job->id) rt_host_wait(job->id, "DMA");
  job->id = 0;
}

static rt_area_t ram_area(const rt_ram_t *job, uint32_t l3, const void *l2, uint32_t bytes) {
  check_caller("a RAM transfer was started");
  if (job->id) rt_host_fail("RAM transfer started on a handle that is in flight: it holds one at a time");
  if (l3 % 4 || bytes % 4 || (uintptr_t)l2 % 4) {
    rt_host_fail("RAM transfer of %u bytes between %s and RAM + %u: not whole aligned words", bytes,
                 rt_host_place(l2).text, l3);
  }
  if (l3 > host.ram_bytes || bytes > host.ram_bytes - l3) {
    rt_host_fail("RAM transfer of %u bytes at RAM + %u: the network has %u bytes", bytes, l3, host.ram_bytes);
  }
  check_side("RAM transfer", 2, l2, 1, bytes, bytes);
  return (rt_area_t){host.ram + l3, 1, bytes, bytes};
}

void rt_ram_read(rt_ram_t *job, void *l2, uint32_t l3, uint32_t bytes) {
  job->id = rt_host_start(job->id, "RAM read", (rt_area_t){l2, 1, bytes, bytes}, ram_area(job, l3, l2, bytes));
}

void rt_ram_write(rt_ram_t *job, const void *l2, uint32_t l3, uint32_t bytes) {
  job->id = rt_host_start(job->id, "RAM write", ram_area(job, l3, l2, bytes),
                          (rt_area_t){(uint8_t *)(uintptr_t)l2, 1, bytes, bytes});
}

void rt_ram_wait(rt_ram_t *job) {
  check_caller("a RAM transfer was waited for");
  if (job->id) rt_host_wait(job->id, "RAM");
  job->id = 0;
}

uint32_t rt_cycles(void) { return 0; }

void rt_layer_begin(int layer) { host.layer = layer; }

static void check_dead(int space) {
  const uint8_t *base = host.arena[space].base, *live = host.arena[space].live;
  if (!live) return;
  RT_UNPOISON(base, host.arena[space].bytes);
  for (uint32_t i = 0; i < host.arena[space].bytes; i++) {
    if (!live[i] && base[i] != CANARY) rt_host_fail("L%d + %u, outside of every buffer, was written", space, i);
  }
}

static void poison_dead(int space) {
  const uint8_t *live = host.arena[space].live;
  RT_POISON(host.arena[space].base, host.arena[space].bytes);
  for (uint32_t i = 0; i < host.arena[space].bytes;) {
    uint32_t end = i;
    while (end < host.arena[space].bytes && live[end]) end++;
    if (end > i) RT_UNPOISON(host.arena[space].base + i, end - i);
    i = end + 1;
  }
  rt_host_repoison();
}

void rt_layer_end(int layer) {
  rt_host_idle("DMA");
  for (int space = 1; space <= 2; space++) {
    check_dead(space);
    if (host.arena[space].live) poison_dead(space);
  }
  (void)layer;
}

/* Bytes that die get the canary; bytes of L1 that become live get garbage, so that stale data is never right by luck.
 */
void rt_live(int space, const void *base, uint32_t bytes, const uint32_t *ranges, int count) {
  uint8_t *memory = (uint8_t *)(uintptr_t)base, *now = calloc(bytes ? bytes : 1, 1);
  if (!now) rt_host_fail("out of memory");
  check_dead(space);
  for (int r = 0; r < count; r++) {
    const uint32_t at = ranges[2 * r], size = ranges[2 * r + 1];
    if (at > bytes || size > bytes - at)
      rt_host_fail("a buffer at L%d + %u of %u bytes: the arena has %u", space, at, size, bytes);
    memset(now + at, 1, size);
  }
  rt_host_check_live(memory, bytes, now);
  RT_UNPOISON(memory, bytes);
  for (uint32_t i = 0; i < bytes; i++) {
    if (!now[i]) {
      memory[i] = CANARY;
    } else if (space == 1) {
      memory[i] = GARBAGE;
    }
  }
  free(host.arena[space].live);
  host.arena[space].live = now;
  host.arena[space].base = memory;
  host.arena[space].bytes = bytes;
  poison_dead(space);
}

void rt_dump_layer(int layer, const void *l2, uint32_t l3, uint32_t bytes) {
  (void)layer;
  if (!host.dump) return;
  if (fwrite(l2 ? l2 : host.ram + l3, 1, bytes, host.dump) != bytes) rt_host_fail("the dump file cannot be written");
}

int rt_host_init(uint32_t ram_bytes, int cores) {
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

void rt_host_ram_load(uint32_t at, const void *from, uint32_t bytes) {
  if (at > host.ram_bytes || bytes > host.ram_bytes - at) rt_host_fail("the weights do not fit the RAM");
  memcpy(host.ram + at, from, bytes);
}

int rt_host_dump_open(const char *path) {
  host.dump = fopen(path, "wb");
  return host.dump ? 0 : -1;
}

void rt_host_free(void) {
  rt_host_idle("RAM read");
  rt_host_idle("RAM write");
  host.quit = 1;
  pthread_barrier_wait(&host.start);
  for (int i = 1; i < host.cores; i++) pthread_join(host.threads[i], NULL);
  pthread_barrier_destroy(&host.start);
  pthread_barrier_destroy(&host.end);
  pthread_barrier_destroy(&host.team);
  rt_host_transfers_free();
  for (int space = 1; space <= 2; space++) {
    if (host.arena[space].live) RT_UNPOISON(host.arena[space].base, host.arena[space].bytes);
    free(host.arena[space].live);
    host.arena[space].live = host.arena[space].base = NULL;
  }
  free(host.ram);
  host.ram = NULL;
  if (host.dump && fclose(host.dump)) rt_host_fail("the dump file cannot be written");
  host.dump = NULL;
}

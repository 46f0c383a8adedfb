/* Shared by the parts of the host runtime. */
#ifndef DORY_RT_HOST_INTERNAL_H
#define DORY_RT_HOST_INTERNAL_H

#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define DRT_POISON(p, n) __asan_poison_memory_region(p, n)
#define DRT_UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define DRT_POISON(p, n) ((void)(p), (void)(n))
#define DRT_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* `lines` pieces of `line` bytes, `stride` apart. */
typedef struct {
  uint8_t *at;
  uint32_t lines, line, stride;
} drt_area_t;

_Noreturn void drt_host_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An address as "L2 + 128", for messages. */
typedef struct {
  char text[40];
} rt_place_t;

rt_place_t drt_host_place(const uint8_t *p);

/* Starts a checked copy: handle 0 makes a new one. what names it in messages. */
uint32_t drt_host_start(uint32_t handle, const char *what, drt_area_t to, drt_area_t from);
void drt_host_wait(uint32_t handle, const char *what);
void drt_host_idle(const char *what); /* fails when a copy of that kind is in flight */
/* Fails when a copy in flight reads or writes a byte of the arena whose flag in `live` is 0. */
void drt_host_check_live(const uint8_t *arena, uint32_t bytes, const uint8_t *live);
void drt_host_repoison(void); /* destinations in flight, after the arenas' poison was set anew */
void drt_host_transfers_free(void);

#endif

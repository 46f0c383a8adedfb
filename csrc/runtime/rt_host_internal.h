/* Shared by the parts of the host runtime. */
#ifndef DORY_RT_HOST_INTERNAL_H
#define DORY_RT_HOST_INTERNAL_H

#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define RT_POISON(p, n) __asan_poison_memory_region(p, n)
#define RT_UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define RT_POISON(p, n) ((void)(p), (void)(n))
#define RT_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* `lines` pieces of `line` bytes, `stride` apart. */
typedef struct {
  uint8_t *at;
  uint32_t lines, line, stride;
} rt_area_t;

_Noreturn void rt_host_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void rt_host_set_layer(int layer);

/* Starts a checked copy: handle 0 makes a new one. what names it in messages. */
uint32_t rt_host_start(uint32_t handle, const char *what, rt_area_t to, rt_area_t from);
void rt_host_wait(uint32_t handle, const char *what);
void rt_host_idle(const char *what); /* fails when a copy of that kind is in flight */
void rt_host_repoison(void);         /* destinations in flight, after the arenas' poison was set anew */
void rt_host_transfers_free(void);

#endif

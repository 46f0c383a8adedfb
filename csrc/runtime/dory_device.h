/* Opens the chip for a network and runs work on its cluster. One implementation a platform: device_gap8.c,
 * device_host.c, device_sim.c. Called from the fabric controller. */
#ifndef DORY_DEVICE_H
#define DORY_DEVICE_H

#include <stdint.h>

typedef struct {
  const char *weights_file; /* in the read-only file system; copied to external RAM by dory_device_open */
  uint32_t weights_bytes;   /* a multiple of 4 */
  uint32_t l1_bytes, l2_bytes, l3_bytes;
  uint32_t stack_core0, stack_worker;
  int cores;
} dory_device_conf_t;

typedef struct {
  uint8_t *l1, *l2; /* arenas; l1 is valid on the cluster, during dory_device_run */
  uint32_t l3;      /* external RAM address of the arena; the weights file is at its start */
} dory_device_t;

/* 0, or a negative number that names the step that failed. */
int dory_device_open(dory_device_t *device, const dory_device_conf_t *conf);

/* entry(arg) on core 0 of the cluster; returns when it has returned. */
int dory_device_run(dory_device_t *device, void (*entry)(void *), void *arg);

/* Copies bytes [at, at + bytes) of a file of the read-only file system to L2, once the device is open; the number of
 * bytes read, or a negative number. */
int32_t dory_read_at(const char *file, uint32_t at, void *to, uint32_t bytes);

void dory_device_close(dory_device_t *device);

/* The platform's print, a string and numbers without format strings, so that the simulator needs no C library. */
void dory_print(const char *text);
void dory_print_number(int64_t value);

/* The application's body; the platform's main() calls it on the fabric controller. */
int dory_main(void);

#endif

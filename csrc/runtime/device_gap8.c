/* The device on GAP8: HyperRAM, read-only file system in HyperFlash, the cluster. */
#include "pmsis.h"
#include "bsp/bsp.h"
#include "bsp/flash.h"
#include "bsp/flash/hyperflash.h"
#include "bsp/fs.h"
#include "bsp/fs/readfs.h"
#include "bsp/ram.h"
#include "bsp/ram/hyperram.h"

#include "dory_device.h"
#include "dory_rt.h"

#define COPY_BYTES 16384u
#define DORY_ALIGN 8u

struct pi_device *drt_gap8_ram;

static struct {
  struct pi_device cluster, ram, flash, fs;
  dory_device_conf_t conf;
  uint8_t *l2;
  uint32_t l3;
  const char *file_name; /* the file read last stays open, so that reading on costs no seek */
  pi_fs_file_t *file;
  uint32_t file_at;
} chip;

static struct {
  dory_device_t *device;
  void (*entry)(void *);
  void *arg;
  int failed;
} work;

static uint8_t *align_up(uint8_t *p) { return (uint8_t *)(((uint32_t)p + DORY_ALIGN - 1u) / DORY_ALIGN * DORY_ALIGN); }

static int open_memories(void) {
  struct pi_hyperram_conf ram_conf;
  struct pi_hyperflash_conf flash_conf;
  struct pi_readfs_conf fs_conf;
  pi_hyperram_conf_init(&ram_conf);
  pi_open_from_conf(&chip.ram, &ram_conf);
  if (pi_ram_open(&chip.ram)) return -1;
  drt_gap8_ram = &chip.ram;
  pi_hyperflash_conf_init(&flash_conf);
  pi_open_from_conf(&chip.flash, &flash_conf);
  if (pi_flash_open(&chip.flash)) return -2;
  pi_readfs_conf_init(&fs_conf);
  fs_conf.fs.flash = &chip.flash;
  pi_open_from_conf(&chip.fs, &fs_conf);
  return pi_fs_mount(&chip.fs) ? -3 : 0;
}

int32_t dory_read_at(const char *file, uint32_t at, void *to, uint32_t bytes) {
  if (file != chip.file_name || at < chip.file_at) {
    chip.file = pi_fs_open(&chip.fs, file, 0);
    chip.file_name = chip.file ? file : 0;
    chip.file_at = 0;
  }
  if (!chip.file) return -1;
  while (chip.file_at < at) {
    const uint32_t skip = at - chip.file_at < bytes ? at - chip.file_at : bytes;
    const int n = pi_fs_read(chip.file, to, skip);
    if (n <= 0) return -1;
    chip.file_at += (uint32_t)n;
  }
  uint32_t done = 0;
  while (done < bytes) {
    const int n = pi_fs_read(chip.file, (uint8_t *)to + done, bytes - done);
    if (n <= 0) break;
    done += (uint32_t)n;
    chip.file_at += (uint32_t)n;
  }
  return (int32_t)done;
}

/* Flash -> L2 -> HyperRAM through the arena, which is still empty. */
static int copy_weights(uint8_t *buffer, uint32_t buffer_bytes) {
  const uint32_t chunk = (buffer_bytes < COPY_BYTES ? buffer_bytes : COPY_BYTES) & ~3u;
  for (uint32_t at = 0; at < chip.conf.weights_bytes; at += chunk) {
    const uint32_t left = chip.conf.weights_bytes - at, bytes = left < chunk ? left : chunk;
    if (dory_read_at(chip.conf.weights_file, at, buffer, bytes) != (int32_t)bytes) return -7;
    pi_ram_write(&chip.ram, chip.l3 + at, buffer, bytes);
  }
  return 0;
}

int dory_device_open(dory_device_t *device, const dory_device_conf_t *conf) {
  struct pi_cluster_conf cluster_conf;
  chip.conf = *conf;
#ifdef DORY_FC_HZ
  pi_freq_set(PI_FREQ_DOMAIN_FC, DORY_FC_HZ);
#endif
  const int error = open_memories();
  if (error) return error;
  chip.l2 = pi_l2_malloc(conf->l2_bytes + DORY_ALIGN);
  if (!chip.l2) return -4;
  if (pi_ram_alloc(&chip.ram, &chip.l3, conf->l3_bytes)) return -5;
  device->l2 = align_up(chip.l2);
  device->l3 = chip.l3;
  const int copied = copy_weights(device->l2, conf->l2_bytes);
  if (copied) return copied;
  pi_cluster_conf_init(&cluster_conf);
  cluster_conf.id = 0;
  pi_open_from_conf(&chip.cluster, &cluster_conf);
  if (pi_cluster_open(&chip.cluster)) return -6;
#ifdef DORY_CL_HZ
  pi_freq_set(PI_FREQ_DOMAIN_CL, DORY_CL_HZ);
#endif
  return 0;
}

static void cluster_entry(void *arg) {
  (void)arg;
  uint8_t *l1 = pmsis_l1_malloc(chip.conf.l1_bytes + DORY_ALIGN);
  if (!l1) {
    work.failed = 1;
    return;
  }
  work.device->l1 = align_up(l1);
  pi_perf_conf(1 << PI_PERF_CYCLES);
  pi_perf_reset();
  pi_perf_start();
  work.entry(work.arg);
  pmsis_l1_malloc_free(l1, chip.conf.l1_bytes + DORY_ALIGN);
}

int dory_device_run(dory_device_t *device, void (*entry)(void *), void *arg) {
  struct pi_cluster_task task = {0};
  work.device = device;
  work.entry = entry;
  work.arg = arg;
  work.failed = 0;
  task.entry = cluster_entry;
  task.stack_size = chip.conf.stack_core0;
  task.slave_stack_size = chip.conf.stack_worker;
  pi_cluster_send_task_to_cl(&chip.cluster, &task);
  return work.failed ? -8 : 0;
}

void dory_device_close(dory_device_t *device) {
  (void)device;
  pi_cluster_close(&chip.cluster);
  pi_ram_free(&chip.ram, chip.l3, chip.conf.l3_bytes);
  pi_l2_free(chip.l2, chip.conf.l2_bytes + DORY_ALIGN);
}

void dory_print(const char *text) { printf("%s", text); }

void dory_print_number(int64_t value) { printf("%ld", (long)value); }

static void kickoff(void *arg) {
  (void)arg;
  pmsis_exit(dory_main());
}

int main(void) { return pmsis_kickoff((void *)kickoff); }

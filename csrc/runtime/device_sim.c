/* The device in the simulator: L1 holds the cluster's stacks, then the arena; L2 the program, then the arena. The
 * simulator puts the weights and the other files into external RAM before the program starts. */
#include <stddef.h>

#include "dory_device.h"
#include "dory_rt.h"

/* From the linker script. */
extern uint8_t dory_l1_start[], dory_l1_end[], dory_l2_start[], dory_l2_end[];

static struct { uint32_t stack_core0, stack_worker; } cluster;

/* The file system is behind the network's part of RAM: a directory, then the files, all at multiples of 4. */
typedef struct {
  char name[24];
  uint32_t at, bytes;
} file_t;

static void ram_read(void *to, uint32_t at, uint32_t bytes) {
  drt_ram_t job = {0};
  drt_ram_read(&job, to, at, bytes);
  drt_ram_wait(&job);
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

int32_t dory_read_at(const char *file, uint32_t at, void *to, uint32_t bytes) {
  static uint8_t word[256] __attribute__((aligned(4)));
  static file_t entry __attribute__((aligned(4)));
  uint32_t directory = DORY_SIM_FILES;
  do {
    ram_read(&entry, directory, sizeof entry);
    directory += sizeof entry;
  } while (entry.name[0] && !same(entry.name, file));
  if (!entry.name[0] || at > entry.bytes) return -1;
  const uint32_t left = entry.bytes - at, count = bytes < left ? bytes : left;
  for (uint32_t done = 0; done < count;) {
    const uint32_t from = entry.at + at + done, skip = from % 4u;
    const uint32_t some = count - done < sizeof word - skip ? count - done : (uint32_t)sizeof word - skip;
    ram_read(word, from - skip, (skip + some + 3u) / 4u * 4u);
    for (uint32_t i = 0; i < some; i++) ((uint8_t *)to)[done + i] = word[skip + i];
    done += some;
  }
  return (int32_t)count;
}

int dory_device_open(dory_device_t *device, const dory_device_conf_t *conf) {
  const uint32_t stacks = (conf->stack_core0 + (uint32_t)(conf->cores - 1) * conf->stack_worker + 7u) / 8u * 8u;
  if (stacks + conf->l1_bytes > (uint32_t)(dory_l1_end - dory_l1_start)) return -2;
  if (conf->l2_bytes > (uint32_t)(dory_l2_end - dory_l2_start)) return -3;
  cluster.stack_core0 = conf->stack_core0;
  cluster.stack_worker = conf->stack_worker;
  device->l1 = dory_l1_start + stacks;
  device->l2 = dory_l2_start;
  device->l3 = 0;
  return 0;
}

int dory_device_run(dory_device_t *device, void (*entry)(void *), void *arg) {
  (void)device;
  drt_cluster_run(entry, arg, dory_l1_start, cluster.stack_core0, cluster.stack_worker);
  return 0;
}

void dory_device_close(dory_device_t *device) { (void)device; }

void dory_print(const char *text) {
  uint32_t bytes = 0;
  while (text[bytes]) bytes++;
  (void)drt_trap(ISS_WRITE, (uint32_t)text, bytes, 0, 0, 0, 0, 0);
}

void dory_print_number(int64_t value) {
  char text[24];
  char *p = text + sizeof text;
  uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value; /* cycles and counts: 32 bits are enough */
  *--p = 0;
  do {
    *--p = (char)('0' + rest % 10u);
    rest /= 10u;
  } while (rest);
  if (value < 0) *--p = '-';
  dory_print(p);
}

/* What the compiler may call on its own. */
void *memset(void *to, int value, size_t bytes) {
  uint8_t *p = to;
  for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)value;
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  uint8_t *p = to;
  const uint8_t *q = from;
  for (size_t i = 0; i < bytes; i++) p[i] = q[i];
  return to;
}

static uint8_t fc_stack[8192] __attribute__((aligned(16), used, section(".bss.fc_stack")));

__attribute__((used)) static void start(void) {
  (void)drt_trap(ISS_STACK, (uint32_t)fc_stack, (uint32_t)(fc_stack + sizeof fc_stack), 0, 0, 0, 0, 0);
  (void)drt_trap(ISS_EXIT, (uint32_t)dory_main(), 0, 0, 0, 0, 0, 0);
}

__asm__(
    "  .section .text.start, \"ax\"\n"
    "  .globl _start\n"
    "  .type _start, @function\n"
    "_start:\n"
    "  .option push\n"
    "  .option norelax\n"
    "  la gp, __global_pointer$\n"
    "  .option pop\n"
    "  la sp, fc_stack + 8192\n"
    "  tail start\n"
    "  .size _start, .-_start\n"
    "  .text\n");

/* The device on a PC: arenas in memory, the file system is a folder, the cluster is the runtime's thread team. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dory_device.h"
#include "dory_rt.h"

static const char *data_folder = ".";

static FILE *open_file(const char *name) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s/%s", data_folder, name) >= (int)sizeof path) return NULL;
  return fopen(path, "rb");
}

int32_t dory_read_at(const char *file, uint32_t at, void *to, uint32_t bytes) {
  FILE *f = open_file(file);
  if (!f) return -1;
  const int ok = fseek(f, (long)at, SEEK_SET) == 0;
  const size_t n = ok ? fread(to, 1, bytes, f) : 0;
  fclose(f);
  return (int32_t)n;
}

int dory_device_open(dory_device_t *device, const dory_device_conf_t *conf) {
  if (drt_host_init(conf->l3_bytes, conf->cores)) return -1;
  /* Exactly as large as planned, so that the sanitizer sees an access behind the end. */
  device->l1 = malloc(conf->l1_bytes + !conf->l1_bytes);
  device->l2 = malloc(conf->l2_bytes + !conf->l2_bytes);
  if (!device->l1 || !device->l2) return -2;
  memset(device->l1, 0xa5, conf->l1_bytes);
  memset(device->l2, 0xa5, conf->l2_bytes);
  device->l3 = 0;
  uint8_t *weights = malloc(conf->weights_bytes + 1u);
  if (!weights) return -4;
  const int32_t n = dory_read_at(conf->weights_file, 0, weights, conf->weights_bytes + 1u);
  if (n == (int32_t)conf->weights_bytes) drt_host_ram_load(0, weights, conf->weights_bytes);
  free(weights);
  return n == (int32_t)conf->weights_bytes ? 0 : -5;
}

int dory_device_run(dory_device_t *device, void (*entry)(void *), void *arg) {
  (void)device;
  entry(arg);
  return 0;
}

void dory_device_close(dory_device_t *device) {
  drt_host_free();
  free(device->l1);
  free(device->l2);
}

void dory_print(const char *text) { fputs(text, stdout); }

void dory_print_number(int64_t value) { printf("%lld", (long long)value); }

/* network DATA [DUMP]: DATA is the application's data folder, DUMP gets every layer's output. */
int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: %s DATA_FOLDER [DUMP_FILE]\n", argv[0]);
    return 2;
  }
  data_folder = argv[1];
  if (argc == 3 && drt_host_dump_open(argv[2])) {
    fprintf(stderr, "dory-host: error: cannot write %s\n", argv[2]);
    return 70;
  }
  return dory_main();
}

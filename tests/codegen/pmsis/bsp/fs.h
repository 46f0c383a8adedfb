#include "pmsis.h"

typedef struct {
  uint32_t size;
} pi_fs_file_t;
struct pi_fs_conf {
  struct pi_device *flash;
};
int pi_fs_mount(struct pi_device *device);
pi_fs_file_t *pi_fs_open(struct pi_device *device, const char *file, int flags);
int pi_fs_read(pi_fs_file_t *file, void *buffer, uint32_t size);

#ifndef BSP_RAM_H
#define BSP_RAM_H

#include "pmsis.h"

typedef struct {
  uint32_t words[16];
} pi_cl_ram_req_t;

int pi_ram_open(struct pi_device *device);
int pi_ram_alloc(struct pi_device *device, uint32_t *chunk, uint32_t size);
int pi_ram_free(struct pi_device *device, uint32_t chunk, uint32_t size);
void pi_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size);
void pi_cl_ram_read(struct pi_device *device, uint32_t address, void *data, uint32_t size, pi_cl_ram_req_t *req);
void pi_cl_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size, pi_cl_ram_req_t *req);
void pi_cl_ram_read_wait(pi_cl_ram_req_t *req);
void pi_cl_ram_write_wait(pi_cl_ram_req_t *req);

#endif

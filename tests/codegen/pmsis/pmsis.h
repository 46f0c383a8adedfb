/* Declarations of the SDK's calls that the runtime uses, as its documentation gives them: enough to compile against, nothing
 * to link. */
#ifndef PMSIS_H
#define PMSIS_H

#include <stdint.h>

struct pi_device {
  void *data;
};

typedef struct {
  int id;
} pi_cl_dma_cmd_t;

typedef enum { PI_CL_DMA_DIR_LOC2EXT = 0, PI_CL_DMA_DIR_EXT2LOC = 1 } pi_cl_dma_dir_e;

enum { PI_FREQ_DOMAIN_FC, PI_FREQ_DOMAIN_CL };
enum { PI_PERF_CYCLES };

struct pi_cluster_conf {
  int id;
};

struct pi_cluster_task {
  void (*entry)(void *);
  void *arg;
  uint32_t stack_size, slave_stack_size;
};

/* Names of the SDK's operating system, which this header brings in there too: ours must not collide. */
typedef struct {
  int id;
} rt_dma_copy_t;
static inline void rt_dma_wait(rt_dma_copy_t *copy) { (void)copy; }
static inline int rt_core_id(void) { return 0; }
static inline void rt_team_fork(int cores, void (*entry)(void *), void *arg) { (void)cores, (void)entry, (void)arg; }
static inline void rt_team_barrier(void) {}
static inline int rt_nb_pe(void) { return 8; }
#define ALIGN(value, size) ((value) / (size) * (size))

int printf(const char *format, ...);
int pmsis_kickoff(void *entry);
void pmsis_exit(int code);
void *pmsis_l1_malloc(uint32_t size);
void pmsis_l1_malloc_free(void *chunk, int size);
void *pi_l2_malloc(int size);
void pi_l2_free(void *chunk, int size);
void pi_open_from_conf(struct pi_device *device, void *conf);
int pi_freq_set(int domain, uint32_t hz);
void pi_perf_conf(unsigned events);
void pi_perf_reset(void);
void pi_perf_start(void);
unsigned pi_perf_read(int event);
int pi_core_id(void);
void pi_cl_team_barrier(int barrier);
void pi_cl_team_fork(int cores, void (*entry)(void *), void *arg);
void pi_cl_dma_cmd(uint32_t ext, uint32_t loc, uint32_t size, pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd);
void pi_cl_dma_cmd_2d(uint32_t ext, uint32_t loc, uint32_t size, uint32_t stride, uint32_t length, pi_cl_dma_dir_e dir,
                      pi_cl_dma_cmd_t *cmd);
void pi_cl_dma_cmd_wait(pi_cl_dma_cmd_t *cmd);
void pi_cluster_conf_init(struct pi_cluster_conf *conf);
int pi_cluster_open(struct pi_device *device);
int pi_cluster_close(struct pi_device *device);
int pi_cluster_send_task_to_cl(struct pi_device *device, struct pi_cluster_task *task);

#endif

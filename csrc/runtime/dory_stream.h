/* Weights from L3: one queue of reads for the whole network, started ahead of the layers that need them. */
#ifndef DORY_STREAM_H
#define DORY_STREAM_H

#include <stdint.h>

#include "dory_rt.h"

#define DORY_READS_AHEAD 16 /* most reads under way */

/* One transfer: offsets in the arenas, bytes. */
typedef struct {
  uint32_t l3, l2, bytes;
} dory_read_t;

/* Where a layer, or a part of one, begins to compute: how many reads are to be started by then, and how many finished. */
typedef struct {
  uint16_t started, needed;
} dory_point_t;

typedef struct {
  const dory_read_t *reads;
  const dory_point_t *points;
  uint8_t *l2;
  uint32_t l3;
  uint32_t started, finished;
  drt_ram_t jobs[DORY_READS_AHEAD];
} dory_stream_t;

/* Returns when the point's reads are done. Points come in order; coming to one again does nothing. */
void dory_stream_at(dory_stream_t *s, uint32_t point);

#endif

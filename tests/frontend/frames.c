/* Runs the network on every frame of frames.bin in turn (int32 count, then the inputs), without opening it anew. */
#include <stdint.h>

#include "dory_device.h"
#include "network.h"

int dory_main(void) {
  static int32_t frames;
  if (network_init() || dory_read_at("frames.bin", 0, &frames, sizeof frames) != sizeof frames) return 1;
  for (int32_t i = 0; i < frames; i++) {
    const uint32_t at = (uint32_t)(sizeof frames + i * NETWORK_INPUT0_BYTES);
    if (dory_read_at("frames.bin", at, network_input(0), NETWORK_INPUT0_BYTES) != NETWORK_INPUT0_BYTES) return 1;
    if (network_run()) return 1;
  }
  network_free();
  return 0;
}

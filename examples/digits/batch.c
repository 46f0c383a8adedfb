/* Runs the network on many images, as firmware would: network.h is all it needs. Reads images.bin (int32 count, then the
 * images) from the data folder and prints each output as numbers. */
#include <stdint.h>

#include "dory_device.h"
#include "network.h"

int dory_main(void) {
  static int32_t images;
  if (network_init() || dory_read_at("images.bin", 0, &images, sizeof images) != sizeof images) return 1;
  for (int32_t i = 0; i < images; i++) {
    const uint32_t at = (uint32_t)(sizeof images + i * NETWORK_INPUT0_BYTES);
    if (dory_read_at("images.bin", at, network_input(0), NETWORK_INPUT0_BYTES) != NETWORK_INPUT0_BYTES) return 1;
    if (network_run()) return 1;
    const network_output0_t *scores = network_output(0);
    for (int k = 0; k < NETWORK_OUTPUT0_BYTES; k++) {
      dory_print_number(scores[k]);
      dory_print(k + 1 < NETWORK_OUTPUT0_BYTES ? " " : "\n");
    }
  }
  network_free();
  return 0;
}

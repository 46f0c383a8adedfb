/* CRC-32 (the polynomial of zlib and PNG), incremental: start with 0. */
#ifndef DORY_CRC32_H
#define DORY_CRC32_H

#include <stdint.h>

uint32_t dory_crc32(uint32_t crc, const uint8_t *data, uint32_t bytes);

#endif

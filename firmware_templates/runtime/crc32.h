/* CRC-32 as in zlib, Ethernet and PNG: reflected polynomial 0xEDB88320, initial value and final
 * exclusive-or of all ones. The check value of "123456789" is 0xCBF43926. */
#ifndef NANO_CRC32_H
#define NANO_CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t nano_crc32(const uint8_t *data, size_t size);

#endif

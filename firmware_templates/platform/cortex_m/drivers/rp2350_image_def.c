/* What the RP2350's boot ROM looks for in the first 4 KB of the flash: the smallest image definition.
 *
 * RP2350 datasheet, 5.9: a loop of one block with one item, IMAGE_TYPE, which says executable, Arm,
 * Secure, RP2350. Without further items the ROM takes the vector table at the start of the flash, and
 * has set the flash up for reading in place before (5.2.9). */
#include <stdint.h>

#define BLOCK_START 0xFFFFDED3u
#define ITEM_IMAGE_TYPE 0x10210142u /* EXE, Secure, Arm, RP2350; a word long; kind 0x42 */
#define ITEM_LAST 0x000001FFu /* after one word of items */
#define TO_ITSELF 0u /* the next block of the loop, relative to this */
#define BLOCK_END 0xAB123579u

__attribute__((used, section(".boot_block"))) static const uint32_t image_def[] = {
    BLOCK_START, ITEM_IMAGE_TYPE, ITEM_LAST, TO_ITSELF, BLOCK_END,
};

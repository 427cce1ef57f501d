#include "link_bytes.h"

uint16_t nano_get_u16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

uint32_t nano_get_u32(const uint8_t *data)
{
    return nano_get_u16(data) | (uint32_t)nano_get_u16(data + 2) << 16;
}

void nano_put_u8(struct nano_writer *writer, uint8_t value)
{
    if (writer->total >= writer->skip && writer->size < writer->capacity) {
        writer->data[writer->size++] = value;
    }
    writer->total++;
}

static void put_low_bytes(struct nano_writer *writer, uint32_t value, int count)
{
    for (int i = 0; i < count; i++) {
        nano_put_u8(writer, (uint8_t)(value >> 8 * i));
    }
}

void nano_put_u16(struct nano_writer *writer, uint32_t value)
{
    put_low_bytes(writer, value, 2);
}

void nano_put_u32(struct nano_writer *writer, uint32_t value)
{
    put_low_bytes(writer, value, 4);
}

void nano_put_u64(struct nano_writer *writer, uint64_t value)
{
    put_low_bytes(writer, (uint32_t)value, 4);
    put_low_bytes(writer, (uint32_t)(value >> 32), 4);
}

void nano_put_bytes(struct nano_writer *writer, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        nano_put_u8(writer, data[i]);
    }
}

void nano_put_text(struct nano_writer *writer, const char *text)
{
    uint32_t size = 0;
    while (text[size] != '\0' && size < 0xFFFFu) {
        size++;
    }
    nano_put_u16(writer, size);
    for (uint32_t i = 0; i < size; i++) {
        nano_put_u8(writer, (uint8_t)text[i]);
    }
}

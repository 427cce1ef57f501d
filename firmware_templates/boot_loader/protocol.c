#include "protocol.h"

#include <stddef.h>
#include <stdint.h>

#include "application.h"
#include "flash.h"
#include "layout.h"
#include "line.h"
#include "loader.h"

enum { ACK = 0x79, NACK = 0x1F, CALL = 0x7F };
enum { PROTOCOL_VERSION = 0x31 };
enum { GET = 0x00, GET_VERSION = 0x01, GET_ID = 0x02, READ_MEMORY = 0x11, GO = 0x21 };
enum { WRITE_MEMORY = 0x31, EXTENDED_ERASE = 0x44 };
enum { MOST_DATA_BYTES = 256 };

/* Within a command a host does not pause: one that fell silent is gone, and its command forgotten. */
enum { SILENCE_MS = 1000 };
/* A call stands alone. Other traffic on the line has this byte among others. */
enum { ALONE_MS = 30 };

#define ERASE_SPECIAL 0xFFF0u /* counts from here on are no counts */
#define ERASE_ALL 0xFFFFu

/* REFUSED is answered with NACK, SILENT with nothing; DONE has sent what there was to say. */
enum outcome { DONE, REFUSED, SILENT };

static void say_version(void)
{
    line_send(PROTOCOL_VERSION);
}

/* Big-endian, `bytes` of them; each also goes into the exclusive-or that ends what it belongs to. */
static bool take_number(uint32_t *number, uint32_t bytes, uint8_t *checksum)
{
    *number = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t byte;
        if (!line_take(&byte, SILENCE_MS)) {
            return false;
        }
        *number = *number << 8 | byte;
        *checksum ^= byte;
    }
    return true;
}

static enum outcome take_checksum(uint8_t checksum)
{
    uint8_t byte;
    if (!line_take(&byte, SILENCE_MS)) {
        return SILENT;
    }
    return byte == checksum ? DONE : REFUSED;
}

static enum outcome take_address(uint32_t *address)
{
    uint8_t checksum = 0;
    return take_number(address, 4, &checksum) ? take_checksum(checksum) : SILENT;
}

static enum outcome get(void)
{
    static const uint8_t served[] = {GET, GET_VERSION,  GET_ID,        READ_MEMORY,
                                     GO,  WRITE_MEMORY, EXTENDED_ERASE};
    line_send(ACK);
    line_send(sizeof served);
    say_version();
    for (size_t i = 0; i < sizeof served; i++) {
        line_send(served[i]);
    }
    line_send(ACK);
    return DONE;
}

/* The two bytes behind the version told of read protection once; they are 0 since. */
static enum outcome get_version(void)
{
    line_send(ACK);
    say_version();
    line_send(0);
    line_send(0);
    line_send(ACK);
    return DONE;
}

static enum outcome get_id(void)
{
    line_send(ACK);
    line_send(1); /* one byte less than there are */
    line_send((uint8_t)(PRODUCT_ID >> 8));
    line_send((uint8_t)(PRODUCT_ID & 0xFFu));
    line_send(ACK);
    return DONE;
}

/* All of the flash, the loader included; nothing else, since reading a register can change it. */
static bool is_readable(uint32_t address, uint32_t bytes)
{
    const uint32_t offset = address - FLASH_ORIGIN; /* below it, this is huge */
    return offset < FLASH_BYTES && bytes <= FLASH_BYTES - offset;
}

static enum outcome read_memory(void)
{
    uint32_t address, last;
    line_send(ACK);
    enum outcome heard = take_address(&address);
    if (heard == DONE && !is_readable(address, 1)) {
        heard = REFUSED;
    }
    if (heard != DONE) {
        return heard;
    }
    line_send(ACK);
    uint8_t checksum = 0xFF;
    if (!take_number(&last, 1, &checksum)) {
        return SILENT;
    }
    heard = take_checksum(checksum);
    if (heard != DONE || !is_readable(address, last + 1u)) {
        return heard == DONE ? REFUSED : heard;
    }
    line_send(ACK);
    const uint8_t *const bytes = flash_at(address);
    for (uint32_t i = 0; i <= last; i++) {
        line_send(bytes[i]);
    }
    return DONE;
}

/* To the header or to the image: it is the same application, and starts as after any reset. */
static enum outcome go(void)
{
    uint32_t address;
    line_send(ACK);
    const enum outcome heard = take_address(&address);
    if (heard != DONE) {
        return heard;
    }
    if ((address != APPLICATION_ORIGIN && address != APPLICATION_IMAGE) ||
        !application_is_valid()) {
        return REFUSED;
    }
    line_send(ACK);
    (void)line_is_quiet(2); /* until the answer has left the UART */
    loader_start_application();
}

static enum outcome take_data(uint8_t *data, uint32_t *bytes)
{
    uint32_t last, byte;
    uint8_t checksum = 0;
    if (!take_number(&last, 1, &checksum)) {
        return SILENT;
    }
    for (uint32_t i = 0; i <= last; i++) {
        if (!take_number(&byte, 1, &checksum)) {
            return SILENT;
        }
        data[i] = (uint8_t)byte;
    }
    *bytes = last + 1u;
    return take_checksum(checksum);
}

static enum outcome write_memory(void)
{
    uint8_t data[MOST_DATA_BYTES];
    uint32_t address, bytes;
    line_send(ACK);
    enum outcome heard = take_address(&address);
    if (heard == DONE && (address % 4u != 0 || !application_owns(address, 4))) {
        heard = REFUSED;
    }
    if (heard != DONE) {
        return heard;
    }
    line_send(ACK);
    heard = take_data(data, &bytes);
    if (heard != DONE) {
        return heard;
    }
    if (bytes % 4u != 0 || !application_owns(address, bytes) ||
        !application_write(address, data, bytes)) {
        return REFUSED;
    }
    line_send(ACK);
    return DONE;
}

/* One bit for each page of the flash: all of them are known to be the application's before the first
 * is erased. */
static uint8_t chosen[(FLASH_PAGES + 7u) / 8u];

static void choose_none(void)
{
    for (size_t i = 0; i < sizeof chosen; i++) {
        chosen[i] = 0;
    }
}

static uint32_t page_address(uint32_t page)
{
    return FLASH_ORIGIN + page * FLASH_PAGE_BYTES;
}

static bool choose(uint32_t page)
{
    if (page >= FLASH_PAGES || !application_owns(page_address(page), FLASH_PAGE_BYTES)) {
        return false;
    }
    chosen[page / 8u] |= (uint8_t)(1u << page % 8u);
    return true;
}

static bool choose_all(void)
{
    for (uint32_t page = 0; page < FLASH_PAGES; page++) {
        (void)choose(page); /* all but the loader's */
    }
    return true;
}

static enum outcome take_pages(void)
{
    uint32_t last, page;
    uint8_t checksum = 0;
    if (!take_number(&last, 2, &checksum)) {
        return SILENT;
    }
    bool good = last < ERASE_SPECIAL || (last == ERASE_ALL && choose_all());
    for (uint32_t i = 0; last < ERASE_SPECIAL && i <= last; i++) {
        if (!take_number(&page, 2, &checksum)) {
            return SILENT;
        }
        good = choose(page) && good;
    }
    const enum outcome heard = take_checksum(checksum);
    return heard == DONE && !good ? REFUSED : heard;
}

static bool is_chosen(uint32_t page)
{
    return ((uint32_t)chosen[page / 8u] >> page % 8u & 1u) != 0;
}

/* Upwards: the page with the valid flag goes first. */
static bool erase_chosen(void)
{
    for (uint32_t page = 0; page < FLASH_PAGES; page++) {
        if (is_chosen(page) && !flash_erase_page(page_address(page))) {
            return false;
        }
    }
    return true;
}

static enum outcome extended_erase(void)
{
    choose_none();
    line_send(ACK);
    const enum outcome heard = take_pages();
    if (heard != DONE) {
        return heard;
    }
    if (!erase_chosen()) {
        return REFUSED;
    }
    line_send(ACK);
    return DONE;
}

/* Whatever is not here is refused: the commands that change protection, before all. */
static enum outcome serve(uint8_t command)
{
    switch (command) {
    case GET:
        return get();
    case GET_VERSION:
        return get_version();
    case GET_ID:
        return get_id();
    case READ_MEMORY:
        return read_memory();
    case GO:
        return go();
    case WRITE_MEMORY:
        return write_memory();
    case EXTENDED_ERASE:
        return extended_erase();
    default:
        return REFUSED;
    }
}

/* A host that calls again, having lost us or found us at work for another, is answered at once. */
bool protocol_serve(unsigned ms)
{
    uint8_t command;
    if (!line_take(&command, ms)) {
        return false;
    }
    if (command == CALL) {
        line_send(ACK);
        return false;
    }
    enum outcome outcome = take_checksum((uint8_t)~command);
    if (outcome == DONE) {
        outcome = serve(command);
    }
    if (outcome == REFUSED) {
        line_send(NACK);
    }
    return outcome == DONE;
}

bool protocol_is_called(unsigned ms)
{
    const uint32_t start = line_ms();
    bool was_quiet = true;
    while (line_ms() - start < ms) {
        uint8_t byte;
        if (!line_take(&byte, ALONE_MS)) {
            was_quiet = true;
        } else if (was_quiet && byte == CALL && line_is_quiet(ALONE_MS)) {
            line_send(ACK);
            return true;
        } else {
            was_quiet = false;
        }
    }
    return false;
}

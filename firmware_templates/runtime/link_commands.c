#include "link_commands.h"

#include "link.h"
#include "model_description.h"
#include "platform.h"

enum { ELF_BUILD_ID_BYTES = 20, MOST_CHIP_ID_BYTES = 32 };

/* How to read the registers of a fault: by the kind of machine this was compiled for. */
enum { FAULT_ARM_M = 1, FAULT_RISCV = 2, FAULT_POSIX = 3 };
#if defined(__unix__) || defined(__APPLE__)
#define FAULT_KIND FAULT_POSIX
#elif defined(__riscv)
#define FAULT_KIND FAULT_RISCV
#else
#define FAULT_KIND FAULT_ARM_M
#endif

enum { NO_STEP = 0xFFFF };

/* A description is sent in portions: the size of the whole, then its bytes from `offset` on. */
static void begin_portion(struct nano_writer *reply, uint16_t offset)
{
    nano_put_u16(reply, 0);
    reply->skip = offset;
    reply->total = 0;
}

static enum nano_status end_portion(struct nano_writer *reply)
{
    reply->data[0] = (uint8_t)reply->total;
    reply->data[1] = (uint8_t)(reply->total >> 8);
    return NANO_OK;
}

/* The hash that the linker left; zeros where it left none. */
static void put_elf_build_id(struct nano_writer *reply)
{
    uint8_t bytes[ELF_BUILD_ID_BYTES] = {0};
    const uint8_t *id = bytes;
    const size_t size = platform_elf_build_id(&id);
    memcpy(bytes, id, size < sizeof bytes ? size : sizeof bytes);
    nano_put_bytes(reply, bytes, sizeof bytes);
}

/* As a text of hexadecimal digits, empty where the chip has no number. */
static void put_chip_id(struct nano_writer *reply)
{
    uint8_t id[MOST_CHIP_ID_BYTES];
    const size_t size = platform_chip_id(id, sizeof id);
    nano_put_u16(reply, (uint32_t)(2 * size));
    for (size_t i = 0; i < size; i++) {
        nano_put_u8(reply, (uint8_t)"0123456789abcdef"[id[i] >> 4]);
        nano_put_u8(reply, (uint8_t)"0123456789abcdef"[id[i] & 15u]);
    }
}

static enum nano_status identify(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    begin_portion(reply, nano_get_u16(payload));
    nano_put_bytes(reply, nano_model.model_sha256, sizeof nano_model.model_sha256);
    nano_put_bytes(reply, nano_model.build_id, sizeof nano_model.build_id);
    nano_put_bytes(reply, nano_model.templates_sha256, sizeof nano_model.templates_sha256);
    put_elf_build_id(reply);
    nano_put_u32(reply, platform_ticks_hz());
    nano_put_u32(reply, nano_model.arena_bytes);
    nano_put_u16(reply, nano_model.input_count);
    nano_put_u16(reply, nano_model.output_count);
    nano_put_u16(reply, nano_model.step_count);
    nano_put_text(reply, nano_model.name);
    nano_put_text(reply, nano_model.board);
    nano_put_text(reply, nano_model.dialect);
    nano_put_text(reply, nano_model.toolchain);
    put_chip_id(reply);
    return end_portion(reply);
}

/* Tensors are numbered: the inputs first, then the outputs. NULL where there is none. */
static const struct nano_tensor *find_tensor(uint32_t index)
{
    if (index < nano_model.input_count) {
        return &nano_model.inputs[index];
    }
    index -= nano_model.input_count;
    return index < nano_model.output_count ? &nano_model.outputs[index] : NULL;
}

static enum nano_status describe_tensor(const uint8_t *payload, size_t size,
                                        struct nano_writer *reply)
{
    (void)size;
    const struct nano_tensor *tensor = find_tensor(nano_get_u16(payload));
    if (tensor == NULL) {
        return NANO_OUT_OF_RANGE;
    }
    uint32_t scale_bits;
    memcpy(&scale_bits, &tensor->scale, sizeof scale_bits);
    begin_portion(reply, nano_get_u16(payload + 2));
    nano_put_u8(reply, (uint8_t)tensor->type);
    nano_put_u8(reply, (uint8_t)tensor->rank);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        nano_put_u32(reply, tensor->shape[i]);
    }
    nano_put_u32(reply, scale_bits);
    nano_put_u32(reply, (uint32_t)tensor->zero_point);
    nano_put_u32(reply, tensor->bytes);
    nano_put_text(reply, tensor->name);
    return end_portion(reply);
}

static enum nano_status describe_step(const uint8_t *payload, size_t size,
                                      struct nano_writer *reply)
{
    (void)size;
    const uint16_t index = nano_get_u16(payload);
    if (index >= nano_model.step_count) {
        return NANO_OUT_OF_RANGE;
    }
    begin_portion(reply, nano_get_u16(payload + 2));
    nano_put_text(reply, nano_model.steps[index].op);
    nano_put_text(reply, nano_model.steps[index].name);
    return end_portion(reply);
}

static enum nano_status poison(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    (void)reply;
    memset(nano_model.arena, payload[0], nano_model.arena_bytes);
    return NANO_OK;
}

/* Points at `count` bytes of a tensor; NULL where they are not all inside it. */
static int8_t *find_bytes(uint32_t index, uint32_t offset, size_t count)
{
    const struct nano_tensor *tensor = find_tensor(index);
    if (tensor == NULL || offset > tensor->bytes || count > tensor->bytes - offset) {
        return NULL;
    }
    return tensor->data + offset;
}

static enum nano_status write_tensor(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)reply;
    const size_t count = size - 6;
    int8_t *bytes = find_bytes(nano_get_u16(payload), nano_get_u32(payload + 2), count);
    if (bytes == NULL) {
        return NANO_OUT_OF_RANGE;
    }
    memcpy(bytes, payload + 6, count);
    return NANO_OK;
}

static enum nano_status read_tensor(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const size_t count = nano_get_u16(payload + 6);
    const int8_t *bytes = find_bytes(nano_get_u16(payload), nano_get_u32(payload + 2), count);
    if (bytes == NULL || count > reply->capacity) {
        return NANO_OUT_OF_RANGE;
    }
    memcpy(reply->data, bytes, count);
    reply->size = count;
    return NANO_OK;
}

static void put_words(struct nano_writer *reply, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        nano_put_u32(reply, words[i]);
    }
}

static enum nano_status take_fault(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const struct platform_fault *const fault = platform_last_fault();
    begin_portion(reply, nano_get_u16(payload));
    if (fault == NULL) {
        nano_put_u8(reply, 0);
        return end_portion(reply);
    }
    nano_put_u8(reply, FAULT_KIND);
    nano_put_u8(reply, (uint8_t)fault->reason);
    nano_put_u16(reply, fault->step == 0 ? NO_STEP : (uint16_t)(fault->step - 1));
    nano_put_u32(reply, fault->cause);
    nano_put_u32(reply, fault->status);
    nano_put_u32(reply, fault->address);
    nano_put_u32(reply, fault->pc);
    nano_put_u32(reply, fault->lr);
    nano_put_u32(reply, fault->sp);
    put_words(reply, fault->registers, PLATFORM_FAULT_REGISTERS);
    put_words(reply, fault->callers, PLATFORM_FAULT_CALLERS);
    const size_t sent_bytes = reply->size - 2;
    if (sent_bytes != 0 && reply->skip + sent_bytes == reply->total) { /* the last one among them */
        platform_forget_fault();
    }
    return end_portion(reply);
}

/* link.c resets the device once the reply is on its way. */
static enum nano_status reset(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)payload;
    (void)size;
    (void)reply;
    return NANO_OK;
}

static const struct {
    uint8_t command;
    uint16_t least, most; /* bytes of the request's payload */
    nano_command_function run;
} commands[] = {
    {NANO_IDENTIFY, 2, 2, identify},
    {NANO_DESCRIBE_TENSOR, 4, 4, describe_tensor},
    {NANO_DESCRIBE_STEP, 4, 4, describe_step},
    {NANO_POISON, 1, 1, poison},
    {NANO_WRITE, 6, NANO_LINK_PAYLOAD_BYTES, write_tensor},
    {NANO_READ, 8, 8, read_tensor},
    {NANO_INVOKE, 8, 8, nano_link_invoke},
    {NANO_PROFILE, 4, 4, nano_link_profile},
    {NANO_SPIN, 4, 4, nano_link_spin},
    {NANO_LOAD, 8, 8, nano_link_load},
    {NANO_MEMORY, 0, 0, nano_link_memory},
    {NANO_TAKE_FAULT, 2, 2, take_fault},
    {NANO_RESET, 0, 0, reset},
    {NANO_RESET_TO_LOADER, 0, 0, reset},
};

enum nano_status nano_link_execute(uint8_t command, const uint8_t *payload, size_t size,
                                   struct nano_writer *reply)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (commands[i].command == command) {
            const bool fits = commands[i].least <= size && size <= commands[i].most;
            return fits ? commands[i].run(payload, size, reply) : NANO_MALFORMED;
        }
    }
    return NANO_UNKNOWN_COMMAND;
}

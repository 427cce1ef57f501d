/* What the RP2040's boot ROM runs before the image: it makes the flash readable in place.
 *
 * The ROM copies the first 256 bytes of the flash to the end of SRAM5 and enters them where their last
 * word is the CRC-32 of the others (RP2040 datasheet, 2.8.1.3). This stage sets up the synchronous
 * serial interface (4.10.13) for Fast Read Quad I/O, EBh, in continuous read mode: an address and 8
 * bytes of data take 28 clocks of the flash at half the system clock, against 96 of the plain read
 * 03h (W25Q16JV datasheet, 8.2.14). Quad lines need the flash's bit QE: where it is clear it is set in
 * the volatile register (50h, 8.2.2), so that nothing in the chip changes for good.
 *
 * Entered by the ROM, whose lr is 0, it goes to the vector table; called by others, it returns. It
 * polls without bounds: there is nothing to run while the flash does not answer. */
#include "assembly.h"
#include "interrupts.h"

/* The CRC-32 (polynomial 0x04C11DB7 from 0xFFFFFFFF on, nothing reflected or inverted) of the 252
 * bytes before it; tests/platform/test_rp2040.py computes it from what the compilers made. */
#define BOOT2_CRC "0xD0CF230A"

__attribute__((naked, used, section(".boot_stage"))) void rp2040_boot2(void)
{
    __asm__ volatile(
        ASSEMBLY_UNIFIED
        "push {r4, lr}\n\t"
        /* 2.19.6.4: a fast clock pin, and data pins without the delay of a Schmitt trigger */
        "ldr r3, 11f\n\t"
        "movs r0, #0x21\n\t" /* 8 mA, SLEWFAST */
        "str r0, [r3, #0x04]\n\t"
        "ldr r0, [r3, #0x08]\n\t"
        "movs r1, #2\n\t" /* SCHMITT */
        "bics r0, r1\n\t"
        "str r0, [r3, #0x08]\n\t"
        "str r0, [r3, #0x0C]\n\t"
        "str r0, [r3, #0x10]\n\t"
        "str r0, [r3, #0x14]\n\t"
        /* half the system clock, sampled a clock later; frames of 8 bits both ways */
        "ldr r3, 12f\n\t"
        "movs r0, #0\n\t"
        "str r0, [r3, #0x08]\n\t" /* SSIENR */
        "movs r0, #2\n\t"
        "str r0, [r3, #0x14]\n\t" /* BAUDR */
        "movs r0, #1\n\t"
        "movs r1, #0xF0\n\t"
        "str r0, [r3, r1]\n\t" /* RX_SAMPLE_DLY */
        "ldr r1, 13f\n\t"
        "str r1, [r3, #0x00]\n\t" /* CTRLR0 */
        "str r0, [r3, #0x08]\n\t"
        /* QE is bit 1 of status register 2 */
        "movs r0, #0x35\n\t"
        "bl 5f\n\t"
        "movs r1, #2\n\t"
        "tst r0, r1\n\t"
        "bne 2f\n\t"
        "orrs r0, r1\n\t"
        "movs r4, r0\n\t"
        "movs r0, #0x50\n\t" /* write enable, volatile */
        "str r0, [r3, #0x60]\n\t"
        "bl 6f\n\t"
        "ldr r0, [r3, #0x60]\n\t"
        "movs r0, #0x31\n\t" /* write status register 2 */
        "str r0, [r3, #0x60]\n\t"
        "str r4, [r3, #0x60]\n\t"
        "bl 6f\n\t"
        "ldr r0, [r3, #0x60]\n\t"
        "ldr r0, [r3, #0x60]\n"
        "1: movs r0, #0x05\n\t" /* BUSY is bit 0 of status register 1 */
        "bl 5f\n\t"
        "lsrs r0, r0, #1\n\t"
        "bcs 1b\n"
        /* one read with the command EBh, whose mode bits A0h say that the next come without it */
        "2: movs r0, #0\n\t"
        "str r0, [r3, #0x08]\n\t"
        "ldr r1, 14f\n\t"
        "str r1, [r3, #0x00]\n\t"
        "str r0, [r3, #0x04]\n\t" /* CTRLR1: one frame */
        "ldr r1, 15f\n\t"
        "movs r2, #0xF4\n\t"
        "str r1, [r3, r2]\n\t" /* SPI_CTRLR0 */
        "movs r4, #1\n\t"
        "str r4, [r3, #0x08]\n\t"
        "movs r1, #0xEB\n\t"
        "str r1, [r3, #0x60]\n\t"
        "movs r1, #0xA0\n\t"
        "str r1, [r3, #0x60]\n\t"
        "bl 6f\n\t"
        /* from now on each access to the flash's addresses is such a read */
        "str r0, [r3, #0x08]\n\t"
        "ldr r1, 16f\n\t"
        "str r1, [r3, r2]\n\t"
        "str r4, [r3, #0x08]\n\t"
        "pop {r4}\n\t"
        "pop {r0}\n\t"
        "cmp r0, #0\n\t"
        "beq 3f\n\t"
        "bx r0\n"
        "3: ldr r0, 17f\n\t"
        "ldr r1, 18f\n\t"
        "str r0, [r1]\n\t"
        "ldr r1, [r0]\n\t"
        "ldr r0, [r0, #4]\n\t"
        "msr msp, r1\n\t"
        "bx r0\n"
        /* r0: a command; its answer of a byte */
        "5: push {lr}\n\t"
        "str r0, [r3, #0x60]\n\t" /* DR0 */
        "str r0, [r3, #0x60]\n\t"
        "bl 6f\n\t"
        "ldr r0, [r3, #0x60]\n\t"
        "ldr r0, [r3, #0x60]\n\t"
        "pop {pc}\n"
        /* until all is sent: TFE of SR is set, and BUSY is not; r0 stays */
        "6: push {r0, r1, lr}\n"
        "7: ldr r1, [r3, #0x28]\n\t"
        "movs r0, #5\n\t"
        "ands r1, r0\n\t"
        "cmp r1, #4\n\t"
        "bne 7b\n\t"
        "pop {r0, r1, pc}\n\t"
        ".p2align 2\n"
        "11: .word 0x40020000\n" /* PADS_QSPI */
        "12: .word 0x18000000\n" /* SSI */
        "13: .word 0x00070000\n" /* DFS_32: 8 bits; TMOD: transmit and receive */
        "14: .word 0x005F0300\n" /* SPI_FRF: quad; DFS_32: 32 bits; TMOD: a read after a command */
        "15: .word 0x00002221\n" /* command of 8 bits on one line, 32 of address and mode on four,
                                    4 clocks of waiting */
        "16: .word 0xA0002022\n" /* the mode bits as XIP_CMD, no command, all on four lines */
        "17: .word 0x10000100\n" /* the vector table */
        "18: .word 0xE000ED08\n" /* VTOR */
        ".org 252\n\t"
        ".word " BOOT2_CRC "\n");
}

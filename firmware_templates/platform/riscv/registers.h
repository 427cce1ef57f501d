/* Control and status registers: the few that this platform uses.
 *
 * Numbers in comments are sections of the RISC-V Instruction Set Manual, Volume II (20211203). */
#ifndef NANO_RISCV_REGISTERS_H
#define NANO_RISCV_REGISTERS_H

#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define REGISTER8(address) (*(volatile uint8_t *)(uintptr_t)(address))

#define CSR_READ(name) \
    ({ \
        uint32_t csr_value_; \
        __asm__ volatile("csrr %0, " #name : "=r"(csr_value_)); \
        csr_value_; \
    })
#define CSR_WRITE(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"(value) : "memory")
#define CSR_SET(name, value) __asm__ volatile("csrs " #name ", %0" ::"r"(value) : "memory")
#define CSR_CLEAR(name, value) __asm__ volatile("csrc " #name ", %0" ::"r"(value) : "memory")

#define MSTATUS_MIE 8         /* 3.1.6, an immediate of csrsi and csrci */
#define MSTATUS_MPP (3u << 11) /* 0: user mode */
#define MSTATUS_MPRV (1u << 17) /* loads and stores have the rights of MPP */
#define MIE_MEIE (1u << 11)   /* 3.1.9, external interrupts */
#define MIE_MTIE (1u << 7)    /* the machine timer */
#define MCAUSE_LOAD_ACCESS 5u /* 3.1.15 */
#define MCAUSE_STORE_ACCESS 7u
#define MCAUSE_INTERRUPT (1u << 31)
#define MCAUSE_TIMER 0x80000007u
#define MCAUSE_EXTERNAL 0x8000000Bu

/* 3.7.1: four entries in each of the registers pmpcfg0, pmpcfg1 ... */
#define PMPCFG(entry, value) ((uint32_t)(value) << 8 * (entry))
#define PMPCFG_READ (1u << 0)
#define PMPCFG_WRITE (1u << 1)
#define PMPCFG_TOP_OF_RANGE (1u << 3) /* from the address of the entry before to that of this one */
#define PMPCFG_NAPOT (3u << 3) /* with an address of all ones: all of memory */
#define PMPCFG_LOCKED (1u << 7) /* binds machine mode too */

#endif

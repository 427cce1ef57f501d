/* What the core says of a fault. */
#ifndef NANO_CORTEX_M_FAULT_STATUS_H
#define NANO_CORTEX_M_FAULT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform.h"
#include "registers.h"

#if defined(__ARM_ARCH_6M__)

#include "access.h"

/* Armv6-M has the HardFault alone, and no register for its cause or address (DDI 0419E, B1.5.1 and
 * B3.2.2). Unaligned accesses always fault; divisions are those of the compiler's library. */
static inline uint32_t fault_status(void)
{
    return 0;
}
static inline uint32_t fault_hard_status(void)
{
    return 0;
}

/* With pc, r0 to r7 and sp of the record. */
static inline uint32_t fault_address(const struct platform_fault *fault)
{
    return fault->pc != 0 ? accessed_address(fault->pc, fault->registers, fault->sp) : 0;
}

/* Whether the MPU may have refused an access to that address. */
static inline bool fault_is_of_mpu(const struct platform_fault *fault)
{
    return fault->address != 0 && (MPU_CTRL & MPU_CTRL_ENABLE) != 0;
}
static inline void fault_traps_init(void)
{
}

#else

static inline uint32_t fault_status(void)
{
    return SCB_CFSR;
}
static inline uint32_t fault_hard_status(void)
{
    return SCB_HFSR;
}
static inline bool fault_is_of_mpu(const struct platform_fault *fault)
{
    return (fault->status & SCB_CFSR_MMARVALID) != 0;
}
static inline uint32_t fault_address(const struct platform_fault *fault)
{
    if ((fault->status & SCB_CFSR_BFARVALID) != 0) {
        return SCB_BFAR;
    }
    return fault_is_of_mpu(fault) ? SCB_MMFAR : 0;
}
static inline void fault_traps_init(void)
{
    SCB_SHCSR |= SCB_SHCSR_FAULTS;
#ifdef NANO_TRAP_UNALIGNED
    SCB_CCR |= SCB_CCR_DIV_0_TRP | SCB_CCR_UNALIGN_TRP;
#else
    SCB_CCR = (SCB_CCR | SCB_CCR_DIV_0_TRP) & ~SCB_CCR_UNALIGN_TRP;
#endif
}

#endif

#endif

/* Core registers of Armv6-M, Armv7-M and Armv8-M: the few that this platform uses.
 *
 * Sections are those of the Armv7-M Architecture Reference Manual (DDI 0403E); Armv6-M (DDI 0419E) and
 * Armv8-M (DDI 0553) keep the addresses. Armv6-M lacks some, and allows access by words only. */
#ifndef NANO_CORTEX_M_REGISTERS_H
#define NANO_CORTEX_M_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* SysTick, B3.3. */
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_TICKINT (1u << 1)
#define SYST_CSR_CLKSOURCE (1u << 2) /* the processor clock */
#define SYST_CSR_COUNTFLAG (1u << 16) /* it reached 0 since this was read */
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SYST_MAX 0x00FFFFFFu

/* NVIC, B3.4. */
#define NVIC_ISER(n) REGISTER(0xE000E100u + 4u * (n))
#define NVIC_ICER(n) REGISTER(0xE000E180u + 4u * (n))
#define NVIC_ICPR(n) REGISTER(0xE000E280u + 4u * (n))
#define NVIC_IPR(n) (*(volatile uint8_t *)(uintptr_t)(0xE000E400u + (n))) /* not of Armv6-M */

/* System control block, B3.2. */
#define SCB_ICSR REGISTER(0xE000ED04u)
#define SCB_ICSR_PENDSTCLR (1u << 25)
#define SCB_ICSR_PENDSTSET (1u << 26)
#define SCB_VTOR REGISTER(0xE000ED08u) /* not of Cortex-M0 */
#define SCB_AIRCR REGISTER(0xE000ED0Cu)
#define SCB_AIRCR_RESET 0x05FA0004u /* VECTKEY, SYSRESETREQ */
#define SCB_CCR REGISTER(0xE000ED14u)
#define SCB_CCR_UNALIGN_TRP (1u << 3)
#define SCB_CCR_DIV_0_TRP (1u << 4)
#define SCB_SHPR3 REGISTER(0xE000ED20u)
#define SCB_SHPR3_SYSTICK_SHIFT 24u
#define SCB_SHCSR REGISTER(0xE000ED24u)
#define SCB_SHCSR_FAULTS (7u << 16) /* MemManage, BusFault and UsageFault have handlers */
/* Not of Armv6-M, as HFSR and the addresses. */
#define SCB_CFSR REGISTER(0xE000ED28u)
#define SCB_CFSR_MMARVALID (1u << 7)
#define SCB_CFSR_BFARVALID (1u << 15)
#define SCB_CFSR_STKOF (1u << 20) /* Armv8-M */
#define SCB_HFSR REGISTER(0xE000ED2Cu)
#define SCB_MMFAR REGISTER(0xE000ED34u)
#define SCB_BFAR REGISTER(0xE000ED38u)
#define SCB_CPACR REGISTER(0xE000ED88u)
#define SCB_CPACR_CP10_CP11 (0xFu << 20) /* FPU, and MVE on Armv8.1-M (DDI 0553, D1.2.20) */

#define SCB_FPCCR REGISTER(0xE000EF34u)
#define SCB_FPCCR_LSPACT (1u << 0) /* the FPU's registers are yet to be saved, to a frame's room */

/* Memory protection unit, B3.5; of Armv8-M the registers that differ (DDI 0553). Armv6-M may have it:
 * regions of 256 bytes at least. */
#define MPU_TYPE REGISTER(0xE000ED90u)
#define MPU_TYPE_DREGION (0xFFu << 8)
#define MPU_TYPE_DREGION_SHIFT 8u
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_CTRL_ENABLE (1u << 0)
#define MPU_CTRL_PRIVDEFENA (1u << 2) /* what no region covers is as without the unit */
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RBAR_VALID (1u << 4) /* selects the region in bits 3 to 0 */
#define MPU_RASR REGISTER(0xE000EDA0u)
#define MPU_RASR_ENABLE (1u << 0) /* with access permission 0: no access */
#define MPU_RASR_READ_ONLY (6u << 24)
#if defined(__ARM_ARCH_6M__)
#define MPU_RASR_WRITE_BACK (0x3u << 16) /* C, B: Armv6-M knows no TEX (DDI 0419E, B3.5.8) */
#else
#define MPU_RASR_WRITE_BACK (0xBu << 16) /* TEX 1, C, B: as SRAM is without a region */
#endif
#define MPU_RASR_XN (1u << 28)
#define MPU_RASR_SIZE(log2_bytes) (((log2_bytes) - 1u) << 1)
#define MPU_RASR_ONLY_EIGHTH(n) \
    ((0xFFu ^ 1u << (n)) << 8) /* the others are as without the region */
/* Armv8-M */
#define MPU_RBAR_XN (1u << 0)
#define MPU_RBAR_READ_ONLY (3u << 1)
#define MPU_RLAR REGISTER(0xE000EDA0u)
#define MPU_RLAR_ENABLE (1u << 0) /* with attributes 0 of MPU_MAIR0 */
#define MPU_MAIR0 REGISTER(0xE000EDC0u)
#define MPU_MAIR_WRITE_BACK 0xFFu /* as SRAM is without a region */

#endif

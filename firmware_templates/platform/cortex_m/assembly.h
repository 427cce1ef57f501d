/* What inline assembly of several lines begins with.
 *
 * All of it is Thumb as Armv6-M has it, which every core runs. For those cores GCC assembles it in the
 * older of two syntaxes, where `adds` is no instruction, unless told otherwise. */
#ifndef NANO_CORTEX_M_ASSEMBLY_H
#define NANO_CORTEX_M_ASSEMBLY_H

#define ASSEMBLY_UNIFIED ".syntax unified\n\t"

#endif

/* The record of the last fault, in RAM that the start-up code leaves alone. */
#ifndef NANO_FAULT_RECORD_H
#define NANO_FAULT_RECORD_H

#include "platform.h"

/* Forgets the last one and gives an empty one, which counts from the second call on. */
struct platform_fault *fault_record_begin(void);
void fault_record_counts(void);

#endif

/* Resets, and what the loader does after them: main.c. */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

_Noreturn void loader_main(void);

_Noreturn void loader_restart(void);

/* Resets and starts the application, which must be valid, without listening first. */
_Noreturn void loader_start_application(void);

#endif

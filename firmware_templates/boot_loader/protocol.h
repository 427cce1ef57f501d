/* ST's serial protocol AN3155, revision 3.1, as far as an application needs to be replaced by it. */
#ifndef BOOT_PROTOCOL_H
#define BOOT_PROTOCOL_H

#include <stdbool.h>

/* Serves the next command. Returns whether it was one and went well: somebody is there who speaks the
 * protocol. False after `ms` milliseconds of silence, too. */
bool protocol_serve(unsigned ms);

/* Whether a host calls within `ms` milliseconds: it sends one byte and waits for the answer. */
bool protocol_is_called(unsigned ms);

#endif

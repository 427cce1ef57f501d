/* Boots, counted: what makes one differ from the next. */
#ifndef NANO_BOOTS_H
#define NANO_BOOTS_H

/* Called once after each reset. */
void boots_init(void);

#endif

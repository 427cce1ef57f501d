/* Serves the link: the host writes tensors, runs the model and reads what it computed. */
#include "link.h"
#include "model_description.h"
#include "platform.h"

int main(void)
{
    platform_init();
    nano_link_start();
    nano_model.init();
    for (;;) {
        nano_link_poll();
        platform_idle();
    }
}

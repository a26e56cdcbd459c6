// SPDX-License-Identifier: Apache-2.0
/* Who looks on while something is downloaded. */
#ifndef GPTJT_HUB_WATCH_H
#define GPTJT_HUB_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct hub_watch {
    void *user;
    bool (*stop)(void *user);                                            /* true: end it with E_CANCELLED, soon   */
    void (*say)(void *user, const char *line);                           /* a retry, a wait: what people may miss */
    void (*progress)(void *user, const char *file, uint64_t bytes_done); /* of all that is wanted                 */
};

#endif

// SPDX-License-Identifier: Apache-2.0
/* How often, and after how long, something that failed is tried again: half a second, then twice as long each time, or
 * as long as the server asks for. */
#ifndef GPTJT_HUB_RETRY_H
#define GPTJT_HUB_RETRY_H

#include "base/status.h"
#include "hub/watch.h"

struct hub_retry {
    const struct hub_watch *watch;
    int tries;  /* again, without success in between */
    int failed; /* begins with 0; the caller sets it back to 0 when something has succeeded */
};

/* Sleeps that long; E_CANCELLED as soon as the watch says stop. */
enum status hub_retry_sleep(const struct hub_watch *watch, double seconds);

/* After a failure, whose message is status_message(): OK when it is time to try again, else the status to give up with,
 * and its message. asked_s: what the server wants to be left alone for; 0: nothing. */
enum status hub_retry_after(struct hub_retry *x, enum status failure, bool broken, int64_t asked_s);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "hub/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

enum { LONGEST_S = 300, LONGEST_OF_OURS_S = 30 };

enum status hub_retry_sleep(const struct hub_watch *watch, double seconds)
{
    const int64_t start = clock_ns();
    while (clock_seconds(start, clock_ns()) < seconds) {
        if (watch->stop(watch->user)) return fail(E_CANCELLED, "interrupted");
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    return OK;
}

enum status hub_retry_after(struct hub_retry *x, enum status failure, bool broken, int64_t asked_s)
{
    char line[1200];
    if (!broken || failure == E_CANCELLED) return failure;
    if (asked_s > LONGEST_S)
        return fail(failure, "%s; the server asks to come back in %" PRId64 " s", status_message(), asked_s);
    if (x->failed >= x->tries)
        return x->failed ? fail(failure, "%s (gave up after %d tries)", status_message(), x->failed + 1) : failure;
    double seconds = 0.5;
    for (int i = 0; i < x->failed && seconds < LONGEST_OF_OURS_S; i++)
        seconds *= 2;
    if (asked_s) seconds = (double)asked_s;
    x->failed++;
    snprintf(line, sizeof line, "%s; again in %g s (%d of %d)", status_message(), seconds, x->failed, x->tries);
    x->watch->say(x->watch->user, line);
    return hub_retry_sleep(x->watch, seconds);
}

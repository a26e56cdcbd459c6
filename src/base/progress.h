// SPDX-License-Identifier: Apache-2.0
/* One progress line on stderr for anything that takes over two seconds: a bar with rate and ETA on a terminal, a plain
 * line every ten seconds elsewhere, nothing at all for shorter work. */
#ifndef GPTJT_BASE_PROGRESS_H
#define GPTJT_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label, *unit; /* borrowed until progress_end(); unit "B" prints as KB, MB, GB */
    uint64_t total, done;     /* total 0: unknown, no bar and no ETA */
    uint64_t before;          /* what had been done when it began, of work that is resumed; the caller may set it */
    int64_t started_ns, shown_ns;
    bool quiet, terminal, visible;
    char note[96]; /* the caller's, shown behind rate and ETA */
};

/* For work that others watch: called with the bytes done so far; false to stop. */
typedef bool progress_bytes_fn(void *user, uint64_t bytes);

void progress_begin(struct progress *p, const char *label, const char *unit, uint64_t total, bool quiet);
void progress_update(struct progress *p, uint64_t done); /* cheap: draws at most ten times a second */
void progress_end(struct progress *p);                   /* wipes the bar, or prints the last plain line */

#endif

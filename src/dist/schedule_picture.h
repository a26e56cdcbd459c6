// SPDX-License-Identifier: Apache-2.0
/* A simulated pipeline schedule as people can look at it: a line a stage, time to the right, one box an action. */
#ifndef GPTJT_DIST_SCHEDULE_PICTURE_H
#define GPTJT_DIST_SCHEDULE_PICTURE_H

#include <stdbool.h>

#include "base/buf.h"
#include "dist/schedule_time.h"

/* Appends lines of text, here with plain letters:
 *
 *     stage 0 |F0F1F2                  B0--    B1--    B2--|  60 %
 *     ...
 *     seconds  0         2         4
 *     F forward, B backward; 5.6 seconds, bubble 40 %
 *
 * An action is its letter and micro-batch, then '-' while it lasts; of a number that does not fit only the letter is
 * there, and an action that is too short is not. The shortest action has room for its name if no line's boxes need more
 * than max_columns >= 1 columns. colours: escape sequences for a terminal, a background for each kind of pass, a
 * lighter one for odd micro-batches. Out of memory: buf_status(). */
void schedule_text(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, int max_columns,
                   bool colours);

/* Appends the same as an SVG that needs nothing else, as a file or within a page: with a legend, an axis of time, and
 * each action's exact times where a pointer rests on it. Some hundred bytes an action. */
void schedule_svg(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, const char *title);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Stop strings in streamed text: finding the first one, and how much text may be shown before the next token decides.
 */
#ifndef GPTJT_ENGINE_STOP_H
#define GPTJT_ENGINE_STOP_H

#include <stddef.h>

struct stop_list {
    const char *const *strings; /* [n], none empty */
    int n;
};

/* Offset of the stop string that begins first in text at or after from, or len. */
size_t stop_find(const struct stop_list *l, const char *text, size_t len, size_t from);

/* How much of text is safe to show: up to the longest ending that could still become a stop string. */
size_t stop_safe(const struct stop_list *l, const char *text, size_t len);

size_t stop_longest(const struct stop_list *l); /* bytes, 0 for an empty list */

#endif

// SPDX-License-Identifier: Apache-2.0
/* Reading ahead: threads make items 0, 1, 2, ... before they are asked for, into a ring of n_items.
 *
 * Each item belongs to a lane. Items of one lane are made one after the other, in order, by whichever thread comes by;
 * lanes go side by side. So what is made does not depend on how many threads there are, provided a lane's items depend
 * on that lane alone. */
#ifndef GPTJT_BASE_AHEAD_H
#define GPTJT_BASE_AHEAD_H

#include <stdint.h>

#include "base/status.h"

struct ahead_work {
    void *user;
    int (*lane)(void *user, uint64_t index); /* called in ascending order, not concurrently; >= 0 */
    enum status (*make)(void *user, uint64_t index, void *item);
};

struct ahead;

/* Starts n_threads >= 1. items [n_items] is copied, what it points at is borrowed. The first item has index first.
 * Owned: ahead_free(), which waits for items being made. */
enum status ahead_create(struct ahead **out, const struct ahead_work *work, uint64_t first, int n_threads,
                         void *const *items, int n_items);
void ahead_free(struct ahead *a); /* accepts NULL */

/* The next item, in order; valid until the next call. After an item that could not be made its failure is returned
 * again and again, and no item behind it is. */
enum status ahead_next(struct ahead *a, void **item);

#endif

// SPDX-License-Identifier: Apache-2.0
/* A buffer between two pages that cannot be touched: code that reads or writes one byte too far dies at once, sanitizer
 * or not. Only the side that the data lies against is guarded to the byte, so tests place the same data twice. */
#ifndef GPTJT_TESTS_GUARD_H
#define GPTJT_TESTS_GUARD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    char *base;   /* first usable byte; the page before and the one after the last are unmapped */
    size_t bytes; /* whole pages */
};

/* Every byte that is not given a value is 0xff, so floats nobody wrote are NaN. */
enum { GUARD_FILL = 0xff };

static inline struct guarded guarded_open(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), usable = (bytes + page) / page * page;
    char *p = mmap(NULL, usable + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(p != MAP_FAILED);
    const int refused = mprotect(p + page, usable, PROT_READ | PROT_WRITE);
    assert(!refused);
    (void)refused;
    return (struct guarded){p + page, usable};
}

static inline void guarded_close(struct guarded *g)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(g->base - page, g->bytes + 2 * page);
    *g = (struct guarded){0};
}

/* Data and this much on either side of it are filled, and later looked at: writes that stray further are rare, and
 * filling all of a large buffer for every call would be most of a test's time. */
enum { GUARD_MARGIN = 1024 };

static inline char *guarded_fill(const struct guarded *g, size_t at, size_t n)
{
    const size_t begin = at < GUARD_MARGIN ? 0 : at - GUARD_MARGIN;
    const size_t end = g->bytes - at - n < GUARD_MARGIN ? g->bytes : at + n + GUARD_MARGIN;
    memset(g->base + begin, GUARD_FILL, end - begin);
    return g->base + at;
}

/* Where n bytes begin so that slack bytes are left between their end and the guard. */
static inline void *guarded_end(const struct guarded *g, size_t n, size_t slack)
{
    assert(n + slack <= g->bytes);
    return guarded_fill(g, g->bytes - slack - n, n);
}

/* The same, against the guard in front. */
static inline void *guarded_start(const struct guarded *g, size_t n)
{
    assert(n <= g->bytes);
    return guarded_fill(g, 0, n);
}

static inline bool guarded_is_filled(const char *p, size_t n)
{
    return !n || ((unsigned char)p[0] == GUARD_FILL && !memcmp(p, p + 1, n - 1));
}

/* True if the margins around [p, p + n) have not been written. */
static inline bool guarded_clean_outside(const struct guarded *g, const void *p, size_t n)
{
    const size_t at = (size_t)((const char *)p - g->base), behind = g->bytes - at - n;
    const size_t before = at < GUARD_MARGIN ? at : GUARD_MARGIN, after = behind < GUARD_MARGIN ? behind : GUARD_MARGIN;
    return guarded_is_filled(g->base + at - before, before) && guarded_is_filled(g->base + at + n, after);
}

#endif

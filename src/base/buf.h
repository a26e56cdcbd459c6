// SPDX-License-Identifier: Apache-2.0
/* A growing byte buffer, always followed by a NUL that does not count, so that it can be read as a C string.
 * Zero-initialise; appends after a failed one do nothing, so a chain of appends is checked once at its end. */
#ifndef GPTJT_BASE_BUF_H
#define GPTJT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/status.h"

struct buf {
    char *data; /* NULL while empty */
    size_t len, cap;
    bool failed; /* an append ran out of memory */
};

void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) FMT(2, 3);
enum status buf_status(const struct buf *b); /* OK, or E_NOMEM when any append failed */
void buf_clear(struct buf *b);               /* length 0, memory kept */
void buf_free(struct buf *b);

#endif

// SPDX-License-Identifier: Apache-2.0
/* How things outside the program go wrong: files, requests, memory at start-up.
 *
 * The function that first detects a problem calls fail() with the offending object and value; callers only pass the
 * status on. Outputs are written only on success. Our own bugs are assert()s, not statuses. */
#ifndef GPTJT_BASE_STATUS_H
#define GPTJT_BASE_STATUS_H

#include "base/compiler.h"

enum status {
    OK = 0,
    E_ARG,         /* an argument, option or request field is not acceptable (exit 2, HTTP 4xx) */
    E_IO,          /* the operating system refused: no such file, disk full, ...                 */
    E_FORMAT,      /* a file is not what it claims to be                                         */
    E_NOMEM,       /* out of memory                                                              */
    E_LIMIT,       /* a stated limit is exceeded: prompt longer than the window, ...             */
    E_UNSUPPORTED, /* well-formed, but not something this program does                           */
    E_NUMERIC,     /* the computation produced NaN or infinity                                   */
    E_CANCELLED,   /* the caller's callback asked to stop                                        */
};

/* Stores the message (one line, lower case, no trailing newline) for this thread and returns code. */
enum status fail(enum status code, const char *format, ...) FMT(2, 3);

/* The message of this thread's last fail(); "" before the first. Borrowed until the next fail() on this thread. */
const char *status_message(void);

/* The one control-flow macro; only where nothing needs releasing. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        enum status try_status_ = (expression);                                                                        \
        if (try_status_ != OK) return try_status_;                                                                     \
    } while (0)

#endif

// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

/* Like errno: one message a thread, so that concurrent requests do not mix theirs. */
static _Thread_local char message[1024];

enum status fail(enum status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char text[sizeof message];
    vsnprintf(text, sizeof text, format, args); /* not into message: an argument may be status_message() */
    va_end(args);
    size_t n = 0;
    for (; text[n]; n++) /* names in files are untrusted: keep the line one line and the terminal sane */
        message[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    message[n] = 0;
    return code;
}

const char *status_message(void)
{
    return message;
}

// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    log_sink_fn *sink;
    void *user;
    enum log_level max;
} state;

void log_set_sink(log_sink_fn *sink, void *user, enum log_level max)
{
    state.sink = sink;
    state.user = user;
    state.max = max;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!state.sink || level > state.max) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    state.sink(state.user, (int)level, line);
}

// SPDX-License-Identifier: Apache-2.0
/* Notices for people. The library is silent until the program installs a sink; lines are lower case, name the object
 * and give cause and value. */
#ifndef GPTJT_BASE_LOG_H
#define GPTJT_BASE_LOG_H

#include "base/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* level is an enum log_level; an int so that gptjt.h's sink is of the same type. */
typedef void log_sink_fn(void *user, int level, const char *line);

/* Process-wide, set once by the program before threads start; NULL silences. Lines above max are dropped. */
void log_set_sink(log_sink_fn *sink, void *user, enum log_level max);

void log_line(enum log_level level, const char *format, ...) FMT(2, 3);

#endif

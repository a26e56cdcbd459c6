// SPDX-License-Identifier: Apache-2.0
/* Where a prompt comes from: exactly one of -p TEXT, -f FILE ("-" is standard input), --ids, or standard input when it
 * is not a terminal. A file's last newline is dropped, because editors put one there; -p text is taken as it is. */
#ifndef GPTJT_CLI_PROMPT_H
#define GPTJT_CLI_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/options.h"
#include "cli/common.h"

enum { PROMPT_MAX_BYTES = 10 << 20 };

struct prompt_options {
    const char *text, *file, *ids;
};

/* field is the struct prompt_options inside settings_type. */
#define PROMPT_OPTIONS(settings_type, field)                                                                           \
    {.name = "prompt",                                                                                                 \
     .letter = 'p',                                                                                                    \
     .type = OPTION_STRING,                                                                                            \
     .offset = offsetof(settings_type, field.text),                                                                    \
     .meta = "TEXT",                                                                                                   \
     .help = "the text, as it is"},                                                                                    \
        {.name = "file",                                                                                               \
         .letter = 'f',                                                                                                \
         .type = OPTION_STRING,                                                                                        \
         .offset = offsetof(settings_type, field.file),                                                                \
         .meta = "FILE",                                                                                               \
         .help = "read it from a file, without its last newline; - or nothing: from standard input"},                  \
    {                                                                                                                  \
        .name = "ids", .type = OPTION_STRING, .offset = offsetof(settings_type, field.ids), .meta = "N,N,...",         \
        .help = "token ids instead of text"                                                                            \
    }

struct prompt {
    struct buf text;
    int32_t *ids; /* [n_ids], owned */
    size_t n_ids;
    bool is_ids; /* ids were given, not text */
};

/* Reads the text, or parses --ids. Owned: prompt_free(). An empty text is no error here. */
enum status prompt_read(struct prompt *out, const struct prompt_options *o);
void prompt_free(struct prompt *p);

/* Fills p->ids from its text, if it is text, and checks them. E_ARG if there are none. */
enum status prompt_encode(struct prompt *p, const struct cli_model *m, bool added_tokens);

/* "1,2,3", separated by commas or white space. what is named in errors. *ids: owned, free(). */
enum status prompt_parse_ids(const char *text, const char *what, int32_t **ids, size_t *n_ids);

#endif

// SPDX-License-Identifier: Apache-2.0
/* JSON lines: one object a line, read one at a time so that a pipe may go on for ever. Blank lines are skipped. */
#ifndef GPTJT_CLI_JSONL_H
#define GPTJT_CLI_JSONL_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

enum { JSONL_MAX_LINE = 10 << 20 };

struct jsonl {
    FILE *file;
    const char *name;              /* borrowed */
    uint64_t line_number, n_lines; /* read so far; in all, 0 if unknown, as for a pipe */
    char where[256];               /* "FILE: line 7", for messages about the object just read */
    struct buf line;
};

/* path "-" is standard input. Owned: jsonl_close(). */
enum status jsonl_open(struct jsonl *j, const char *path);
void jsonl_close(struct jsonl *j);

/* *out: the next object, owned: json_decref(); NULL at the end. */
enum status jsonl_next(struct jsonl *j, json_t **out);

/* An array of token ids called key as *ids: [*n_ids], owned: free(). */
enum status jsonl_ids(int32_t **ids, size_t *n_ids, const json_t *array, const char *key);

/* The last failure again, with where in front of its message. */
enum status jsonl_fail(const struct jsonl *j, enum status s);

#endif

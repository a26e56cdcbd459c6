// SPDX-License-Identifier: Apache-2.0
/* Table files, read row by row in constant memory: a row is a list of (field name, text).
 *
 *   csv     RFC 4180: comma, double quotes, quoted line breaks; LF, CRLF or CR ends; a UTF-8 byte order mark is
 * skipped. The first line names the columns, every row has as many. Spaces belong to the text; empty lines are skipped.
 * Read with libcsv, which only rows.c knows. jsonl   one JSON object a line; strings, numbers and booleans are texts,
 * null, lists and objects are carried along but are no text. Empty lines are skipped. Rows may have different fields.
 *
 * Bytes that are not UTF-8, NUL bytes, stray quotes and rows over ROWS_MAX_BYTES are errors that name file and line. */
#ifndef GPTJT_EVAL_ROWS_H
#define GPTJT_EVAL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"

#define ROWS_MAX_BYTES   ((size_t)64 << 20) /* of one row, as it stands in the file */
#define ROWS_MAX_COLUMNS 4096

enum rows_format { ROWS_CSV, ROWS_JSONL };

/* By the file name's ending: .csv; .jsonl or .ndjson. E_ARG otherwise. */
enum status rows_format_of(enum rows_format *out, const char *path);

struct row {
    int n;
    const char **names;  /* [n] */
    const char **values; /* [n] NUL-terminated UTF-8; of null, a list or an object: its JSON */
    const bool *is_text; /* [n] false for those three */
    const char *object;  /* jsonl: the line's object as it stands in the file, [object_len]; csv: NULL */
    size_t object_len;
    uint64_t line; /* where the row begins, from 1 */
};

struct rows;

/* Owned: rows_close(). For csv this reads the header, so an empty file is E_FORMAT. */
enum status rows_open(struct rows **out, const char *path, enum rows_format format);

/* The same from a stream, moved; name is used in errors. */
enum status rows_open_stream(struct rows **out, FILE *stream, const char *name, enum rows_format format);
void rows_close(struct rows *r);

/* The next row, borrowed until the next call; NULL at the end. After an error every call fails. */
enum status rows_next(struct rows *r, const struct row **out);

/* The columns of a csv file, [*n], borrowed until rows_close(); jsonl: none. */
const char *const *rows_header(const struct rows *r, int *n);

int row_find(const struct row *row, const char *name); /* index of a field, -1 without one */

/* The text of a field, borrowed like the row; E_FORMAT naming file, line and field if it is missing or no text. */
enum status rows_text(const struct rows *r, const struct row *row, const char *name, const char **out);

/* "file line 7", borrowed until the next call: the beginning of an error about a row. */
const char *rows_where(struct rows *r, const struct row *row);

/* Which column is the text: wanted if given, else "text", else the only one besides but (may be NULL). *out is
 * borrowed from wanted or the row. */
enum status rows_text_column(const struct rows *r, const struct row *row, const char *wanted, const char *but,
                             const char **out);

#endif

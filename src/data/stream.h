// SPDX-License-Identifier: Apache-2.0
/* Where records of text come from: one file, read from front to back, from any record on.
 *
 *   .jsonl  a record a line, each a JSON value; blank lines are none
 *   .csv    a record a row behind the header: an object of the header's names and the row's fields (RFC 4180)
 *   .json   a record an element of the array; or the values of an object, where that is asked for; or the one object
 *   .txt    the file is one document; a long one is cut into parts at an empty line, or where else it can
 *
 * Any of them may be packed (bytes.h). Memory is bounded by the longest line and the limits below. */
#ifndef GPTJT_DATA_STREAM_H
#define GPTJT_DATA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum {
    STREAM_LINE_MAX = 64 << 20, /* of a .jsonl or .csv file: longer is an error */
    STREAM_JSON_MAX = 64 << 20, /* a whole .json file, unpacked */
    STREAM_PART_MAX = 1 << 20,  /* of a .txt file: longer is cut */
};

/* Whether a file's name says that it is one that can be read. */
bool stream_knows(const char *path);

struct stream_options {
    bool members; /* an object in a .json file: its values are the records */
};

/* Where a record begins. A file's beginning is all zeros. */
struct stream_place {
    uint64_t offset; /* bytes of the unpacked file before it; .json: elements */
    uint64_t number; /* lines, elements or parts before it */
};

/* "FILE: line 7", for messages; number as in struct stream_place. */
void stream_where(char *out, size_t out_bytes, const char *path, uint64_t number);

struct stream_record {
    const char *data; /* borrowed until the next call */
    size_t len;
    bool is_json;
    struct stream_place place;
};

struct stream;

/* path is borrowed, also by errors. Owned: stream_close(). */
enum status stream_open(struct stream **out, const char *path, const struct stream_options *o,
                        const struct stream_place *from);
void stream_close(struct stream *s); /* accepts NULL */

/* The same of a file that is open: path says what it is. Takes it over, also when it fails. */
enum status stream_open_file(struct stream **out, FILE *file, const char *path, const struct stream_options *o,
                             const struct stream_place *from);

/* The next record; *got false at the end. Without keep it is only passed by: *out is left alone. Errors name file and
 * line; .jsonl is not parsed here. */
enum status stream_next(struct stream *s, bool keep, struct stream_record *out, bool *got);

/* Bytes of the file, as it lies on the disk, that have been read. */
uint64_t stream_file_bytes(const struct stream *s);

/* Where the record after it begins. */
struct stream_place stream_at(const struct stream *s);

#endif

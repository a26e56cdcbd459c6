// SPDX-License-Identifier: Apache-2.0
/* The directory of a zip file in memory, for finding stored entries where they lie. Ours because the minizip that
 * Debian ships misreads entries beyond 4 GB (it compares 32-bit fields with a 64-bit ~0), and those are what a
 * checkpoint is made of. The format is PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3. Inside formats/ only. */
#ifndef GPTJT_FORMATS_ZIPDIR_H
#define GPTJT_FORMATS_ZIPDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct zipdir {
    const char *file; /* for errors */
    const uint8_t *data;
    size_t begin, end; /* of the central directory within data; entries lie before it */
    size_t at;         /* the next record */
    uint64_t left;     /* records to come */
};

struct zipdir_entry {
    const char *name; /* not terminated */
    size_t name_bytes;
    uint64_t bytes, stored_bytes; /* what it holds, and what it takes in the file */
    uint64_t header_at;
    unsigned method; /* 0: stored */
    bool encrypted;
};

/* Finds the directory; data is borrowed. */
enum status zipdir_open(struct zipdir *out, const uint8_t *data, size_t bytes, const char *file);

/* The next entry, while left > 0; checks at the last one that the directory ends there. */
enum status zipdir_next(struct zipdir *d, struct zipdir_entry *out);

/* Where the bytes of a stored entry lie; E_UNSUPPORTED when it is compressed or encrypted. */
enum status zipdir_locate(const struct zipdir *d, const struct zipdir_entry *e, const uint8_t **out);

#endif

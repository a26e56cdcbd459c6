// SPDX-License-Identifier: Apache-2.0
/* The bytes of a file, unpacked if its name ends in .gz or .zst, in constant memory. Several gzip members or zstd
 * frames in a row are one stream, as the tools that write them agree. */
#ifndef GPTJT_DATA_BYTES_H
#define GPTJT_DATA_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"

enum bytes_packing { BYTES_PLAIN, BYTES_GZIP, BYTES_ZSTD };

/* By the end of the name; *stem_len is its length without ".gz" or ".zst". */
enum bytes_packing bytes_packing_of(const char *path, size_t *stem_len);

struct bytes;

/* Owned: bytes_close(). Errors of open name the file; those of read and skip do not, because who reads knows the line
 * too. open_stream takes the stream over, also when it fails. */
enum status bytes_open(struct bytes **out, const char *path);
enum status bytes_open_stream(struct bytes **out, FILE *stream, enum bytes_packing packing);
void bytes_close(struct bytes *b); /* accepts NULL */

/* Up to max bytes; *n is 0 at the end only. */
enum status bytes_read(struct bytes *b, void *to, size_t max, size_t *n);

/* Goes on by n bytes, as read: a plain file is sought, a packed one unpacked. E_FORMAT when it ends before. */
enum status bytes_skip(struct bytes *b, uint64_t n);

/* Bytes of the file, packed as it is, that have been read. */
uint64_t bytes_position(const struct bytes *b);

/* The rest, appended to out. E_LIMIT beyond max_bytes. */
enum status bytes_read_rest(struct bytes *b, struct buf *out, size_t max_bytes);

/* The whole of a small file. Errors name the file. */
enum status bytes_read_file(struct buf *out, const char *path, size_t max_bytes);

#endif

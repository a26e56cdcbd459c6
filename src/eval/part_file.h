// SPDX-License-Identifier: Apache-2.0
/* Results that survive interruption at any moment.
 *
 * They go to OUT.part-FINGERPRINT, flushed with every row, and the finished file is made durable and renamed to OUT, so
 * OUT is never half a result. The fingerprint is a hash of everything that decides the rows: the same command finds the
 * part file again, drops a last row that was cut off, and goes on after the whole ones; another command does not touch
 * it. */
#ifndef GPTJT_EVAL_PART_FILE_H
#define GPTJT_EVAL_PART_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"

/* A fingerprint begins with HASH_BEGIN (base/hash.h). Each text goes in with its NUL, so that neighbours cannot trade
 * bytes. */
uint64_t part_file_hash(uint64_t hash, const char *text);

struct part_file {
    FILE *stream;    /* NULL: not open */
    char path[4096]; /* "" before it has a name */
};

/* Opens the part file of out, for this process alone, to append to. E_IO when another is writing it.
 * Owned: part_file_close(), also after an error. */
enum status part_file_open(struct part_file *p, const char *out, uint64_t fingerprint);
enum status part_file_cut(struct part_file *p, uint64_t bytes); /* what is behind them goes */

/* Hands every whole line of the file (JSON, one object a line) to each, cuts off what is behind the last, and says how
 * many there are. */
typedef enum status part_file_line_fn(void *user, const char *line, size_t len);
enum status part_file_resume(struct part_file *p, part_file_line_fn *each, void *user, size_t *n_lines);

/* Appends what is in text and clears it. */
enum status part_file_write(struct part_file *p, struct buf *text);
enum status part_file_finish(struct part_file *p, const char *out);
enum status part_file_close(struct part_file *p);

#endif

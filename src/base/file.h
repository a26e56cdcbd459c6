// SPDX-License-Identifier: Apache-2.0
/* Files: read-only mappings, bounded reads, and writes that appear whole or not at all. */
#ifndef GPTJT_BASE_FILE_H
#define GPTJT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"

/* A regular file mapped read-only. An empty file has data NULL and bytes 0. */
struct mapping {
    const uint8_t *data;
    size_t bytes;
};

enum status file_map(struct mapping *out, const char *path);
void file_unmap(struct mapping *map);

/* Appends the whole of a regular file, of standard input for "-", or of a shell's <(command), to out; E_LIMIT beyond
 * max_bytes. */
enum status file_read(struct buf *out, const char *path, size_t max_bytes);

bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* Makes a directory and those above it that are missing. */
enum status file_make_dirs(const char *path);

/* Takes a directory for this process alone, as long as *lock is open (close() gives it back, and so does the end of the
 * process). E_IO if another process has it. Nothing is written. */
enum status file_lock_dir(int *lock, const char *path);

/* Removes a directory that holds files only; none there is fine. */
enum status file_remove_dir(const char *path);

/* What has been written or renamed in a directory is durable after this, where the file system lets us. */
void file_sync_dir(const char *path);

/* dir + "/" + name into out; E_LIMIT when it does not fit. */
enum status file_join(char *out, size_t out_bytes, const char *dir, const char *name);

/* Writes go to a temporary name beside the target; commit makes them durable (fsync) and renames. Abort, or a crash,
 * leaves any earlier file of that name untouched. */
struct file_writer {
    FILE *stream;
    char *path, *temporary;
};

enum status file_writer_open(struct file_writer *w, const char *path);
enum status file_writer_write(struct file_writer *w, const void *data, size_t bytes);
enum status file_writer_commit(struct file_writer *w); /* closes; on error the temporary file is gone */
void file_writer_abort(struct file_writer *w);         /* closes; does nothing after commit or a failed open */

/* Copies a regular file of up to max_bytes; to appears whole. */
enum status file_copy(const char *to, const char *from, size_t max_bytes);

#endif

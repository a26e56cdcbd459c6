// SPDX-License-Identifier: Apache-2.0
/* What the readers of one file share: a source over a mapping, or over borrowed bytes, that owns its names. For the
 * implementations inside formats/ only; everybody else uses source.h. */
#ifndef GPTJT_FORMATS_SOURCE_FILE_H
#define GPTJT_FORMATS_SOURCE_FILE_H

#include "base/file.h"
#include "formats/source.h"

struct source_file {
    struct source base;
    struct mapping map; /* empty when the bytes are borrowed */
};

/* An empty source with room for max_entries; ops->close must be source_file_close. where names the file in errors. *out
 * is owned: source_file_close(). */
enum status source_file_create(struct source_file **out, const struct source_ops *ops, size_t max_entries,
                               size_t file_bytes, const char *where);
void source_file_close(struct source *s); /* s is the base of a source_file */

/* Copies the name, which must hold no NUL; there must be room. */
enum status source_file_add(struct source_file *f, const char *name, size_t name_bytes, const struct tensor *t);

/* Adds a note, both strings copied. */
enum status source_file_note(struct source_file *f, const char *key, const char *value);

/* A reader of bytes; name is for errors. */
typedef enum status source_read_fn(struct source_file **out, const uint8_t *data, size_t bytes, const char *name);

/* Maps the file at path, reads it, and hands the mapping over to the source. */
enum status source_file_open(struct source **out, const char *path, source_read_fn *read);

/* Sorts entries by name; E_FORMAT naming where and a name that occurs twice. */
enum status source_sort(struct source *s, const char *where);

/* A set of shards described by "NAME.index.json": weight_map gives the file of every tensor. */
enum status shards_open(struct source **out, const char *index_path);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Where named tensors come from: a checkpoint file, a set of shards, a synthetic model. Implementations check every
 * name, dtype, shape and byte range once, at open; after that a lookup cannot fail for reasons of format. */
#ifndef GPTJT_FORMATS_SOURCE_H
#define GPTJT_FORMATS_SOURCE_H

#include <stdint.h>

#include "base/status.h"
#include "tensor/tensor.h"

struct source;

struct source_entry {
    const char *name;     /* borrowed from the source */
    struct tensor tensor; /* borrowed view, valid until source_close() */
};

/* The table an implementation fills; users call the functions below. */
struct source_ops {
    const char *kind; /* "safetensors", "pytorch zip", "pytorch legacy", "shards" */
    void (*close)(struct source *s);
};

/* A word of the file about itself: a member of safetensors' "__metadata__". */
struct source_note {
    const char *key, *value; /* borrowed from the source */
};

struct source {
    const struct source_ops *ops;
    struct source_entry *entries; /* [n_entries], sorted by name, names unique */
    int n_entries;
    struct source_note *notes; /* [n_notes], keys unique; none where a set of shards is concerned */
    int n_notes;
    uint64_t file_bytes; /* on disk, all files */
};

/* The tensor called name, or NULL. */
const struct tensor *source_find(const struct source *s, const char *name);

/* What the file says under this key of its metadata, or NULL. Borrowed. */
const char *source_note(const struct source *s, const char *key);

void source_close(struct source *s); /* accepts NULL */

/* Opens the weights of a Hugging Face directory, trying in this order: model.safetensors,
 * model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json. *out is owned. */
enum status source_open_dir(struct source **out, const char *dir);
bool source_dir_has_weights(const char *dir); /* one of these files is there, whatever is in it */

/* One weights file, kind told by its content, not its name. */
enum status source_open_file(struct source **out, const char *path);

#endif

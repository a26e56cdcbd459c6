// SPDX-License-Identifier: Apache-2.0
/* From a pickled state dict and the storages beside it to tensors; what both torch formats share. Inside formats/
 * only. */
#ifndef GPTJT_FORMATS_TORCHSTATE_H
#define GPTJT_FORMATS_TORCHSTATE_H

#include "formats/pickle.h"
#include "formats/source_file.h"

struct torchstate_storage {
    char *key; /* owned by the set */
    const uint8_t *data;
    size_t bytes;
};

struct torchstate_set {
    struct torchstate_storage *items; /* [n], sorted by key once complete */
    size_t n, cap;
};

enum status torchstate_add(struct torchstate_set *set, const char *key, size_t key_bytes, const uint8_t *data,
                           size_t bytes, const char *where);
enum status torchstate_sort(struct torchstate_set *set, const char *where); /* E_FORMAT when a key occurs twice */
void torchstate_free(struct torchstate_set *set);

/* The pickle's root must be a state dict, and each of its tensors lie within a storage of the set. file_bytes is the
 * size of the whole file, name is for errors. *out is owned: source_file_close(). */
enum status torchstate_read(struct source_file **out, const struct source_ops *ops, const struct pickle *p,
                            const struct torchstate_set *set, size_t file_bytes, const char *name);

/* The torch format before 1.6, a source_read_fn. */
enum status torchlegacy_read(struct source_file **out, const uint8_t *data, size_t bytes, const char *name);

#endif

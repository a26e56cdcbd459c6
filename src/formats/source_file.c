// SPDX-License-Identifier: Apache-2.0
/* A source over one file: the mapping, the entries and their names live and die together. */
#include "formats/source_file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

void source_file_close(struct source *s)
{
    struct source_file *f = (struct source_file *)s;
    for (int i = 0; i < s->n_entries; i++)
        free((void *)(uintptr_t)s->entries[i].name);
    for (int i = 0; i < s->n_notes; i++) {
        free((void *)(uintptr_t)s->notes[i].key);
        free((void *)(uintptr_t)s->notes[i].value);
    }
    free(s->notes);
    free(s->entries);
    file_unmap(&f->map);
    free(f);
}

enum status source_file_create(struct source_file **out, const struct source_ops *ops, size_t max_entries,
                               size_t file_bytes, const char *where)
{
    if (max_entries > INT_MAX) return fail(E_LIMIT, "%s: %zu tensors", where, max_entries);
    struct source_file *f = calloc(1, sizeof *f);
    if (!f) return fail(E_NOMEM, "%s: out of memory", where);
    f->base.entries = calloc(max_entries ? max_entries : 1, sizeof f->base.entries[0]);
    if (!f->base.entries) {
        free(f);
        return fail(E_NOMEM, "%s: out of memory for %zu tensors", where, max_entries);
    }
    f->base.ops = ops;
    f->base.file_bytes = file_bytes;
    *out = f;
    return OK;
}

enum status source_file_add(struct source_file *f, const char *name, size_t name_bytes, const struct tensor *t)
{
    char *copy = strndup(name, name_bytes);
    if (!copy) return fail(E_NOMEM, "out of memory for a tensor's name");
    f->base.entries[f->base.n_entries++] = (struct source_entry){copy, *t};
    return OK;
}

enum status source_file_note(struct source_file *f, const char *key, const char *value)
{
    struct source *s = &f->base;
    struct source_note *notes = realloc(s->notes, ((size_t)s->n_notes + 1) * sizeof *notes);
    if (notes) s->notes = notes;
    const struct source_note note = {strdup(key), strdup(value)};
    if (!notes || !note.key || !note.value) {
        free((void *)(uintptr_t)note.key);
        free((void *)(uintptr_t)note.value);
        return fail(E_NOMEM, "out of memory for the file's metadata");
    }
    notes[s->n_notes++] = note;
    return OK;
}

enum status source_file_open(struct source **out, const char *path, source_read_fn *read)
{
    struct mapping map;
    struct source_file *f;
    TRY(file_map(&map, path));
    const enum status s = read(&f, map.data, map.bytes, path);
    if (s != OK) {
        file_unmap(&map);
        return s;
    }
    f->map = map;
    *out = &f->base;
    return OK;
}

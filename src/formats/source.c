// SPDX-License-Identifier: Apache-2.0
/* What all sources have in common: lookup, order, unique names, and telling what a file or a directory holds. */
#include "formats/source.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "formats/source_file.h"
#include "formats/torchbin.h"

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct source_entry *)a)->name, ((const struct source_entry *)b)->name);
}

const struct tensor *source_find(const struct source *s, const char *name)
{
    if (!s->n_entries) return NULL;
    const struct source_entry key = {.name = name};
    const struct source_entry *e = bsearch(&key, s->entries, (size_t)s->n_entries, sizeof s->entries[0],
                                           compare_entries);
    return e ? &e->tensor : NULL;
}

const char *source_note(const struct source *s, const char *key)
{
    for (int i = 0; i < s->n_notes; i++)
        if (!strcmp(s->notes[i].key, key)) return s->notes[i].value;
    return NULL;
}

void source_close(struct source *s)
{
    if (s) s->ops->close(s);
}

enum status source_sort(struct source *s, const char *where)
{
    if (!s->n_entries) return OK;
    qsort(s->entries, (size_t)s->n_entries, sizeof s->entries[0], compare_entries);
    for (int i = 1; i < s->n_entries; i++) {
        if (!strcmp(s->entries[i - 1].name, s->entries[i].name))
            return fail(E_FORMAT, "%s: tensor \"%.200s\" occurs twice", where, s->entries[i].name);
    }
    return OK;
}

struct kind {
    const char *begins; /* the first bytes of such a file */
    size_t bytes;
    const char *what;
};

/* Things users point at by mistake; naming them saves a search. */
static enum status refuse_unknown(const uint8_t *data, size_t bytes, const char *path)
{
    static const struct kind kinds[] = {
        {"version https://git-lfs", 23, "a Git LFS pointer, not the weights themselves: fetch them with git lfs pull"},
        {"GGUF", 4, "a GGUF file, which is not read"},
        {"lmgg", 4, "a ggml file, which is not read"},
        {"fmgg", 4, "a ggml file, which is not read"},
        {"tjgg", 4, "a ggml file, which is not read"},
        {"\x89HDF", 4, "an HDF5 file (TensorFlow), which is not read"},
        {"<!DOCTYPE", 9, "a web page, not weights"},
        {"{", 1, "JSON, not weights"},
    };
    if (!bytes) return fail(E_FORMAT, "%s: the file is empty", path);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (bytes >= kinds[i].bytes && !memcmp(data, kinds[i].begins, kinds[i].bytes))
            return fail(E_UNSUPPORTED, "%s: this is %s", path, kinds[i].what);
    }
    return fail(E_FORMAT, "%s: neither safetensors nor a pytorch file", path);
}

static bool looks_like_torch(const uint8_t *data, size_t bytes)
{
    return (bytes >= 4 && !memcmp(data, "PK\3\4", 4)) || (bytes >= 2 && data[0] == 0x80 && data[1] <= 5);
}

enum status source_open_file(struct source **out, const char *path)
{
    struct mapping map;
    TRY(file_map(&map, path));
    enum status s = OK;
    const bool safetensors = map.bytes > 8 && map.data[8] == '{'; /* no zip and no pickle has a '{' there */
    const bool torch = !safetensors && looks_like_torch(map.data, map.bytes);
    if (!safetensors && !torch) s = refuse_unknown(map.data, map.bytes, path);
    file_unmap(&map);
    if (s != OK) return s;
    return safetensors ? safetensors_open(out, path) : torchbin_open(out, path);
}

static bool foreign_weights(const char *name)
{
    static const char *const names[] = {"flax_model.msgpack", "tf_model.h5", "model.ckpt.index", "model.onnx",
                                        "rust_model.ot"};
    static const char *const endings[] = {".gguf", ".ggml", ".msgpack", ".h5"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!strcmp(name, names[i])) return true;
    }
    const size_t len = strlen(name);
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        const size_t n = strlen(endings[i]);
        if (len > n && !strcmp(name + len - n, endings[i])) return true;
    }
    return !strncmp(name, "ggml-", 5);
}

static enum status refuse_dir(const char *dir, const char *const *tried)
{
    char found[256] = "";
    DIR *d = opendir(dir);
    for (struct dirent *e; d && !found[0] && (e = readdir(d));) {
        if (foreign_weights(e->d_name)) snprintf(found, sizeof found, "%s", e->d_name);
    }
    if (d) closedir(d);
    if (found[0])
        return fail(E_UNSUPPORTED, "%s: has only %s, which is not read; expected %s, %s, %s or %s", dir, found,
                    tried[0], tried[1], tried[2], tried[3]);
    return fail(E_IO, "%s: no weights: none of %s, %s, %s, %s is there", dir, tried[0], tried[1], tried[2], tried[3]);
}

static const char *const weight_files[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                           "pytorch_model.bin.index.json"};

enum status source_open_dir(struct source **out, const char *dir)
{
    if (!file_is_dir(dir)) return fail(E_IO, "%s: is not a directory", dir);
    for (size_t i = 0; i < COUNT_OF(weight_files); i++) {
        char path[4096];
        TRY(file_join(path, sizeof path, dir, weight_files[i]));
        if (file_exists(path)) return i % 2 ? shards_open(out, path) : source_open_file(out, path);
    }
    return refuse_dir(dir, weight_files);
}

bool source_dir_has_weights(const char *dir)
{
    char path[4096];
    for (size_t i = 0; i < COUNT_OF(weight_files); i++)
        if (file_join(path, sizeof path, dir, weight_files[i]) == OK && file_exists(path)) return true;
    return false;
}

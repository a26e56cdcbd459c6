// SPDX-License-Identifier: Apache-2.0
/* A checkpoint in several files. The index is trusted for nothing but names: every shard is opened and checked like a
 * single file, and index and shards must agree exactly, so that a stale index cannot hide or borrow a tensor. */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "formats/source_file.h"

enum { MAX_INDEX_BYTES = 100 * 1000 * 1000, MAX_SHARDS = 10000 };

struct shards {
    struct source base;
    struct source **files; /* [n_files], in the order the index first names them */
    size_t n_files;
};

static void close_shards(struct source *s)
{
    struct shards *set = (struct shards *)s;
    for (size_t i = 0; i < set->n_files; i++)
        source_close(set->files[i]);
    free(set->files);
    free(s->entries); /* the names belong to the shards */
    free(set);
}

static const struct source_ops shards_ops = {"shards", close_shards};

/* The index must not lead out of its directory. */
static enum status check_file_name(const char *index, const char *tensor, const json_t *file)
{
    if (!json_is_string(file)) return fail(E_FORMAT, "%s: the file of \"%.200s\" is not a string", index, tensor);
    const char *name = json_string_value(file);
    if (strlen(name) != json_string_length(file) || !name[0] || strchr(name, '/') || strstr(name, ".."))
        return fail(E_FORMAT, "%s: \"%.200s\" is in \"%.200s\", which is not a plain file name", index, tensor, name);
    return OK;
}

static enum status open_shard(struct source **out, const char *index, const char *name)
{
    char path[PATH_MAX], copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", index);
    TRY(file_join(path, sizeof path, dirname(copy), name));
    return source_open_file(out, path);
}

/* Opens every file once; opened maps its name to its place in set->files. */
static enum status open_files(struct shards *set, json_t *opened, json_t *map, const char *index)
{
    const char *tensor;
    json_t *file;
    json_object_foreach (map, tensor, file) {
        TRY(check_file_name(index, tensor, file));
        const char *name = json_string_value(file);
        if (json_object_get(opened, name)) continue;
        if (set->n_files == MAX_SHARDS) return fail(E_LIMIT, "%s: more than %d files", index, MAX_SHARDS);
        struct source **files = realloc(set->files, (set->n_files + 1) * sizeof files[0]);
        if (!files) return fail(E_NOMEM, "%s: out of memory", index);
        set->files = files;
        TRY(open_shard(&files[set->n_files], index, name));
        const json_int_t place = (json_int_t)set->n_files++;
        set->base.file_bytes += files[place]->file_bytes;
        if (json_object_set_new(opened, name, json_integer(place))) return fail(E_NOMEM, "%s: out of memory", index);
    }
    return OK;
}

static enum status check_mapped(const struct shards *set, const json_t *opened, json_t *map, const char *index)
{
    const char *tensor;
    json_t *file;
    json_object_foreach (map, tensor, file) {
        const char *name = json_string_value(file);
        if (!source_find(set->files[json_integer_value(json_object_get(opened, name))], tensor))
            return fail(E_FORMAT, "%s: tensor \"%.200s\" is not in %.200s", index, tensor, name);
    }
    return OK;
}

static enum status collect_shard(struct source *all, const struct source *shard, const char *name, const json_t *map,
                                 const char *index)
{
    for (int i = 0; i < shard->n_entries; i++) {
        const char *tensor = shard->entries[i].name;
        const json_t *file = json_object_get(map, tensor);
        if (!file)
            return fail(E_FORMAT, "%s: does not list tensor \"%.200s\", which is in %.200s", index, tensor, name);
        if (strcmp(json_string_value(file), name))
            return fail(E_FORMAT, "%s: lists tensor \"%.200s\" in %.200s, but %.200s has it too", index, tensor,
                        json_string_value(file), name);
        all->entries[all->n_entries++] = shard->entries[i]; /* one for each member of map at most */
    }
    return OK;
}

static enum status collect(struct shards *set, json_t *opened, json_t *map, const char *index)
{
    const char *name;
    json_t *place;
    set->base.entries = calloc(json_object_size(map) + 1, sizeof set->base.entries[0]);
    if (!set->base.entries) return fail(E_NOMEM, "%s: out of memory", index);
    TRY(check_mapped(set, opened, map, index));
    json_object_foreach (opened, name, place) {
        TRY(collect_shard(&set->base, set->files[json_integer_value(place)], name, map, index));
    }
    return source_sort(&set->base, index);
}

static enum status open_set(struct shards *set, json_t *index, const char *path)
{
    json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map)) return fail(E_FORMAT, "%s: \"weight_map\" is missing or not an object", path);
    json_t *opened = json_object();
    if (!opened) return fail(E_NOMEM, "%s: out of memory", path);
    enum status s = open_files(set, opened, map, path);
    if (s == OK) s = collect(set, opened, map, path);
    json_decref(opened);
    return s;
}

enum status shards_open(struct source **out, const char *index_path)
{
    json_t *index;
    TRY(json_read_file(&index, index_path, MAX_INDEX_BYTES)); /* the limit also bounds the number of entries */
    struct shards *set = calloc(1, sizeof *set);
    if (!set) {
        json_decref(index);
        return fail(E_NOMEM, "%s: out of memory", index_path);
    }
    set->base.ops = &shards_ops;
    const enum status s = open_set(set, index, index_path);
    json_decref(index);
    if (s != OK) {
        close_shards(&set->base);
        return s;
    }
    *out = &set->base;
    return OK;
}

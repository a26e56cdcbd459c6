// SPDX-License-Identifier: Apache-2.0
/* Integers are read as doubles, since somewhere in the rest of the answer there may be one beyond 64 bits; sizes are
 * exact below 2^53, and others are refused. */
#include "hub/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { MAX_FILES = 100000 };
static const double MAX_BYTES = 9007199254740992.; /* 2^53 */

/* A member that must be a string without a NUL in it; NULL if it is anything else. */
static const char *text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) return NULL;
    return json_string_value(v);
}

static enum status parse_bytes(uint64_t *out, const json_t *object, const char *where, const char *name)
{
    const json_t *v = json_object_get(object, "size");
    const double bytes = json_is_number(v) ? json_number_value(v) : -1;
    if (!(bytes >= 0 && bytes < MAX_BYTES) || (double)(uint64_t)bytes < bytes)
        return fail(E_FORMAT, "%s: the size of \"%.200s\" is missing, or not a number of bytes", where, name);
    *out = (uint64_t)bytes;
    return OK;
}

static enum status parse_hash(struct hub_file *f, const json_t *object, const char *where, const char *name)
{
    const json_t *lfs = json_object_get(object, "lfs");
    const bool in_lfs = json_is_object(lfs);
    const char *hash = in_lfs ? text_of(lfs, "sha256") : text_of(object, "blobId");
    if (!hash || !hub_name_is_hash(hash, in_lfs ? HUB_SHA256 : HUB_COMMIT))
        return fail(E_FORMAT, "%s: \"%.200s\" has no %s that it could be checked by", where, name,
                    in_lfs ? "\"lfs\": {\"sha256\"}" : "\"blobId\"");
    strcpy(f->hash, hash);
    return OK;
}

static enum status parse_file(struct hub_file *f, const json_t *object, const char *where)
{
    const char *name = text_of(object, "rfilename");
    if (!name) return fail(E_FORMAT, "%s: a file has no name", where);
    if (!hub_name_is_file(name))
        return fail(E_FORMAT, "%s: \"%.200s\" is not a name that a file can be stored under", where, name);
    TRY(parse_bytes(&f->bytes, object, where, name));
    TRY(parse_hash(f, object, where, name));
    f->name = strdup(name);
    return f->name ? OK : fail(E_NOMEM, "%s: out of memory", where);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->name, ((const struct hub_file *)b)->name);
}

/* Sorts them; the same name twice, or sizes that cannot be added up, are refused. */
static enum status check_files(struct hub_listing *l, const char *where)
{
    uint64_t total = 0;
    if (l->n) qsort(l->files, l->n, sizeof *l->files, by_name);
    for (size_t i = 0; i < l->n; i++) {
        if (i && !strcmp(l->files[i - 1].name, l->files[i].name))
            return fail(E_FORMAT, "%s: \"%.200s\" is there twice", where, l->files[i].name);
        if (l->files[i].bytes > INT64_MAX - total) return fail(E_FORMAT, "%s: more bytes than can be counted", where);
        total += l->files[i].bytes;
    }
    return OK;
}

static enum status parse_files(struct hub_listing *l, const json_t *siblings, const char *where)
{
    const size_t n = json_array_size(siblings);
    if (n > MAX_FILES) return fail(E_LIMIT, "%s: %zu files, more than %d", where, n, MAX_FILES);
    l->files = calloc(n ? n : 1, sizeof *l->files);
    if (!l->files) return fail(E_NOMEM, "%s: out of memory", where);
    for (; l->n < n; l->n++)
        TRY(parse_file(&l->files[l->n], json_array_get(siblings, l->n), where));
    return check_files(l, where);
}

static enum status parse(struct hub_listing *l, const json_t *answer, const char *where)
{
    const char *commit = text_of(answer, "sha");
    const json_t *siblings = json_object_get(answer, "siblings");
    if (!commit || !hub_name_is_commit(commit)) return fail(E_FORMAT, "%s: the answer names no commit", where);
    if (!json_is_array(siblings)) return fail(E_FORMAT, "%s: the answer lists no files", where);
    strcpy(l->commit, commit);
    return parse_files(l, siblings, where);
}

enum status hub_listing_parse(struct hub_listing *out, const char *text, size_t len, const char *where)
{
    json_t *answer;
    struct hub_listing l = {0};
    TRY(json_read_text_big(&answer, text, len, where));
    const enum status s = parse(&l, answer, where);
    json_decref(answer);
    if (s == OK)
        *out = l;
    else
        hub_listing_free(&l);
    return s;
}

void hub_listing_free(struct hub_listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->files[i].name);
    free(l->files);
    *l = (struct hub_listing){0};
}

struct hub_file *hub_listing_find(const struct hub_listing *l, const char *name)
{
    const struct hub_file key = {.name = (char *)(uintptr_t)name};
    return l->n ? bsearch(&key, l->files, l->n, sizeof *l->files, by_name) : NULL;
}

// SPDX-License-Identifier: Apache-2.0
/* The writer: the header is built from the declarations as a JSON tree and goes out before the first byte of data, so
 * nothing but the header is ever held in memory. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "formats/safetensors.h"

enum { ALIGNMENT = 64, MAX_HEADER_BYTES = 100 * 1000 * 1000 };

struct safetensors_writer {
    struct file_writer file;
    json_t *header, *metadata; /* metadata joins the header when it is not empty */
    int64_t declared_bytes, written_bytes;
    bool header_done;
    char *path; /* for errors */
};

enum status safetensors_writer_open(struct safetensors_writer **out, const char *path)
{
    struct safetensors_writer *w = calloc(1, sizeof *w);
    if (!w) return fail(E_NOMEM, "%s: out of memory", path);
    w->path = strdup(path);
    w->header = json_object();
    w->metadata = json_object();
    enum status s = OK;
    if (!w->path || !w->header || !w->metadata) s = fail(E_NOMEM, "%s: out of memory", path);
    if (s == OK) s = file_writer_open(&w->file, path);
    if (s != OK) {
        safetensors_writer_abort(w);
        return s;
    }
    *out = w;
    return OK;
}

static void free_writer(struct safetensors_writer *w)
{
    json_decref(w->header);
    json_decref(w->metadata);
    free(w->path);
    free(w);
}

static enum status check_name(const struct safetensors_writer *w, const json_t *object, const char *name)
{
    if (w->header_done) return fail(E_ARG, "%s: \"%.200s\" comes after the first data", w->path, name);
    if (!utf8_valid(name, strlen(name))) return fail(E_ARG, "%s: the name \"%.200s\" is not UTF-8", w->path, name);
    if (json_object_get(object, name)) return fail(E_ARG, "%s: \"%.200s\" is declared twice", w->path, name);
    return OK;
}

enum status safetensors_writer_declare(struct safetensors_writer *w, const char *name, const struct tensor *like)
{
    int64_t elements, bytes, end;
    TRY(check_name(w, w->header, name));
    if (!strcmp(name, "__metadata__")) return fail(E_ARG, "%s: \"__metadata__\" cannot name a tensor", w->path);
    TRY(tensor_size(like, name, &elements, &bytes));
    if (__builtin_add_overflow(w->declared_bytes, bytes, &end))
        return fail(E_LIMIT, "%s: the file's size overflows at \"%.200s\"", w->path, name);

    json_t *shape = json_array();
    for (int i = 0; i < like->n_dims; i++)
        json_array_append_new(shape, json_integer(like->shape[i])); /* a failure shows in the size, below */
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(like->dtype), "shape", shape, "data_offsets",
                              (json_int_t)w->declared_bytes, (json_int_t)end);
    const bool whole = entry && (int)json_array_size(json_object_get(entry, "shape")) == like->n_dims;
    if (!whole) json_decref(entry);
    if (!whole || json_object_set_new(w->header, name, entry)) return fail(E_NOMEM, "%s: out of memory", w->path);
    w->declared_bytes = end;
    return OK;
}

enum status safetensors_writer_metadata(struct safetensors_writer *w, const char *key, const char *value)
{
    TRY(check_name(w, w->metadata, key));
    if (!utf8_valid(value, strlen(value)))
        return fail(E_ARG, "%s: the metadata value of \"%.200s\" is not UTF-8", w->path, key);
    if (json_object_set_new(w->metadata, key, json_string(value))) return fail(E_NOMEM, "%s: out of memory", w->path);
    return OK;
}

/* Spaces at the end of the header are allowed by the format and bring the data to its alignment. */
static enum status write_header_text(struct safetensors_writer *w, const char *text)
{
    static const char spaces[ALIGNMENT + 1] = "                                                                ";
    const size_t len = strlen(text), pad = (ALIGNMENT - (8 + len) % ALIGNMENT) % ALIGNMENT;
    if (len + pad > MAX_HEADER_BYTES) return fail(E_LIMIT, "%s: header of %zu bytes", w->path, len);
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)((uint64_t)(len + pad) >> 8 * i);
    TRY(file_writer_write(&w->file, prefix, sizeof prefix));
    TRY(file_writer_write(&w->file, text, len));
    TRY(file_writer_write(&w->file, spaces, pad));
    w->header_done = true;
    return OK;
}

static enum status write_header(struct safetensors_writer *w)
{
    if (w->header_done) return OK;
    json_t *whole = w->header;
    if (json_object_size(w->metadata)) { /* first in the file, where people look */
        whole = json_pack("{s:O}", "__metadata__", w->metadata);
        if (!whole || json_object_update(whole, w->header)) {
            json_decref(whole);
            return fail(E_NOMEM, "%s: out of memory", w->path);
        }
    }
    char *text = json_dumps(whole, JSON_COMPACT);
    if (whole != w->header) json_decref(whole);
    const enum status s = text ? write_header_text(w, text) : fail(E_NOMEM, "%s: out of memory", w->path);
    free(text);
    return s;
}

enum status safetensors_writer_data(struct safetensors_writer *w, const void *data, size_t bytes)
{
    if (bytes > (uint64_t)(w->declared_bytes - w->written_bytes))
        return fail(E_ARG, "%s: %zu bytes of data where %" PRId64 " are missing", w->path, bytes,
                    w->declared_bytes - w->written_bytes);
    TRY(write_header(w));
    TRY(file_writer_write(&w->file, data, bytes));
    w->written_bytes += (int64_t)bytes;
    return OK;
}

enum status safetensors_writer_commit(struct safetensors_writer *w)
{
    enum status s = OK;
    if (w->written_bytes != w->declared_bytes)
        s = fail(E_ARG, "%s: %" PRId64 " bytes of data are missing", w->path, w->declared_bytes - w->written_bytes);
    if (s == OK) s = write_header(w);
    if (s != OK) {
        safetensors_writer_abort(w);
        return s;
    }
    s = file_writer_commit(&w->file);
    free_writer(w);
    return s;
}

void safetensors_writer_abort(struct safetensors_writer *w)
{
    if (!w) return;
    file_writer_abort(&w->file);
    free_writer(w);
}

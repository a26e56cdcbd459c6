// SPDX-License-Identifier: Apache-2.0
/* The reader. All checks happen here, once: header, types, shapes, and that the tensors' byte ranges tile the data
 * exactly, which is the format's own rule and leaves no room for overlaps, hidden bytes or a truncated end. */
#include "formats/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "formats/source_file.h"

enum { MAX_HEADER_BYTES = 100 * 1000 * 1000 }; /* the reference implementation's limit */

static const struct source_ops safetensors_ops = {"safetensors", source_file_close};

struct header {
    const char *file; /* for errors */
    json_t *json;
    const uint8_t *data; /* the bytes after the header */
    int64_t data_bytes;
};

static enum status read_header(struct header *h, const uint8_t *data, size_t bytes, const char *name)
{
    if (bytes < 8) return fail(E_FORMAT, "%s: %zu bytes are too few for a safetensors file: truncated?", name, bytes);
    uint64_t len = 0;
    for (int i = 7; i >= 0; i--)
        len = len << 8 | data[i];
    if (len > MAX_HEADER_BYTES)
        return fail(E_FORMAT, "%s: header of %" PRIu64 " bytes, more than the format's limit of %d", name, len,
                    MAX_HEADER_BYTES);
    if (len > bytes - 8)
        return fail(E_FORMAT, "%s: header of %" PRIu64 " bytes in a file of %zu: truncated?", name, len, bytes);
    TRY(json_read_text(&h->json, (const char *)data + 8, (size_t)len, name));
    h->file = name;
    h->data = data + 8 + len;
    h->data_bytes = (int64_t)(bytes - 8 - (size_t)len);
    return OK;
}

static enum status read_metadata(struct source_file *f, const char *file, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return fail(E_FORMAT, "%s: \"__metadata__\" is not an object", file);
    json_object_foreach (metadata, key, value) {
        if (!json_is_string(value))
            return fail(E_FORMAT, "%s: \"__metadata__\": \"%.200s\" is not a string", file, key);
        const char *text = json_string_value(value);
        if (strlen(text) == json_string_length(value)) TRY(source_file_note(f, key, text)); /* no NUL in it */
    }
    return OK;
}

static enum status read_dtype(enum dtype *out, const struct header *h, const char *name, const json_t *entry)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype))
        return fail(E_FORMAT, "%s: tensor \"%.200s\": \"dtype\" is not a string", h->file, name);
    const char *text = json_string_value(dtype);
    if (strlen(text) != json_string_length(dtype) || !dtype_from_name(out, text))
        return fail(E_UNSUPPORTED, "%s: tensor \"%.200s\": dtype \"%.40s\" is not supported", h->file, name, text);
    return OK;
}

static enum status read_shape(struct tensor *t, const struct header *h, const char *name, const json_t *entry)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return fail(E_FORMAT, "%s: tensor \"%.200s\": \"shape\" is not an array", h->file, name);
    const size_t n = json_array_size(shape);
    if (n > TENSOR_MAX_DIMS)
        return fail(E_UNSUPPORTED, "%s: tensor \"%.200s\": %zu dimensions, more than %d", h->file, name, n,
                    TENSOR_MAX_DIMS);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d))
            return fail(E_FORMAT, "%s: tensor \"%.200s\": dimension %zu is not an integer", h->file, name, i);
        t->shape[i] = json_integer_value(d);
    }
    t->n_dims = (int)n;
    return OK;
}

static enum status read_range(int64_t range[2], const struct header *h, const char *name, const json_t *entry)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return fail(E_FORMAT, "%s: tensor \"%.200s\": \"data_offsets\" is not a pair of integers", h->file, name);
    const int64_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || begin > end)
        return fail(E_FORMAT, "%s: tensor \"%.200s\": data offsets %" PRId64 " to %" PRId64, h->file, name, begin, end);
    if (end > h->data_bytes)
        return fail(E_FORMAT,
                    "%s: tensor \"%.200s\" ends at byte %" PRId64 " of the data, of which the file has %" PRId64
                    ": truncated?",
                    h->file, name, end, h->data_bytes);
    range[0] = begin;
    range[1] = end;
    return OK;
}

static enum status read_entry(struct tensor *out, int64_t range[2], const struct header *h, const char *name,
                              const json_t *entry)
{
    struct tensor t = {0};
    if (!json_is_object(entry)) return fail(E_FORMAT, "%s: tensor \"%.200s\" is not an object", h->file, name);
    TRY(read_dtype(&t.dtype, h, name, entry));
    TRY(read_shape(&t, h, name, entry));
    TRY(read_range(range, h, name, entry));

    char where[512], shape[256];
    snprintf(where, sizeof where, "%.250s: tensor \"%.200s\"", h->file, name);
    int64_t elements, bytes;
    TRY(tensor_size(&t, where, &elements, &bytes));
    if (range[1] - range[0] != bytes)
        return fail(E_FORMAT, "%s: %s of shape %s is %" PRId64 " bytes, data offsets give %" PRId64, where,
                    dtype_name(t.dtype), tensor_shape_text(&t, shape, sizeof shape), bytes, range[1] - range[0]);
    t.data = bytes ? h->data + range[0] : NULL;
    *out = t;
    return OK;
}

struct range {
    int64_t begin, end;
    const char *name;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static enum status check_tiling(struct range *ranges, size_t n, const struct header *h)
{
    qsort(ranges, n, sizeof ranges[0], compare_ranges);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct range *r = &ranges[i];
        if (r->begin < at)
            return fail(E_FORMAT, "%s: tensors \"%.200s\" and \"%.200s\" overlap", h->file, ranges[i - 1].name,
                        r->name);
        if (r->begin > at)
            return fail(E_FORMAT, "%s: hole of %" PRId64 " bytes before tensor \"%.200s\"", h->file, r->begin - at,
                        r->name);
        at = r->end;
    }
    if (at != h->data_bytes)
        return fail(E_FORMAT, "%s: %" PRId64 " bytes after the last tensor", h->file, h->data_bytes - at);
    return OK;
}

static enum status read_entries(struct source_file *f, struct range *ranges, const struct header *h)
{
    size_t n = 0;
    const char *name;
    json_t *entry;
    json_object_foreach (h->json, name, entry) {
        if (!strcmp(name, "__metadata__")) {
            TRY(read_metadata(f, h->file, entry));
            continue;
        }
        struct tensor t = {0};
        int64_t range[2] = {0};
        TRY(read_entry(&t, range, h, name, entry));
        TRY(source_file_add(f, name, strlen(name), &t));
        ranges[n++] = (struct range){range[0], range[1], name};
    }
    TRY(check_tiling(ranges, n, h));
    return source_sort(&f->base, h->file);
}

static enum status read_bytes(struct source_file **out, const uint8_t *data, size_t bytes, const char *name)
{
    struct header h = {0};
    struct source_file *f;
    struct range *ranges = NULL;
    TRY(read_header(&h, data, bytes, name));
    enum status s = OK;
    const size_t n = json_object_size(h.json);
    if (!json_is_object(h.json)) s = fail(E_FORMAT, "%s: the header is not a JSON object", name);
    if (s == OK) s = source_file_create(&f, &safetensors_ops, n, bytes, name);
    if (s != OK) goto free_header;
    ranges = calloc(n ? n : 1, sizeof ranges[0]);
    s = ranges ? read_entries(f, ranges, &h) : fail(E_NOMEM, "%s: out of memory for %zu tensors", name, n);
    free(ranges);
    if (s != OK) goto close_file;
    json_decref(h.json);
    *out = f;
    return OK;

close_file:
    source_file_close(&f->base);
free_header:
    json_decref(h.json);
    return s;
}

enum status safetensors_open(struct source **out, const char *path)
{
    return source_file_open(out, path, read_bytes);
}

enum status safetensors_open_memory(struct source **out, const void *data, size_t bytes, const char *name)
{
    struct source_file *f;
    TRY(read_bytes(&f, data, bytes, name));
    *out = &f->base;
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

static enum status load(json_t **out, const char *text, size_t len, const char *name, size_t flags)
{
    json_error_t e;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY | flags, &e);
    /* jansson has something to say about every text it refuses, and nothing when memory ran out */
    if (!value && (!e.text[0] || json_error_code(&e) == json_error_out_of_memory))
        return fail(E_NOMEM, "%s: out of memory", name);
    if (!value) return fail(E_FORMAT, "%s: line %d: %s", name, e.line, e.text);
    *out = value;
    return OK;
}

enum status json_read_text(json_t **out, const char *text, size_t len, const char *name)
{
    return load(out, text, len, name, 0);
}

enum status json_read_text_big(json_t **out, const char *text, size_t len, const char *name)
{
    return load(out, text, len, name, JSON_DECODE_INT_AS_REAL);
}

enum status json_read_file(json_t **out, const char *path, size_t max_bytes)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, max_bytes);
    if (s == OK) s = json_read_text(out, text.data ? text.data : "", text.len, path);
    buf_free(&text);
    return s;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return v && !json_is_null(v) ? v : NULL;
}

enum status json_get_int(const json_t *object, const char *where, const char *key, int64_t min, int64_t max,
                         int64_t *out)
{
    const json_t *v = member(object, key);
    if (!v) return OK;
    if (!json_is_integer(v)) return fail(E_FORMAT, "%s: \"%s\" is not an integer", where, key);
    const int64_t i = json_integer_value(v);
    if (i < min || i > max)
        return fail(E_FORMAT, "%s: \"%s\" is %" PRId64 ", not within %" PRId64 "..%" PRId64, where, key, i, min, max);
    *out = i;
    return OK;
}

enum status json_get_number(const json_t *object, const char *where, const char *key, double *out)
{
    const json_t *v = member(object, key);
    if (!v) return OK;
    if (!json_is_number(v)) return fail(E_FORMAT, "%s: \"%s\" is not a number", where, key);
    *out = json_number_value(v);
    return OK;
}

enum status json_get_bool(const json_t *object, const char *where, const char *key, bool *out)
{
    const json_t *v = member(object, key);
    if (!v) return OK;
    if (!json_is_boolean(v)) return fail(E_FORMAT, "%s: \"%s\" is not true or false", where, key);
    *out = json_is_true(v);
    return OK;
}

enum status json_get_string(const json_t *object, const char *where, const char *key, const char **out)
{
    const json_t *v = member(object, key);
    if (!v) return OK;
    if (!json_is_string(v)) return fail(E_FORMAT, "%s: \"%s\" is not a string", where, key);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return fail(E_FORMAT, "%s: \"%s\" has a NUL character in it", where, key);
    *out = json_string_value(v);
    return OK;
}

enum status json_write_stream(const json_t *value, void *stdio_stream, bool indented)
{
    return json_write_stream_digits(value, stdio_stream, indented, 9);
}

enum status json_write_stream_digits(const json_t *value, void *stdio_stream, bool indented, int digits)
{
    FILE *f = stdio_stream;
    const size_t style = JSON_REAL_PRECISION((size_t)digits) | (indented ? JSON_INDENT(2) : 0);
    if (json_dumpf(value, f, JSON_ENCODE_ANY | style) || fputc('\n', f) == EOF) return fail(E_IO, "cannot write JSON");
    return OK;
}

enum status json_write_file(const json_t *value, const char *path)
{
    struct file_writer w;
    TRY(file_writer_open(&w, path));
    const enum status s = json_write_stream(value, w.stream, true);
    if (s == OK) return file_writer_commit(&w);
    file_writer_abort(&w);
    return s;
}

void json_put(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) == 0) return;
    json_decref(*object);
    *object = NULL;
}

void json_append(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) == 0) return;
    json_decref(*array);
    *array = NULL;
}

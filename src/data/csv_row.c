// SPDX-License-Identifier: Apache-2.0
#include "data/csv_row.h"

#include <csv.h>
#include <string.h>

#include "base/utf8.h"

struct row {
    json_t *fields;
    const char *where;
    enum status status;
};

static void on_field(void *text, size_t len, void *user)
{
    struct row *r = user;
    if (r->status != OK) return;
    if (len && utf8_invalid_at(text, len) < len)
        r->status = fail(E_FORMAT, "%s: field %zu is no UTF-8", r->where, json_array_size(r->fields) + 1);
    else if (json_array_append_new(r->fields, json_stringn(len ? text : "", len)))
        r->status = fail(E_NOMEM, "%s: out of memory", r->where);
}

static void on_row(int end, void *user)
{
    (void)end;
    (void)user;
}

enum status csv_row_fields(json_t **out, const char *text, size_t len, const char *where)
{
    struct row r = {json_array(), where, OK};
    struct csv_parser parser;
    if (!r.fields || csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI)) {
        json_decref(r.fields);
        return fail(E_NOMEM, "%s: out of memory", where);
    }
    const bool parsed = csv_parse(&parser, text, len, on_field, on_row, &r) == len &&
                        csv_fini(&parser, on_field, on_row, &r) == 0;
    if (r.status == OK && !parsed) r.status = fail(E_FORMAT, "%s: %s", where, csv_strerror(csv_error(&parser)));
    csv_free(&parser);
    if (r.status == OK)
        *out = r.fields;
    else
        json_decref(r.fields);
    return r.status;
}

static enum status name_fields(json_t *object, const json_t *header, const json_t *fields, const char *where)
{
    const size_t n = json_array_size(header);
    if (json_array_size(fields) != n)
        return fail(E_FORMAT, "%s: %zu fields, where the header has %zu", where, json_array_size(fields), n);
    for (size_t i = 0; i < n; i++)
        if (json_object_set(object, json_string_value(json_array_get(header, i)), json_array_get(fields, i)))
            return fail(E_NOMEM, "%s: out of memory", where);
    return OK;
}

enum status csv_row_object(char **out, const json_t *header, const char *text, size_t len, const char *where)
{
    json_t *fields = NULL, *object = json_object();
    enum status s = object ? csv_row_fields(&fields, text, len, where) : fail(E_NOMEM, "%s: out of memory", where);
    if (s == OK) s = name_fields(object, header, fields, where);
    if (s == OK) {
        *out = json_dumps(object, JSON_COMPACT);
        if (!*out) s = fail(E_NOMEM, "%s: out of memory", where);
    }
    json_decref(object);
    json_decref(fields);
    return s;
}

bool csv_row_open(const char *text, size_t len)
{
    bool open = false;
    for (size_t i = 0; i < len; i++)
        open ^= text[i] == '"';
    return open;
}

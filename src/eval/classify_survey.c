// SPDX-License-Identifier: Apache-2.0
/* The first reading of an input file: counts rows, collects field names, finds text and gold columns, checks all. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "eval/classify_file.h"
#include "eval/shots.h"

static enum status out_of_memory(const char *path)
{
    return fail(E_NOMEM, "%s: out of memory", path);
}

/* From the first row: which columns the text is in and which may be the gold one. */
static enum status choose_columns(struct classify_survey *s, const struct classify_input *in, const struct rows *rows,
                                  const struct row *row)
{
    const char *gold = in->gold;
    if (!gold) gold = shots_label_field(row, in->label_name);
    if (!gold) gold = shots_label_field(row, "label");
    const char *text = NULL;
    s->n_fields = in->n_fields ? in->n_fields : 1;
    if (!in->n_fields) TRY(rows_text_column(rows, row, in->text_field, row->n > 1 ? gold : NULL, &text));
    s->fields = calloc((size_t)s->n_fields, sizeof *s->fields);
    if (!s->fields) return out_of_memory(in->path);
    for (int i = 0; i < s->n_fields; i++) {
        const char *name = text ? text : in->fields[i];
        const bool is_gold = gold && !strcmp(name, gold);
        if (is_gold && in->gold)
            return fail(E_ARG, "field \"%s\" holds the right label, so it cannot be part of the text", name);
        if (is_gold) gold = NULL;
        s->fields[i] = strdup(name);
        if (!s->fields[i]) return out_of_memory(in->path);
    }
    if (gold && !(s->gold = strdup(gold))) return out_of_memory(in->path);
    return OK;
}

static enum status note_names(struct classify_survey *s, const struct classify_input *in, const struct row *row)
{
    json_t *names = s->names;
    const size_t before = json_object_size(names);
    for (int i = 0; i < row->n; i++) {
        if (json_object_get(names, row->names[i])) continue;
        if (json_object_size(names) == ROWS_MAX_COLUMNS)
            return fail(E_LIMIT, "%s: more than %d different fields", in->path, ROWS_MAX_COLUMNS);
        if (json_object_set_new(names, row->names[i], json_true())) return out_of_memory(in->path);
    }
    const size_t now = json_object_size(names);
    if (s->n_rows > 1 && !s->odd_line && (now != before || (size_t)row->n != now)) s->odd_line = row->line;
    return OK;
}

/* A gold column nobody asked for is given up at the first value that is no label. */
static enum status check_gold(struct classify_survey *s, const struct classify_input *in, struct rows *rows,
                              const struct row *row)
{
    if (!s->gold) return OK;
    const char *text = NULL;
    const int at = row_find(row, s->gold);
    const bool is_text = at >= 0 && row->is_text[at];
    if (in->gold) TRY(rows_text(rows, row, s->gold, &text));
    if (is_text &&
        (shots_label_index(row->values[at], in->labels, in->n_labels) >= 0 || (in->gold && !row->values[at][0])))
        return OK;
    if (in->gold)
        return fail(E_FORMAT, "%s: \"%s\" in field \"%s\" is not one of the labels", rows_where(rows, row), text,
                    s->gold);
    free(s->gold);
    s->gold = NULL;
    return OK;
}

static enum status survey_rows(struct classify_survey *s, const struct classify_input *in, struct rows *rows)
{
    for (;;) {
        const struct row *row;
        TRY(rows_next(rows, &row));
        if (!row) break;
        if (!s->n_rows++) TRY(choose_columns(s, in, rows, row));
        TRY(note_names(s, in, row));
        for (int i = 0; i < s->n_fields; i++) {
            const char *text;
            TRY(rows_text(rows, row, s->fields[i], &text));
        }
        TRY(check_gold(s, in, rows, row));
    }
    return s->n_rows ? OK : fail(E_FORMAT, "%s: no rows in it", in->path);
}

static enum status list_columns(struct classify_survey *s, const char *path)
{
    s->columns = calloc(json_object_size(s->names) + 1, sizeof *s->columns);
    if (!s->columns) return out_of_memory(path);
    const char *key;
    json_t *unused;
    json_object_foreach ((json_t *)s->names, key, unused) {
        s->columns[s->n_columns++] = key;
    }
    return OK;
}

enum status classify_survey(struct classify_survey *out, const struct classify_input *in)
{
    struct stat st;
    if (stat(in->path, &st)) return fail(E_IO, "%s: %s", in->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(E_IO, "%s: not a regular file; rows are counted before they are read", in->path);
    struct classify_survey s = {
        .bytes = (uint64_t)st.st_size,
        .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .names = json_object(),
    };
    if (!s.names) return out_of_memory(in->path);
    struct rows *rows = NULL;
    enum status e = rows_open(&rows, in->path, in->format);
    if (e == OK) e = survey_rows(&s, in, rows);
    if (e == OK) e = list_columns(&s, in->path);
    rows_close(rows);
    if (e != OK) {
        classify_survey_free(&s);
        return e;
    }
    *out = s;
    return OK;
}

void classify_survey_free(struct classify_survey *s)
{
    for (int i = 0; s->fields && i < s->n_fields; i++)
        free((void *)(uintptr_t)s->fields[i]);
    free(s->fields);
    free(s->columns);
    free(s->gold);
    json_decref(s->names);
    *s = (struct classify_survey){0};
}

// SPDX-License-Identifier: Apache-2.0
/* Reads labelled examples; see shots.h. */
#include "eval/shots.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *shots_label_field(const struct row *row, const char *name)
{
    for (int i = 0; i < row->n; i++)
        if (!strcasecmp(row->names[i], name)) return row->names[i];
    return NULL;
}

int shots_label_index(const char *label, const char *const *labels, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(label, labels[i])) return i;
    return -1;
}

struct loading {
    const struct shots_query *query;
    const char *const *labels; /* allowed */
    int n_labels;
    struct rows *rows;
    char *text, *label; /* names of the columns found in the first row */
    struct shots shots;
    int cap;
};

static enum status find_columns(struct loading *l, const struct row *row)
{
    const char *label = l->query->label_field, *text = NULL;
    if (!label) label = shots_label_field(row, l->query->label_name);
    if (!label) label = shots_label_field(row, "label");
    if (!label)
        return fail(E_FORMAT, "%s: no field \"%s\" with the label; choose with --label-field", rows_where(l->rows, row),
                    l->query->label_name);
    if (!l->query->n_fields) TRY(rows_text_column(l->rows, row, l->query->text_field, label, &text));
    l->label = strdup(label);
    l->text = text ? strdup(text) : NULL;
    return l->label && (l->text || !text) ? OK : fail(E_NOMEM, "shots: out of memory");
}

static enum status reserve(struct loading *l)
{
    if (l->shots.n < l->cap) return OK;
    const int cap = l->cap ? l->cap * 2 : 8;
    struct fewshot_shot *items = realloc(l->shots.items, (size_t)cap * sizeof *items);
    if (items) l->shots.items = items;
    const char **labels = realloc(l->shots.labels, (size_t)cap * sizeof *labels);
    if (labels) l->shots.labels = labels;
    if (!items || !labels) return fail(E_NOMEM, "shots: out of memory");
    l->cap = cap;
    return OK;
}

/* A shot is one block: the array of values, then their texts and the label's. */
static enum status copy_shot(struct fewshot_shot *out, const char *const *values, int n, const char *label)
{
    size_t bytes = (size_t)n * sizeof(char *) + strlen(label) + 1;
    for (int i = 0; i < n; i++)
        bytes += strlen(values[i]) + 1;
    const char **block = malloc(bytes);
    if (!block) return fail(E_NOMEM, "shots: out of memory");
    char *at = (char *)(block + n);
    for (int i = 0; i < n; i++) {
        block[i] = at;
        at = stpcpy(at, values[i]) + 1;
    }
    strcpy(at, label);
    *out = (struct fewshot_shot){.values = block, .label = at};
    return OK;
}

static enum status add_shot(struct loading *l, const struct row *row)
{
    if (l->shots.n == SHOTS_MAX) return fail(E_LIMIT, "%s: more than %d rows", rows_where(l->rows, row), SHOTS_MAX);
    TRY(reserve(l));
    const int n = l->query->n_fields ? l->query->n_fields : 1;
    const char *label;
    TRY(rows_text(l->rows, row, l->label, &label));
    if (l->n_labels && shots_label_index(label, l->labels, l->n_labels) < 0)
        return fail(E_FORMAT, "%s: label \"%s\" is not one of the labels given", rows_where(l->rows, row), label);
    const char **values = calloc((size_t)n, sizeof *values);
    if (!values) return fail(E_NOMEM, "shots: out of memory");
    enum status s = OK;
    for (int i = 0; i < n && s == OK; i++)
        s = rows_text(l->rows, row, l->text ? l->text : l->query->fields[i], &values[i]);
    struct shots *shots = &l->shots;
    if (s == OK) s = copy_shot(&shots->items[shots->n], values, n, label);
    free(values);
    if (s != OK) return s;
    label = shots->items[shots->n++].label;
    if (l->query->any_label || shots_label_index(label, shots->labels, shots->n_labels) >= 0) return OK;
    if (shots->n_labels == SHOTS_MAX_LABELS)
        return fail(E_LIMIT, "%s: more than %d labels", rows_where(l->rows, row), SHOTS_MAX_LABELS);
    shots->labels[shots->n_labels++] = label;
    return OK;
}

enum status shots_load(struct shots *out, const char *path, const struct shots_query *query, const char *const *labels,
                       int n_labels)
{
    struct loading l = {.query = query, .labels = labels, .n_labels = n_labels};
    enum rows_format format;
    TRY(rows_format_of(&format, path));
    TRY(rows_open(&l.rows, path, format));
    enum status s;
    const struct row *row;
    while ((s = rows_next(l.rows, &row)) == OK && row) {
        if (!l.label) s = find_columns(&l, row);
        if (s == OK) s = add_shot(&l, row);
        if (s != OK) break;
    }
    if (s == OK && !l.shots.n) s = fail(E_FORMAT, "%s: no shots in it", path);
    rows_close(l.rows);
    free(l.text);
    free(l.label);
    if (s != OK) {
        shots_free(&l.shots);
        return s;
    }
    *out = l.shots;
    return OK;
}

void shots_keep(struct shots *shots, int n)
{
    while (shots->n > n)
        free((void *)(uintptr_t)shots->items[--shots->n].values);
}

void shots_free(struct shots *shots)
{
    shots_keep(shots, 0);
    free(shots->items);
    free(shots->labels);
    *shots = (struct shots){0};
}

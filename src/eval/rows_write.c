// SPDX-License-Identifier: Apache-2.0
/* Writes csv and jsonl rows with predictions, and measures how much of such a file an interrupted run left whole. */
#include "eval/rows_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

struct rows_writer {
    enum rows_format format;
    char **columns; /* [n_columns] of the input */
    int n_columns;
    const char *const *labels;
    int n_labels;
    char **added; /* [n_added] csv: label, probability, p(..); jsonl: label, probability, probabilities */
    int n_added;
};

/* name, with "predicted_" before it as often as it takes to be new. */
static char *free_name(const struct rows_writer *w, const char *name)
{
    char *candidate = strdup(name);
    for (int i = 0; candidate && i < w->n_columns; i++) {
        if (strcmp(candidate, w->columns[i])) continue;
        char *longer;
        if (asprintf(&longer, "predicted_%s", candidate) < 0) longer = NULL;
        free(candidate);
        candidate = longer;
        i = -1; /* the new name could be taken, too */
    }
    return candidate;
}

static enum status add_name(struct rows_writer *w, const char *name)
{
    char *chosen = free_name(w, name);
    if (!chosen) return fail(E_NOMEM, "out of memory for column names");
    w->added[w->n_added++] = chosen;
    return OK;
}

static enum status name_added(struct rows_writer *w)
{
    TRY(add_name(w, "label"));
    TRY(add_name(w, "probability"));
    if (w->format == ROWS_JSONL) return add_name(w, "probabilities");
    enum status s = OK;
    for (int i = 0; i < w->n_labels && s == OK; i++) {
        char *name;
        if (asprintf(&name, "p(%s)", w->labels[i]) < 0) return fail(E_NOMEM, "out of memory for column names");
        s = add_name(w, name);
        free(name);
    }
    return s;
}

static enum status copy_columns(struct rows_writer *w, const char *const *columns, int n)
{
    w->columns = calloc((size_t)n + 1, sizeof *w->columns);
    w->added = calloc((size_t)w->n_labels + 3, sizeof *w->added);
    if (!w->columns || !w->added) return fail(E_NOMEM, "out of memory for %d columns", n);
    for (int i = 0; i < n; i++) {
        w->columns[i] = strdup(columns[i]);
        if (!w->columns[i]) return fail(E_NOMEM, "out of memory for %d columns", n);
        w->n_columns++;
    }
    return OK;
}

enum status rows_writer_create(struct rows_writer **out, enum rows_format format, const char *const *columns,
                               int n_columns, const char *const *labels, int n_labels)
{
    if (format == ROWS_CSV && n_columns + 2 + n_labels > ROWS_MAX_COLUMNS)
        return fail(E_LIMIT, "%d fields and %d labels are more columns than a csv file may have (%d); write jsonl",
                    n_columns, n_labels, ROWS_MAX_COLUMNS);
    struct rows_writer *w = calloc(1, sizeof *w);
    if (!w) return fail(E_NOMEM, "out of memory for %d columns", n_columns);
    w->format = format;
    w->labels = labels;
    w->n_labels = n_labels;
    enum status s = copy_columns(w, columns, n_columns);
    if (s == OK) s = name_added(w);
    if (s != OK) {
        rows_writer_free(w);
        return s;
    }
    *out = w;
    return OK;
}

void rows_writer_free(struct rows_writer *w)
{
    if (!w) return;
    for (int i = 0; i < w->n_columns; i++)
        free(w->columns[i]);
    for (int i = 0; i < w->n_added; i++)
        free(w->added[i]);
    free(w->columns);
    free(w->added);
    free(w);
}

const char *rows_writer_label_column(const struct rows_writer *w)
{
    return w->added[0];
}

/* Quoted only where the reader would otherwise read something else: an empty cell alone on its line would be an empty
 * line, and a byte order mark at the beginning of the file is skipped. */
static void put_csv(struct buf *out, const char *text)
{
    if (text[0] && !strpbrk(text, ",\"\r\n") && strncmp(text, "\xef\xbb\xbf", 3)) {
        buf_puts(out, text);
        return;
    }
    buf_puts(out, "\"");
    for (;;) {
        const size_t n = strcspn(text, "\"");
        if (n) buf_append(out, text, n);
        if (!text[n]) break;
        buf_puts(out, "\"\"");
        text += n + 1;
    }
    buf_puts(out, "\"");
}

static enum status put_json(struct buf *out, const char *text)
{
    json_t *value = json_string(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    if (quoted) buf_puts(out, quoted);
    json_decref(value);
    if (!quoted) return fail(E_FORMAT, "\"%.100s\" cannot be written as JSON: not UTF-8", text);
    free(quoted);
    return OK;
}

enum status rows_writer_header(const struct rows_writer *w, struct buf *out)
{
    if (w->format == ROWS_JSONL) return OK;
    for (int i = 0; i < w->n_columns + w->n_added; i++) {
        if (i) buf_puts(out, ",");
        put_csv(out, i < w->n_columns ? w->columns[i] : w->added[i - w->n_columns]);
    }
    buf_puts(out, "\n");
    return buf_status(out);
}

static enum status csv_row(const struct rows_writer *w, struct buf *out, const char *where, const struct row *row,
                           int best, const double *p)
{
    if (row->n != w->n_columns)
        return fail(E_FORMAT, "%s: %d fields where other rows have %d: a csv file cannot hold both, write jsonl", where,
                    row->n, w->n_columns);
    for (int i = 0; i < w->n_columns; i++) {
        const int at = !strcmp(row->names[i], w->columns[i]) ? i : row_find(row, w->columns[i]);
        if (at < 0)
            return fail(E_FORMAT, "%s: no field \"%s\", which other rows have: a csv file needs it, write jsonl", where,
                        w->columns[i]);
        const bool null = !row->is_text[at] && !strcmp(row->values[at], "null");
        put_csv(out, null ? "" : row->values[at]);
        buf_puts(out, ",");
    }
    put_csv(out, w->labels[best]);
    buf_printf(out, ",%.6g", p[best]);
    for (int i = 0; i < w->n_labels; i++)
        buf_printf(out, ",%.6g", p[i]);
    buf_puts(out, "\n");
    return buf_status(out);
}

static enum status put_fields(struct buf *out, const struct row *row)
{
    if (row->object) { /* all but the closing brace */
        buf_append(out, row->object, row->object_len - 1);
        return OK;
    }
    buf_puts(out, "{");
    for (int i = 0; i < row->n; i++) {
        if (i) buf_puts(out, ", ");
        TRY(put_json(out, row->names[i]));
        buf_puts(out, ": ");
        TRY(put_json(out, row->values[i]));
    }
    return OK;
}

static enum status jsonl_row(const struct rows_writer *w, struct buf *out, const struct row *row, int best,
                             const double *p)
{
    TRY(put_fields(out, row));
    if (row->n) buf_puts(out, ", ");
    TRY(put_json(out, w->added[0]));
    buf_puts(out, ": ");
    TRY(put_json(out, w->labels[best]));
    buf_puts(out, ", ");
    TRY(put_json(out, w->added[1]));
    buf_printf(out, ": %.6g, ", p[best]);
    TRY(put_json(out, w->added[2]));
    buf_puts(out, ": {");
    for (int i = 0; i < w->n_labels; i++) {
        if (i) buf_puts(out, ", ");
        TRY(put_json(out, w->labels[i]));
        buf_printf(out, ": %.6g", p[i]);
    }
    buf_puts(out, "}}\n");
    return buf_status(out);
}

enum status rows_writer_row(const struct rows_writer *w, struct buf *out, const char *where, const struct row *row,
                            int best, const double *probabilities)
{
    if (w->format == ROWS_CSV) return csv_row(w, out, where, row, best, probabilities);
    return jsonl_row(w, out, row, best, probabilities);
}

enum status rows_count_whole(const char *path, enum rows_format format, uint64_t *n_rows, uint64_t *bytes)
{
    *n_rows = *bytes = 0;
    FILE *f = fopen(path, "rbe");
    if (!f && errno == ENOENT) return OK;
    if (!f) return fail(E_IO, "%s: %s", path, strerror(errno));
    uint64_t lines = 0, at = 0;
    bool quoted = false;
    for (int c; (c = getc_unlocked(f)) != EOF;) {
        at++;
        if (c == '"' && format == ROWS_CSV) quoted = !quoted;
        if (c != '\n' || quoted) continue;
        lines++;
        *bytes = at;
    }
    const bool unread = ferror(f);
    fclose(f);
    if (unread) return fail(E_IO, "%s: %s", path, strerror(errno));
    *n_rows = format == ROWS_CSV && lines ? lines - 1 : lines;
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
/* Reads csv and jsonl row by row. Bytes come in blocks and are handed on in pieces that end at a line break, so that at
 * most one row is complete after each piece; libcsv, which pushes fields and rows at callbacks, becomes a reader that
 * is asked for the next row. */
#include "eval/rows.h"

#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/utf8.h"

struct rows {
    FILE *stream;
    char *name;
    enum rows_format format;

    char block[65536];
    size_t at, end; /* unread bytes of block */
    uint64_t line;  /* of the next byte */
    bool after_cr;  /* the last piece ended in CR: an LF now is its second half */
    bool began, ended, broken;
    size_t row_bytes; /* of the row being read */
    uint64_t row_line;

    struct csv_parser csv;
    bool csv_made, in_row, row_done, out_of_memory;
    struct buf cells; /* texts of the row, each with a NUL */
    size_t *starts;   /* [n_starts] where they begin in cells */
    size_t *ends;
    int n_starts, cap_starts;

    char **header; /* [n_header] csv */
    int n_header;

    struct buf text; /* jsonl: the line */
    json_t *object;

    struct row row;
    bool *is_text; /* [cap_row] behind row.is_text */
    int cap_row;
    char where[512];
};

enum status rows_format_of(enum rows_format *out, const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (dot && !strcasecmp(dot, ".csv")) {
        *out = ROWS_CSV;
    } else if (dot && (!strcasecmp(dot, ".jsonl") || !strcasecmp(dot, ".ndjson"))) {
        *out = ROWS_JSONL;
    } else {
        return fail(E_ARG, "%s: neither .csv nor .jsonl", path);
    }
    return OK;
}

static const char *where_line(struct rows *r, uint64_t line)
{
    snprintf(r->where, sizeof r->where, "%.400s line %" PRIu64, r->name, line);
    return r->where;
}

const char *rows_where(struct rows *r, const struct row *row)
{
    return where_line(r, row->line);
}

/* ---- Bytes ---- */

/* The next piece of the file: up to and including a line break, or less where a block ends. NULL at the end. */
static enum status next_piece(struct rows *r, const char **out, size_t *len)
{
    if (r->at == r->end) {
        r->at = 0;
        r->end = fread(r->block, 1, sizeof r->block, r->stream);
        if (!r->end && ferror(r->stream)) return fail(E_IO, "%s: %s", r->name, strerror(errno));
        if (!r->began && r->end >= 3 && !memcmp(r->block, "\xef\xbb\xbf", 3)) r->at = 3;
        r->began = true;
    }
    const char *p = r->block + r->at;
    size_t n = r->end - r->at, i = 0;
    while (i < n && p[i] != '\n' && (p[i] != '\r' || r->format == ROWS_JSONL))
        i++;
    *len = i < n ? i + 1 : n;
    *out = *len ? p : NULL;
    r->at += *len;
    if (memchr(p, 0, *len)) return fail(E_FORMAT, "%s: a NUL byte; this is no text", where_line(r, r->line));
    return OK;
}

static void count_line(struct rows *r, const char *piece, size_t len)
{
    const char last = piece[len - 1];
    const bool second_half = r->after_cr && len == 1 && last == '\n';
    if ((last == '\n' && !second_half) || last == '\r') r->line++;
    r->after_cr = last == '\r';
}

static enum status grow_row(struct rows *r, size_t more)
{
    r->row_bytes += more;
    if (r->row_bytes > ROWS_MAX_BYTES)
        return fail(E_LIMIT, "%s: a row of more than %zu bytes", where_line(r, r->row_line), ROWS_MAX_BYTES);
    return OK;
}

/* ---- Cells: the row's texts, one after the other ---- */

static bool reserve_starts(struct rows *r)
{
    if (r->n_starts < r->cap_starts) return true;
    const int cap = r->cap_starts ? r->cap_starts * 2 : 16;
    size_t *starts = realloc(r->starts, (size_t)cap * sizeof *starts);
    if (starts) r->starts = starts;
    size_t *ends = starts ? realloc(r->ends, (size_t)cap * sizeof *ends) : NULL;
    if (!ends) return false;
    r->ends = ends;
    r->cap_starts = cap;
    return true;
}

static void add_cell(struct rows *r, const char *text, size_t len)
{
    if (!reserve_starts(r)) {
        r->out_of_memory = true;
        return;
    }
    r->starts[r->n_starts] = r->cells.len;
    if (len) buf_append(&r->cells, text, len);
    r->ends[r->n_starts++] = r->cells.len;
    buf_append(&r->cells, "", 1);
}

static void clear_cells(struct rows *r)
{
    buf_clear(&r->cells);
    r->n_starts = 0;
}

static enum status reserve_row(struct rows *r, int n)
{
    if (n <= r->cap_row) return OK;
    const char **names = realloc(r->row.names, (size_t)n * sizeof *names);
    if (names) r->row.names = names;
    const char **values = realloc(r->row.values, (size_t)n * sizeof *values);
    if (values) r->row.values = values;
    bool *is_text = realloc(r->is_text, (size_t)n * sizeof *is_text);
    if (is_text) r->row.is_text = r->is_text = is_text;
    if (!names || !values || !is_text) return fail(E_NOMEM, "%s: out of memory", r->name);
    r->cap_row = n;
    return OK;
}

/* ---- csv ---- */

static void on_cell(void *text, size_t len, void *user)
{
    struct rows *r = user;
    if (r->n_starts <= ROWS_MAX_COLUMNS) add_cell(r, text, len); /* one more than allowed is enough to tell */
}

static void on_row(int ending, void *user)
{
    (void)ending;
    struct rows *r = user;
    r->row_done = true;
}

static int never(unsigned char c)
{
    (void)c;
    return 0;
}

static enum status csv_failed(struct rows *r)
{
    if (csv_error(&r->csv) == CSV_EPARSE && r->ended)
        return fail(E_FORMAT, "%s: a quote is opened and never closed", where_line(r, r->row_line));
    if (csv_error(&r->csv) == CSV_EPARSE)
        return fail(E_FORMAT, "%s: a quote inside a field that does not begin with one, or text after a closing quote",
                    where_line(r, r->row_line));
    return fail(E_NOMEM, "%s: %s", where_line(r, r->row_line), csv_strerror(csv_error(&r->csv)));
}

/* Feeds pieces until a row is complete; *got false at the end of the file. Its texts are then in cells. */
static enum status csv_row(struct rows *r, bool *got)
{
    clear_cells(r);
    r->row_done = false;
    r->row_bytes = 0;
    while (!r->row_done && !r->ended) {
        const char *piece;
        size_t len;
        TRY(next_piece(r, &piece, &len));
        if (!r->in_row) r->row_line = r->line;
        if (!piece) {
            r->ended = true;
            if (csv_fini(&r->csv, on_cell, on_row, r)) return csv_failed(r);
            break;
        }
        if (piece[0] != '\n' && piece[0] != '\r') r->in_row = true;
        TRY(grow_row(r, len));
        if (csv_parse(&r->csv, piece, len, on_cell, on_row, r) != len) return csv_failed(r);
        count_line(r, piece, len);
    }
    r->in_row = false;
    if (r->out_of_memory || r->cells.failed) return fail(E_NOMEM, "%s: out of memory", r->name);
    if (r->n_starts > ROWS_MAX_COLUMNS)
        return fail(E_LIMIT, "%s: more than %d columns", where_line(r, r->row_line), ROWS_MAX_COLUMNS);
    for (int i = 0; i < r->n_starts; i++) {
        const char *text = r->cells.data + r->starts[i];
        const size_t len = r->ends[i] - r->starts[i], bad = utf8_invalid_at(text, len);
        if (bad < len)
            return fail(E_FORMAT, "%s: column %d is not UTF-8: byte 0x%02x", where_line(r, r->row_line), i + 1,
                        (unsigned char)text[bad]);
    }
    *got = r->row_done;
    return OK;
}

static enum status csv_header(struct rows *r)
{
    bool got;
    TRY(csv_row(r, &got));
    if (!got) return fail(E_FORMAT, "%s: empty; the first line must name the columns", r->name);
    r->header = calloc((size_t)r->n_starts, sizeof *r->header);
    if (!r->header) return fail(E_NOMEM, "%s: out of memory", r->name);
    for (int i = 0; i < r->n_starts; i++) {
        const char *name = r->cells.data + r->starts[i];
        for (int k = 0; k < i; k++)
            if (!strcmp(name, r->header[k]))
                return fail(E_FORMAT, "%s: two columns are named \"%s\"", where_line(r, r->row_line), name);
        r->header[i] = strdup(name);
        if (!r->header[i]) return fail(E_NOMEM, "%s: out of memory", r->name);
        r->n_header++;
    }
    return OK;
}

static enum status csv_next(struct rows *r, bool *got)
{
    TRY(csv_row(r, got));
    if (!*got) return OK;
    if (r->n_starts != r->n_header)
        return fail(E_FORMAT, "%s: %d columns, the header has %d", where_line(r, r->row_line), r->n_starts,
                    r->n_header);
    TRY(reserve_row(r, r->n_starts));
    for (int i = 0; i < r->n_starts; i++) {
        r->row.names[i] = r->header[i];
        r->row.values[i] = r->cells.data + r->starts[i];
        r->is_text[i] = true;
    }
    r->row.n = r->n_starts;
    return OK;
}

static enum status csv_begin(struct rows *r)
{
    if (csv_init(&r->csv, CSV_STRICT | CSV_STRICT_FINI)) return fail(E_NOMEM, "%s: cannot start libcsv", r->name);
    r->csv_made = true;
    csv_set_space_func(&r->csv, never); /* libcsv would trim spaces, RFC 4180 keeps them */
    csv_set_blk_size(&r->csv, 65536);
    return csv_header(r);
}

/* ---- jsonl ---- */

static bool blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", text[i])) return false;
    return true;
}

/* The next line that is not blank, without white space at its ends, in text. */
static enum status jsonl_line(struct rows *r, bool *got)
{
    buf_clear(&r->text);
    r->row_bytes = 0;
    r->row_line = r->line;
    for (;;) {
        const char *piece;
        size_t len;
        TRY(next_piece(r, &piece, &len));
        if (piece) {
            TRY(grow_row(r, len));
            buf_append(&r->text, piece, len);
            TRY(buf_status(&r->text));
            count_line(r, piece, len);
            if (piece[len - 1] != '\n') continue;
        }
        *got = r->text.len && !blank(r->text.data, r->text.len);
        if (*got || !piece) return OK;
        buf_clear(&r->text);
        r->row_bytes = 0;
        r->row_line = r->line;
    }
}

/* The fewest digits that read back as the same number. */
static char *number_text(const json_t *value)
{
    char *text = NULL;
    for (size_t digits = 15; digits <= 17; digits++) {
        free(text);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        if (!text || !json_is_real(value) || strtod(text, NULL) == json_real_value(value)) break;
    }
    return text;
}

static enum status add_json_cell(struct rows *r, const json_t *value)
{
    if (json_is_string(value)) {
        const char *string = json_string_value(value);
        const size_t len = json_string_length(value);
        if (strlen(string) != len)
            return fail(E_FORMAT, "%s: a string with a NUL character", where_line(r, r->row_line));
        add_cell(r, string, len);
        return OK;
    }
    char *text = number_text(value);
    if (!text) return fail(E_NOMEM, "%s: out of memory", r->name);
    add_cell(r, text, strlen(text));
    free(text);
    return OK;
}

static enum status jsonl_next(struct rows *r, bool *got)
{
    json_decref(r->object);
    r->object = NULL;
    clear_cells(r);
    TRY(jsonl_line(r, got));
    if (!*got) return OK;
    const char *begin = r->text.data, *end = begin + r->text.len;
    while (strchr(" \t\r\n", *begin))
        begin++;
    while (strchr(" \t\r\n", end[-1]))
        end--;
    TRY(json_read_text(&r->object, begin, (size_t)(end - begin), where_line(r, r->row_line)));
    if (!json_is_object(r->object)) return fail(E_FORMAT, "%s: not a JSON object", where_line(r, r->row_line));
    if (json_object_size(r->object) > ROWS_MAX_COLUMNS)
        return fail(E_LIMIT, "%s: more than %d fields", where_line(r, r->row_line), ROWS_MAX_COLUMNS);
    TRY(reserve_row(r, (int)json_object_size(r->object)));
    r->row.n = 0;
    const char *key;
    json_t *value;
    json_object_foreach (r->object, key, value) {
        TRY(add_json_cell(r, value));
        r->is_text[r->row.n] = json_is_string(value) || json_is_number(value) || json_is_boolean(value);
        r->row.names[r->row.n++] = key;
    }
    if (r->out_of_memory || r->cells.failed) return fail(E_NOMEM, "%s: out of memory", r->name);
    for (int i = 0; i < r->row.n; i++)
        r->row.values[i] = r->cells.data + r->starts[i];
    r->row.object = begin;
    r->row.object_len = (size_t)(end - begin);
    return OK;
}

/* ---- Both ---- */

enum status rows_open_stream(struct rows **out, FILE *stream, const char *name, enum rows_format format)
{
    struct rows *r = calloc(1, sizeof *r);
    if (!r) {
        fclose(stream);
        return fail(E_NOMEM, "%s: out of memory", name);
    }
    r->stream = stream;
    r->format = format;
    r->line = 1;
    r->name = strdup(name);
    enum status s = r->name ? OK : fail(E_NOMEM, "%s: out of memory", name);
    if (s == OK && format == ROWS_CSV) s = csv_begin(r);
    if (s != OK) {
        rows_close(r);
        return s;
    }
    *out = r;
    return OK;
}

enum status rows_open(struct rows **out, const char *path, enum rows_format format)
{
    FILE *f = fopen(path, "rbe");
    if (!f) return fail(E_IO, "%s: %s", path, strerror(errno));
    return rows_open_stream(out, f, path, format);
}

void rows_close(struct rows *r)
{
    if (!r) return;
    fclose(r->stream);
    if (r->csv_made) csv_free(&r->csv);
    for (int i = 0; i < r->n_header; i++)
        free(r->header[i]);
    free(r->header);
    json_decref(r->object);
    buf_free(&r->text);
    buf_free(&r->cells);
    free(r->starts);
    free(r->ends);
    free(r->row.names);
    free(r->row.values);
    free(r->is_text);
    free(r->name);
    free(r);
}

enum status rows_next(struct rows *r, const struct row **out)
{
    if (r->broken) return fail(E_FORMAT, "%s: read on after an error", r->name);
    bool got = false;
    const enum status s = r->format == ROWS_CSV ? csv_next(r, &got) : jsonl_next(r, &got);
    r->broken = s != OK;
    if (s != OK) return s;
    r->row.line = r->row_line;
    *out = got ? &r->row : NULL;
    return OK;
}

const char *const *rows_header(const struct rows *r, int *n)
{
    *n = r->n_header;
    return (const char *const *)r->header;
}

int row_find(const struct row *row, const char *name)
{
    for (int i = 0; i < row->n; i++)
        if (!strcmp(row->names[i], name)) return i;
    return -1;
}

/* "a", "b" and so on, for a message: the first few field names of a row. */
static void list_names(char *out, size_t bytes, const struct row *row)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < row->n && i < 12 && used + 64 < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s\"%.40s\"", i ? ", " : "", row->names[i]);
}

enum status rows_text(const struct rows *r, const struct row *row, const char *name, const char **out)
{
    const int i = row_find(row, name);
    if (i < 0) {
        char names[512];
        list_names(names, sizeof names, row);
        return fail(E_FORMAT, "%.200s line %" PRIu64 ": no field \"%.100s\" (there are: %s)", r->name, row->line, name,
                    names);
    }
    if (!row->is_text[i])
        return fail(E_FORMAT, "%.200s line %" PRIu64 ": field \"%.100s\" is %.60s, not text", r->name, row->line, name,
                    row->values[i]);
    *out = row->values[i];
    return OK;
}

enum status rows_text_column(const struct rows *r, const struct row *row, const char *wanted, const char *but,
                             const char **out)
{
    const char *only = NULL;
    int n = 0;
    if (!wanted && row_find(row, "text") >= 0) wanted = "text";
    for (int i = 0; i < row->n && !wanted; i++) {
        if (but && !strcmp(row->names[i], but)) continue;
        only = row->names[i];
        n++;
    }
    if (!wanted && n != 1) {
        char names[512];
        list_names(names, sizeof names, row);
        return fail(E_ARG, "%.200s: which field is the text? there are: %s; choose with --text-field or --fields",
                    r->name, names);
    }
    const char *unused;
    if (wanted) TRY(rows_text(r, row, wanted, &unused));
    *out = wanted ? wanted : only;
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
#include "cli/jsonl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Counts lines for the progress bar; a file that cannot be read twice has an unknown number. */
static uint64_t count_lines(FILE *f)
{
    struct stat st;
    if (f == stdin || fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) return 0;
    char block[65536];
    size_t n;
    uint64_t lines = 0;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        for (const char *at = block; (at = memchr(at, '\n', n - (size_t)(at - block))); at++)
            lines++;
    rewind(f);
    return lines;
}

enum status jsonl_open(struct jsonl *j, const char *path)
{
    *j = (struct jsonl){.file = stdin, .name = path};
    if (!strcmp(path, "-")) {
        j->name = "standard input";
        return OK;
    }
    j->file = fopen(path, "rbe");
    if (!j->file) return fail(E_IO, "%s: %s", path, strerror(errno));
    j->n_lines = count_lines(j->file);
    return OK;
}

void jsonl_close(struct jsonl *j)
{
    if (j->file && j->file != stdin) fclose(j->file);
    buf_free(&j->line);
    *j = (struct jsonl){0};
}

static enum status read_line(struct jsonl *j)
{
    buf_clear(&j->line);
    char block[4096];
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(j->file)) != EOF) {
        block[n++] = (char)c;
        if (n < sizeof block && c != '\n') continue;
        buf_append(&j->line, block, n);
        n = 0;
        if (c == '\n') break;
        if (j->line.len > JSONL_MAX_LINE) return fail(E_LIMIT, "%s: longer than %d bytes", j->where, JSONL_MAX_LINE);
    }
    buf_append(&j->line, block, n);
    if (ferror(j->file)) return fail(E_IO, "%s: %s", j->name, strerror(errno));
    return buf_status(&j->line);
}

enum status jsonl_next(struct jsonl *j, json_t **out)
{
    do {
        j->line_number++;
        snprintf(j->where, sizeof j->where, "%.200s: line %" PRIu64, j->name, j->line_number);
        TRY(read_line(j));
        if (!j->line.len) {
            *out = NULL;
            return OK;
        }
    } while (strspn(j->line.data, " \t\r\n") == j->line.len);

    json_t *value;
    TRY(json_read_text(&value, j->line.data, j->line.len, j->where));
    if (!json_is_object(value)) {
        json_decref(value);
        return fail(E_FORMAT, "%s: is not a JSON object", j->where);
    }
    *out = value;
    return OK;
}

enum status jsonl_ids(int32_t **ids, size_t *n_ids, const json_t *array, const char *key)
{
    if (!json_is_array(array)) return fail(E_FORMAT, "\"%s\" is not an array of token ids", key);
    const size_t n = json_array_size(array);
    int32_t *list = malloc((n + 1) * sizeof *list);
    if (!list) return fail(E_NOMEM, "\"%s\": out of memory", key);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(array, i);
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > INT32_MAX) {
            free(list);
            return fail(E_FORMAT, "\"%s\": element %zu is not a token id", key, i);
        }
        list[i] = (int32_t)value;
    }
    *ids = list;
    *n_ids = n;
    return OK;
}

enum status jsonl_fail(const struct jsonl *j, enum status s)
{
    return fail(s, "%s: %s", j->where, status_message());
}

// SPDX-License-Identifier: Apache-2.0
/* Runs the classifier over a file with a part file that survives interruption; the contract is in classify_file.h. */
#include "eval/classify_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "eval/rows_write.h"
#include "gptjt.h"

struct running {
    struct classify *classify;
    const struct classify_job *job;
    struct classify_report *report;
    struct rows *rows;
    struct rows_writer *writer;
    FILE *out;
    const char **values; /* [n_fields] of the row */
    struct buf line;
};

/* ---- The part file ---- */

/* FNV-1a, 64 bits: not a defence against anyone, only a name for a set of settings. Each text ends in its NUL, so that
 * neighbours cannot trade bytes. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (size_t i = 0, n = strlen(text) + 1; i < n; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    return hash;
}

static uint64_t fingerprint(const struct classify_job *job)
{
    const struct classify_survey *s = job->survey;
    uint64_t h = hash_text(0xcbf29ce484222325, gptjt_version());
    h = hash_text(h, job->settings);
    h = hash_text(h, job->input->path);
    for (int i = 0; i < s->n_fields; i++)
        h = hash_text(h, s->fields[i]);
    for (int i = 0; i < job->input->n_labels; i++)
        h = hash_text(h, job->input->labels[i]);
    char numbers[128];
    snprintf(numbers, sizeof numbers, "%d %d %" PRIu64 " %" PRId64, (int)job->input->format, (int)job->out_format,
             s->bytes, s->modified_ns);
    return hash_text(h, numbers);
}

static enum status name_part(struct running *r)
{
    const int n = snprintf(r->report->part, sizeof r->report->part, "%s.part-%016" PRIx64, r->job->out_path,
                           fingerprint(r->job));
    if (n < 0 || (size_t)n >= sizeof r->report->part) {
        r->report->part[0] = 0;
        return fail(E_LIMIT, "%.100s...: path too long", r->job->out_path);
    }
    return OK;
}

/* Opens the part file alone and cuts off what follows its last whole row. */
static enum status open_part(struct running *r)
{
    const char *part = r->report->part;
    r->out = fopen(part, "abe");
    if (!r->out) return fail(E_IO, "%s: %s", part, strerror(errno));
    if (flock(fileno(r->out), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return fail(E_IO, "%s: another process is writing it", part);
    uint64_t bytes;
    TRY(rows_count_whole(part, r->job->out_format, &r->report->n_resumed, &bytes));
    if (r->report->n_resumed > r->job->survey->n_rows)
        return fail(E_FORMAT, "%s: has more rows than the input; remove it", part);
    if (ftruncate(fileno(r->out), (off_t)bytes)) return fail(E_IO, "%s: %s", part, strerror(errno));
    if (!bytes) TRY(rows_writer_header(r->writer, &r->line));
    return OK;
}

/* Makes the finished part file durable and gives it its name. */
static enum status finish_part(struct running *r)
{
    const char *part = r->report->part, *out = r->job->out_path;
    if (fsync(fileno(r->out))) return fail(E_IO, "%s: %s", part, strerror(errno));
    if (rename(part, out)) return fail(E_IO, "%s: cannot rename to %s: %s", part, out, strerror(errno));
    return OK;
}

static enum status write_line(struct running *r)
{
    const size_t n = r->line.len;
    if (n && (fwrite(r->line.data, 1, n, r->out) != n || fflush(r->out)))
        return fail(E_IO, "%s: %s", r->report->part[0] ? r->report->part : "standard output", strerror(errno));
    buf_clear(&r->line);
    return OK;
}

/* ---- Rows ---- */

static void count_gold(struct running *r, const struct row *row, const char *predicted)
{
    const char *gold = r->job->survey->gold;
    const int at = gold ? row_find(row, gold) : -1;
    if (at < 0 || !row->values[at][0]) return;
    r->report->n_gold++;
    r->report->n_correct += !strcmp(row->values[at], predicted);
}

static enum status changed(const struct running *r)
{
    return fail(E_FORMAT, "%s: changed while it was being read", r->job->input->path);
}

/* Passes over the rows that the part file has, which still count for the accuracy. */
static enum status skip_done(struct running *r)
{
    if (!r->report->n_resumed) return OK;
    struct rows *done;
    TRY(rows_open(&done, r->report->part, r->job->out_format));
    enum status s = OK;
    for (uint64_t i = 0; i < r->report->n_resumed && s == OK; i++) {
        const struct row *row, *old;
        const char *label;
        s = rows_next(r->rows, &row);
        if (s == OK) s = rows_next(done, &old);
        if (s == OK && (!row || !old)) s = changed(r);
        if (s == OK) s = rows_text(done, old, rows_writer_label_column(r->writer), &label);
        if (s == OK) count_gold(r, row, label);
    }
    rows_close(done);
    return s;
}

static enum status one_row(struct running *r, const struct row *row)
{
    const struct classify_survey *survey = r->job->survey;
    for (int i = 0; i < survey->n_fields; i++)
        TRY(rows_text(r->rows, row, survey->fields[i], &r->values[i]));
    struct classify_result result;
    const enum status s = classify_run(r->classify, r->values, &result);
    if (s != OK) return fail(s, "%s: %s", rows_where(r->rows, row), status_message());
    r->report->n_fewer_shots += result.n_shots < r->job->n_shots;
    r->report->n_cut += result.n_dropped > 0;
    count_gold(r, row, r->job->input->labels[result.best]);
    TRY(rows_writer_row(r->writer, &r->line, rows_where(r->rows, row), row, result.best, result.probabilities));
    return write_line(r);
}

static enum status all_rows(struct running *r)
{
    const uint64_t total = r->job->survey->n_rows;
    r->report->n_rows = r->report->n_resumed;
    for (;;) {
        if (r->job->progress && !r->job->progress(r->job->user, r->report->n_rows, total))
            return fail(E_CANCELLED, "stopped after %" PRIu64 " of %" PRIu64 " rows", r->report->n_rows, total);
        const struct row *row;
        TRY(rows_next(r->rows, &row));
        if (!row) break;
        TRY(one_row(r, row));
        r->report->n_rows++;
    }
    return r->report->n_rows == total ? OK : changed(r);
}

static enum status run(struct running *r)
{
    const struct classify_job *job = r->job;
    const bool to_file = strcmp(job->out_path, "-") != 0;
    const struct classify_input *in = job->input;
    if (job->out_format == ROWS_CSV && job->survey->odd_line)
        return fail(E_FORMAT,
                    "%s line %" PRIu64 ": its fields are not those of the first row; csv cannot hold both, write jsonl",
                    in->path, job->survey->odd_line);
    r->values = calloc((size_t)job->survey->n_fields, sizeof *r->values);
    if (!r->values) return fail(E_NOMEM, "%s: out of memory", in->path);
    TRY(rows_writer_create(&r->writer, job->out_format, job->survey->columns, job->survey->n_columns, in->labels,
                           in->n_labels));
    TRY(rows_open(&r->rows, in->path, in->format));
    if (to_file) {
        TRY(name_part(r));
        TRY(open_part(r));
        TRY(skip_done(r));
    } else {
        r->out = stdout;
        TRY(rows_writer_header(r->writer, &r->line));
    }
    TRY(write_line(r));
    TRY(all_rows(r));
    return to_file ? finish_part(r) : OK;
}

enum status classify_file(struct classify *c, const struct classify_job *job, struct classify_report *report)
{
    *report = (struct classify_report){0};
    struct running r = {.classify = c, .job = job, .report = report};
    enum status s = run(&r);
    if (r.out && r.out != stdout && fclose(r.out) && s == OK) s = fail(E_IO, "%s: %s", job->out_path, strerror(errno));
    rows_close(r.rows);
    rows_writer_free(r.writer);
    buf_free(&r.line);
    free(r.values);
    return s;
}

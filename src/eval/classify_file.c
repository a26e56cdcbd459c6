// SPDX-License-Identifier: Apache-2.0
/* Runs the classifier over a file with a part file that survives interruption; the contract is in classify_file.h. */
#include "eval/classify_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "eval/part_file.h"
#include "eval/rows_write.h"
#include "gptjt.h"

struct running {
    struct classify *classify;
    const struct classify_job *job;
    struct classify_report *report;
    struct rows *rows, *ahead; /* the input, as far as it is written, and as far as it is read */
    struct rows_writer *writer;
    bool to_file; /* else to standard output */
    struct part_file part;
    const char **values; /* [CLASSIFY_MANY][n_fields] texts that are read ahead, owned */
    struct buf line;
};

/* ---- The part file ---- */

static uint64_t fingerprint(const struct classify_job *job)
{
    const struct classify_survey *s = job->survey;
    uint64_t h = part_file_hash(HASH_BEGIN, gptjt_version());
    h = part_file_hash(h, job->settings);
    h = part_file_hash(h, job->input->path);
    for (int i = 0; i < s->n_fields; i++)
        h = part_file_hash(h, s->fields[i]);
    for (int i = 0; i < job->input->n_labels; i++)
        h = part_file_hash(h, job->input->labels[i]);
    char numbers[128];
    snprintf(numbers, sizeof numbers, "%d %d %" PRIu64 " %" PRId64, (int)job->input->format, (int)job->out_format,
             s->bytes, s->modified_ns);
    return part_file_hash(h, numbers);
}

/* Opens the part file alone and cuts off what follows its last whole row. */
static enum status open_part(struct running *r)
{
    TRY(part_file_open(&r->part, r->job->out_path, fingerprint(r->job)));
    uint64_t bytes;
    TRY(rows_count_whole(r->part.path, r->job->out_format, &r->report->n_resumed, &bytes));
    if (r->report->n_resumed > r->job->survey->n_rows)
        return fail(E_FORMAT, "%s: has more rows than the input; remove it", r->part.path);
    TRY(part_file_cut(&r->part, bytes));
    if (!bytes) TRY(rows_writer_header(r->writer, &r->line));
    return OK;
}

static enum status write_line(struct running *r)
{
    if (r->to_file) return part_file_write(&r->part, &r->line);
    const size_t n = r->line.len;
    if (n && (fwrite(r->line.data, 1, n, stdout) != n || fflush(stdout)))
        return fail(E_IO, "standard output: %s", strerror(errno));
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
    TRY(rows_open(&done, r->part.path, r->job->out_format));
    enum status s = OK;
    for (uint64_t i = 0; i < r->report->n_resumed && s == OK; i++) {
        const struct row *row, *old;
        const char *label;
        s = rows_next(r->ahead, &row);
        if (s == OK) s = rows_next(r->rows, &row);
        if (s == OK) s = rows_next(done, &old);
        if (s == OK && (!row || !old)) s = changed(r);
        if (s == OK) s = rows_text(done, old, rows_writer_label_column(r->writer), &label);
        if (s == OK) count_gold(r, row, label);
    }
    rows_close(done);
    return s;
}

static void drop_texts(struct running *r)
{
    for (int i = 0; i < CLASSIFY_MANY * r->job->survey->n_fields; i++) {
        free((void *)(uintptr_t)r->values[i]);
        r->values[i] = NULL;
    }
}

/* Reads the texts of the next n rows, which the other reader writes when they have their labels. */
static enum status read_ahead(struct running *r, int n)
{
    const struct classify_survey *survey = r->job->survey;
    drop_texts(r);
    for (int i = 0; i < n; i++) {
        const struct row *row;
        TRY(rows_next(r->ahead, &row));
        if (!row) return changed(r);
        for (int k = 0; k < survey->n_fields; k++) {
            const char *text;
            TRY(rows_text(r->ahead, row, survey->fields[k], &text));
            r->values[i * survey->n_fields + k] = strdup(text);
            if (!r->values[i * survey->n_fields + k]) return fail(E_NOMEM, "%s: out of memory", r->job->input->path);
        }
    }
    return OK;
}

static enum status write_row(struct running *r, const struct row *row, const struct classify_result *result)
{
    r->report->n_fewer_shots += result->n_shots < r->job->n_shots;
    r->report->n_cut += result->n_dropped > 0;
    count_gold(r, row, r->job->input->labels[result->best]);
    TRY(rows_writer_row(r->writer, &r->line, rows_where(r->rows, row), row, result->best, result->probabilities));
    TRY(write_line(r));
    r->report->n_rows++;
    return OK;
}

static enum status go_on(const struct running *r)
{
    const uint64_t done = r->report->n_rows, total = r->job->survey->n_rows;
    if (!r->job->progress || r->job->progress(r->job->user, done, total)) return OK;
    return fail(E_CANCELLED, "stopped after %" PRIu64 " of %" PRIu64 " rows", done, total);
}

static enum status ask(struct running *r, int first, int n, struct classify_result *results)
{
    return classify_run_many(r->classify, r->values + first * r->job->survey->n_fields, n, results);
}

static enum status write_rows(struct running *r, const struct classify_result *results, int n)
{
    for (int i = 0; i < n; i++) {
        const struct row *row;
        TRY(rows_next(r->rows, &row));
        if (!row) return changed(r);
        TRY(write_row(r, row, &results[i]));
        TRY(go_on(r));
    }
    return OK;
}

static enum status one_row(struct running *r, int i)
{
    struct classify_result result;
    const enum status s = ask(r, i, 1, &result);
    if (s == OK) return write_rows(r, &result, 1);
    const struct row *row;
    char message[512];
    snprintf(message, sizeof message, "%s", status_message());
    TRY(rows_next(r->rows, &row));
    return row ? fail(s, "%s: %s", rows_where(r->rows, row), message) : changed(r);
}

/* When rows fail together they are asked one by one, so that those before the culprit are kept and it is named. */
static enum status next_rows(struct running *r, int n)
{
    struct classify_result results[CLASSIFY_MANY];
    TRY(read_ahead(r, n));
    const enum status s = ask(r, 0, n, results);
    if (s == OK) return write_rows(r, results, n);
    if (s == E_CANCELLED || s == E_NOMEM) return s;
    for (int i = 0; i < n; i++)
        TRY(one_row(r, i));
    return OK;
}

static enum status all_rows(struct running *r)
{
    const uint64_t total = r->job->survey->n_rows;
    struct batching batching = classify_batching(r->classify);
    const struct row *row;
    r->report->n_rows = r->report->n_resumed;
    TRY(go_on(r));
    while (r->report->n_rows < total)
        TRY(next_rows(r, batching_next(&batching, total - r->report->n_rows)));
    TRY(rows_next(r->ahead, &row));
    return row ? changed(r) : OK;
}

static enum status run(struct running *r)
{
    const struct classify_job *job = r->job;
    const struct classify_input *in = job->input;
    if (job->out_format == ROWS_CSV && job->survey->odd_line)
        return fail(E_FORMAT,
                    "%s line %" PRIu64 ": its fields are not those of the first row; csv cannot hold both, write jsonl",
                    in->path, job->survey->odd_line);
    r->values = calloc(CLASSIFY_MANY * (size_t)job->survey->n_fields, sizeof *r->values);
    if (!r->values) return fail(E_NOMEM, "%s: out of memory", in->path);
    TRY(rows_writer_create(&r->writer, job->out_format, job->survey->columns, job->survey->n_columns, in->labels,
                           in->n_labels));
    TRY(rows_open(&r->rows, in->path, in->format));
    TRY(rows_open(&r->ahead, in->path, in->format));
    if (r->to_file) {
        TRY(open_part(r));
        TRY(skip_done(r));
    } else {
        TRY(rows_writer_header(r->writer, &r->line));
    }
    TRY(write_line(r));
    TRY(all_rows(r));
    return r->to_file ? part_file_finish(&r->part, job->out_path) : OK;
}

enum status classify_file(struct classify *c, const struct classify_job *job, struct classify_report *report)
{
    *report = (struct classify_report){0};
    struct running r = {.classify = c, .job = job, .report = report, .to_file = strcmp(job->out_path, "-") != 0};
    enum status s = run(&r);
    const enum status closed = part_file_close(&r.part);
    if (s == OK) s = closed;
    strcpy(report->part, r.part.path);
    rows_close(r.rows);
    rows_close(r.ahead);
    if (r.values) drop_texts(&r);
    rows_writer_free(r.writer);
    buf_free(&r.line);
    free(r.values);
    return s;
}

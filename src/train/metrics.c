// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

struct metrics {
    FILE *stream;
    char *path;
};

/* ---- Opening ---- */

static bool of_later_step(const char *line, size_t len, int64_t step)
{
    json_t *j = NULL;
    int64_t of = INT64_MAX;
    const bool whole = json_read_text(&j, line, len, "metrics.jsonl") == OK && json_is_object(j);
    if (whole) json_get_int(j, "metrics.jsonl", "step", 0, INT64_MAX, &of);
    json_decref(j);
    return of > step;
}

/* Copies the lines that count; a last line that a kill cut off does not. */
static enum status keep_lines(const char *path, int64_t step)
{
    enum { MAX_LINE = 1 << 20 };
    FILE *old = fopen(path, "re");
    if (!old) return errno == ENOENT ? OK : fail(E_IO, "%s: %s", path, strerror(errno));
    struct file_writer w;
    char *line = malloc(MAX_LINE);
    enum status s = line ? file_writer_open(&w, path) : fail(E_NOMEM, "%s: out of memory", path);
    if (s == OK) {
        while (s == OK && fgets(line, MAX_LINE, old)) {
            const size_t len = strlen(line);
            if (len && line[len - 1] == '\n' && !of_later_step(line, len, step)) s = file_writer_write(&w, line, len);
        }
        if (s == OK)
            s = file_writer_commit(&w);
        else
            file_writer_abort(&w);
    }
    free(line);
    fclose(old);
    return s;
}

enum status metrics_open(struct metrics **out, const char *path, int64_t step)
{
    TRY(keep_lines(path, step));
    struct metrics *m = calloc(1, sizeof *m);
    char *copy = strdup(path);
    if (!m || !copy) {
        free(m);
        free(copy);
        return fail(E_NOMEM, "%s: out of memory", path);
    }
    m->path = copy;
    m->stream = fopen(path, "ae");
    if (!m->stream) {
        const enum status s = fail(E_IO, "%s: %s", path, strerror(errno));
        metrics_close(m);
        return s;
    }
    *out = m;
    return OK;
}

void metrics_close(struct metrics *m)
{
    if (!m) return;
    if (m->stream) fclose(m->stream);
    free(m->path);
    free(m);
}

enum status metrics_sync(struct metrics *m)
{
    if (fflush(m->stream) || fsync(fileno(m->stream))) return fail(E_IO, "%s: %s", m->path, strerror(errno));
    return OK;
}

/* ---- Writing ---- */

/* JSON has no NaN. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *means(const struct data_source *sources, const struct loss_sum *by_source, int n)
{
    json_t *o = json_object();
    for (int i = 0; o && i < n; i++)
        if (by_source[i].n) json_object_set_new(o, sources[i].name, number(by_source[i].sum / (double)by_source[i].n));
    return o;
}

static enum status write_line(struct metrics *m, json_t *line)
{
    if (!line) return fail(E_NOMEM, "%s: out of memory", m->path);
    enum status s = json_write_stream(line, m->stream, false);
    if (s == OK && fflush(m->stream)) s = fail(E_IO, "%s: %s", m->path, strerror(errno));
    json_decref(line);
    return s;
}

enum status metrics_write_step(struct metrics *m, const struct metrics_step *x, bool scaled,
                               const struct data_source *sources, const struct loss_sum *by_source, int n)
{
    json_t *line = json_pack("{s:I, s:o, s:o, s:I, s:f, s:o}", "step", (json_int_t)x->step, "loss", number(x->loss),
                             "loss_by_source", means(sources, by_source, n), "targets", (json_int_t)x->targets,
                             "learning_rate", x->learning_rate, "grad_norm", number(x->grad_norm));
    if (line && scaled) {
        json_object_set_new(line, "loss_scale", number(x->loss_scale));
        json_object_set_new(line, "skipped", json_boolean(x->skipped));
    }
    json_t *speed = json_pack("{s:I, s:f, s:f, s:f}", "tokens", (json_int_t)x->tokens, "tokens_per_s", x->tokens_per_s,
                              "tflops", x->flops_per_s * 1e-12, "seconds", x->seconds);
    if (line && speed) json_object_update(line, speed);
    json_decref(speed);
    return write_line(m, line);
}

enum status metrics_write_validation(struct metrics *m, int64_t step, const struct loss_sum *all,
                                     const struct data_source *sources, const struct loss_sum *by_source, int n)
{
    return write_line(m, json_pack("{s:I, s:o, s:o}", "step", (json_int_t)step, "validation_loss",
                                   number(all->sum / (double)all->n), "validation_loss_by_source",
                                   means(sources, by_source, n)));
}

// SPDX-License-Identifier: Apache-2.0
#include "train/report_metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

enum { MAX_FILE_BYTES = 1 << 30, MAX_CURVES = 1000, MAX_NAME = 256 };

void report_metrics_free(struct report_metrics *m)
{
    for (int i = 0; i < m->n_curves; i++) {
        free(m->curves[i].name);
        free(m->curves[i].x);
        free(m->curves[i].y);
    }
    free(m->curves);
    *m = (struct report_metrics){0};
}

const struct report_curve *report_metrics_find(const struct report_metrics *m, const char *name)
{
    for (int i = 0; i < m->n_curves; i++)
        if (!strcmp(m->curves[i].name, name)) return &m->curves[i];
    return NULL;
}

const char *report_metrics_member(const struct report_curve *c, const char *group)
{
    const size_t n = strlen(group);
    return !strncmp(c->name, group, n) && c->name[n] == '/' ? c->name + n + 1 : NULL;
}

static enum status make_room(struct report_curve *c)
{
    if (c->n < c->room) return OK;
    const size_t room = c->room ? 2 * c->room : 64;
    double *x = realloc(c->x, room * sizeof *x);
    if (x) c->x = x;
    double *y = realloc(c->y, room * sizeof *y);
    if (y) c->y = y;
    if (!x || !y) return fail(E_NOMEM, "%s: out of memory at %zu points", c->name, c->n);
    c->room = room;
    return OK;
}

static enum status curve_called(struct report_curve **out, struct report_metrics *m, const char *name)
{
    for (int i = 0; i < m->n_curves; i++) {
        *out = &m->curves[i];
        if (!strcmp(m->curves[i].name, name)) return OK;
    }
    if (m->n_curves == MAX_CURVES) return fail(E_LIMIT, "more than %d different numbers", MAX_CURVES);
    struct report_curve *curves = realloc(m->curves, ((size_t)m->n_curves + 1) * sizeof *curves);
    if (!curves) return fail(E_NOMEM, "out of memory for metrics");
    m->curves = curves;
    curves[m->n_curves] = (struct report_curve){.name = strdup(name)};
    if (!curves[m->n_curves].name) return fail(E_NOMEM, "out of memory for metrics");
    *out = &curves[m->n_curves++];
    return OK;
}

static enum status add_point(struct report_metrics *m, const char *name, double x, double y)
{
    struct report_curve *c = NULL;
    TRY(curve_called(&c, m, name));
    if (c->n && c->x[c->n - 1] >= x) c->n--; /* the same step once more */
    TRY(make_room(c));
    c->x[c->n] = x;
    c->y[c->n++] = y;
    return OK;
}

/* Beyond it a chart's arithmetic overflows; no number of a run is there that means anything. */
#define MAX_HEIGHT 1e30

/* Whether v is a point, and its height. */
static bool is_point(double *y, const json_t *v)
{
    *y = json_is_true(v) ? 1 : json_number_value(v);
    return (json_is_number(v) || json_is_true(v)) && fabs(*y) < MAX_HEIGHT;
}

static enum status add_member(struct report_metrics *m, double step, const char *name, const json_t *v)
{
    double y;
    if (is_point(&y, v)) return add_point(m, name, step, y);
    for (void *at = json_object_iter((json_t *)(uintptr_t)v); at;
         at = json_object_iter_next((json_t *)(uintptr_t)v, at)) {
        char full[MAX_NAME];
        if (!is_point(&y, json_object_iter_value(at))) continue;
        if (snprintf(full, sizeof full, "%s/%s", name, json_object_iter_key(at)) >= MAX_NAME)
            return fail(E_LIMIT, "a name of more than %d bytes: %.60s...", MAX_NAME - 1, full);
        TRY(add_point(m, full, step, y));
    }
    return OK;
}

/* A run that goes on from a checkpoint repeats the steps behind it. */
static void forget_from(struct report_metrics *m, double step)
{
    for (int i = 0; i < m->n_curves; i++) {
        struct report_curve *c = &m->curves[i];
        while (c->n && c->x[c->n - 1] >= step)
            c->n--;
    }
}

static enum status add_line(struct report_metrics *m, const json_t *line, double *last, const char *where)
{
    const json_t *step = json_object_get(line, "step");
    if (!json_is_object(line)) return fail(E_FORMAT, "%s: is not a JSON object", where);
    if (!json_is_number(step)) return fail(E_FORMAT, "%s: has no number \"step\"", where);
    const double x = json_number_value(step);
    if (!(x >= 0 && x < 1e15)) return fail(E_FORMAT, "%s: \"step\" is %g", where, x);
    if (x < *last) forget_from(m, x);
    *last = x;
    for (void *at = json_object_iter((json_t *)(uintptr_t)line); at;
         at = json_object_iter_next((json_t *)(uintptr_t)line, at))
        if (strcmp(json_object_iter_key(at), "step"))
            TRY(add_member(m, x, json_object_iter_key(at), json_object_iter_value(at)));
    return OK;
}

static enum status read_lines(struct report_metrics *m, const char *text, size_t bytes, const char *path)
{
    double last = -1;
    size_t at = 0;
    for (int number = 1; at < bytes; number++) {
        const char *line = text + at, *end = memchr(line, '\n', bytes - at);
        const size_t len = end ? (size_t)(end - line) : bytes - at;
        char where[4096 + 32];
        snprintf(where, sizeof where, "%s:%d", path, number);
        at += len + 1;
        if (!len) continue;
        json_t *j = NULL;
        enum status s = json_read_text(&j, line, len, where);
        if (s == E_FORMAT && !end) break; /* cut by a kill */
        if (s == OK) s = add_line(m, j, &last, where);
        json_decref(j);
        TRY(s);
    }
    return OK;
}

enum status report_metrics_parse(struct report_metrics *m, const char *text, size_t bytes, const char *path)
{
    TRY(read_lines(m, text, bytes, path));
    return m->n_curves ? OK : fail(E_FORMAT, "%s: holds no numbers yet", path);
}

enum status report_metrics_read(struct report_metrics *m, const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, MAX_FILE_BYTES);
    if (s == OK) s = report_metrics_parse(m, text.data ? text.data : "", text.len, path);
    buf_free(&text);
    return s;
}

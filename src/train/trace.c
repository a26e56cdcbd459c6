// SPDX-License-Identifier: Apache-2.0
#include "train/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum row { ROW_STEPS = 1, ROW_DATA, ROW_COMPUTE, ROW_RECEIVE, ROW_SEND, ROW_SYNC, ROW_RINGS, ROW_OPTIMIZER, ROWS_END };

static const char *const row_names[ROWS_END] = {
    [ROW_STEPS] = "steps", [ROW_DATA] = "data", [ROW_COMPUTE] = "compute", [ROW_RECEIVE] = "receive",
    [ROW_SEND] = "send",   [ROW_SYNC] = "sync", [ROW_RINGS] = "rings",     [ROW_OPTIMIZER] = "optimizer"};

/* What an event has besides its step. */
enum { MICRO_BATCH = 1, BYTES = 2, SENT = 4, RECEIVED = 8 };

static const struct {
    enum row row;
    unsigned has;
    const char *name;
} kinds[TRACE_KINDS] = {
    [TRACE_STEP] = {ROW_STEPS, 0, "step"},
    [TRACE_VALIDATION] = {ROW_STEPS, 0, "validation"},
    [TRACE_CHECKPOINT] = {ROW_STEPS, 0, "checkpoint"},
    [TRACE_DRAW] = {ROW_DATA, 0, "draw"},
    [TRACE_SHARE] = {ROW_DATA, 0, "share"},
    [TRACE_FORWARD] = {ROW_COMPUTE, MICRO_BATCH, "forward"},
    [TRACE_HEAD] = {ROW_COMPUTE, MICRO_BATCH, "head"},
    [TRACE_BACKWARD] = {ROW_COMPUTE, MICRO_BATCH, "backward"},
    [TRACE_BACKWARD_INPUT] = {ROW_COMPUTE, MICRO_BATCH, "backward input"},
    [TRACE_BACKWARD_WEIGHTS] = {ROW_COMPUTE, MICRO_BATCH, "backward weights"},
    [TRACE_LOSSES] = {ROW_COMPUTE, 0, "losses"},
    [TRACE_RECEIVE_ACTIVATIONS] = {ROW_RECEIVE, MICRO_BATCH | BYTES | RECEIVED, "activations"},
    [TRACE_RECEIVE_GRADIENTS] = {ROW_RECEIVE, MICRO_BATCH | BYTES | RECEIVED, "gradients"},
    [TRACE_RECEIVE_EMBEDDING] = {ROW_RECEIVE, BYTES | RECEIVED, "embedding"},
    [TRACE_SEND_ACTIVATIONS] = {ROW_SEND, MICRO_BATCH | BYTES | SENT, "activations"},
    [TRACE_SEND_GRADIENTS] = {ROW_SEND, MICRO_BATCH | BYTES | SENT, "gradients"},
    [TRACE_SEND_EMBEDDING] = {ROW_SEND, BYTES | SENT, "embedding"},
    [TRACE_SEND_REST] = {ROW_SEND, 0, "rest"},
    [TRACE_SYNC_BEGIN] = {ROW_SYNC, BYTES, "begin"},
    [TRACE_SYNC_GRADIENTS] = {ROW_SYNC, BYTES, "gradients"},
    [TRACE_SYNC_PARAMETERS] = {ROW_SYNC, BYTES, "parameters"},
    [TRACE_SYNC_MODEL] = {ROW_SYNC, BYTES, "model"},
    [TRACE_NORM] = {ROW_SYNC, 0, "norm"},
    [TRACE_AGREE] = {ROW_SYNC, 0, "agree"},
    [TRACE_RING] = {ROW_RINGS, BYTES, "gradients"},
    [TRACE_UPDATE] = {ROW_OPTIMIZER, 0, "update"},
};

/* ---- Recording ---- */

/* A number from 1 on, and where it ends. */
static bool read_number(int64_t *out, const char **at)
{
    char *end;
    if (**at < '0' || **at > '9') return false;
    errno = 0;
    *out = strtoll(*at, &end, 10);
    *at = end;
    return !errno && *out > 0;
}

enum status trace_open(struct trace *out, const char *steps)
{
    const char *at = steps;
    struct trace t = {0};
    bool good = read_number(&t.last, &at);
    if (good && *at == '-') {
        at++;
        t.first = t.last;
        t.counted = true;
        good = read_number(&t.last, &at) && t.last >= t.first;
    }
    if (!good || *at)
        return fail(E_ARG, "--trace-steps is %.60s, neither a number of steps nor a range like 101-120", steps);
    *out = t;
    return OK;
}

void trace_close(struct trace *t)
{
    buf_free(&t->events);
    *t = (struct trace){0};
}

void trace_begin_step(struct trace *t, int64_t step)
{
    if (!t) return;
    if (!t->counted) {
        t->first = step;
        t->last += step - 1;
        t->counted = true;
    }
    t->step = step;
    t->on = step >= t->first && step <= t->last;
}

/* The one thing that may allocate within a step, and then only twice as much as ever before. */
void trace_keep(struct trace *t, int64_t since_ns, const struct trace_event *e)
{
    struct trace_event full = *e;
    if (t->n == TRACE_MAX_EVENTS) {
        t->dropped++;
        return;
    }
    full.since_ns = since_ns;
    full.until_ns = clock_ns();
    full.step = t->step;
    buf_append(&t->events, &full, sizeof full);
    t->n++;
}

/* ---- Writing ---- */

static double offset_at(const struct trace_rank *r, int64_t at_ns)
{
    const double all = (double)(r->end.at_ns - r->begin.at_ns), done = (double)(at_ns - r->begin.at_ns);
    const double part = all > 0 ? done / all : 0;
    return r->begin.offset_ns + part * (r->end.offset_ns - r->begin.offset_ns);
}

/* Of the file, in whole nanoseconds, so that the end of an event is not behind the beginning of the next. */
static int64_t time_of(const struct trace_rank *r, int64_t at_ns)
{
    return at_ns - r->origin_ns - (int64_t)llround(offset_at(r, at_ns));
}

static double microseconds(int64_t ns)
{
    return (double)ns / 1000;
}

static void put_name(struct buf *out, const struct trace_rank *who, int row, const char *what, const char *name)
{
    buf_printf(out, "{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"%s\"}},\n", what,
               who->rank, row, name);
}

static void put_names(struct buf *out, const struct trace_rank *who)
{
    char name[80];
    snprintf(name, sizeof name, "rank %d: replica %d, stage %d", who->rank, who->replica, who->stage);
    put_name(out, who, 0, "process_name", name);
    for (int row = ROW_STEPS; row < ROWS_END; row++)
        put_name(out, who, row, "thread_name", row_names[row]);
    for (int row = ROW_STEPS; row < ROWS_END; row++)
        buf_printf(
            out, "{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"sort_index\":%d}},\n",
            who->rank, row, row);
    buf_printf(out, "{\"name\":\"process_sort_index\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"sort_index\":%d}}", who->rank,
               who->rank);
}

/* From a message's sending, at its beginning, to its receiving, a nanosecond before its end, so that it is inside. */
static void put_arrow(struct buf *out, const struct trace_event *e, const struct trace_rank *who, bool sent)
{
    const int from = sent ? who->rank : e->peer;
    const int64_t since = time_of(who, e->since_ns), until = time_of(who, e->until_ns);
    const int64_t at = sent || until == since ? since : until - 1;
    buf_printf(out,
               ",\n{\"name\":\"%s\",\"cat\":\"message\",\"ph\":\"%s\",\"id\":\"%" PRId64
               ".%d.%d\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f}",
               kinds[e->kind].name, sent ? "s" : "f\",\"bp\":\"e", e->step, e->micro_batch, from, who->rank,
               kinds[e->kind].row, microseconds(at));
}

static void put_event(struct buf *out, const struct trace_event *e, const struct trace_rank *who)
{
    const unsigned has = kinds[e->kind].has;
    const bool is_message = has & (SENT | RECEIVED), of_micro_batch = (has & MICRO_BATCH) && e->micro_batch >= 0;
    const int64_t since = time_of(who, e->since_ns), until = time_of(who, e->until_ns);
    buf_printf(
        out,
        ",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"step\":%" PRId64,
        kinds[e->kind].name, who->rank, kinds[e->kind].row, microseconds(since), microseconds(until - since), e->step);
    if (of_micro_batch) buf_printf(out, ",\"micro_batch\":%d", e->micro_batch);
    if (has & BYTES) buf_printf(out, ",\"bytes\":%zu", e->bytes);
    if (is_message) buf_printf(out, ",\"%s\":%d", has & SENT ? "to" : "from", e->peer);
    buf_puts(out, "}}");
    if (is_message && of_micro_batch) put_arrow(out, e, who, has & SENT);
}

void trace_put(struct buf *out, const struct trace *t, const struct trace_rank *who)
{
    put_names(out, who);
    if (t->events.failed) out->failed = true;
    for (size_t at = 0; at < t->events.len; at += sizeof(struct trace_event)) {
        struct trace_event e;
        memcpy(&e, t->events.data + at, sizeof e);
        put_event(out, &e, who);
    }
}

static void put_clock(struct buf *out, const char *name, const struct trace_clock *c)
{
    buf_printf(out, ",\"%s\":{\"offset_us\":%.3f,\"error_us\":%.3f}", name, c->offset_ns / 1000, c->error_ns / 1000);
}

static void put_ranks(struct buf *out, const struct trace_rank *ranks, int n)
{
    buf_puts(out, "\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"ranks\":[");
    for (int i = 0; i < n; i++) {
        buf_printf(out, "%s\n{\"rank\":%d,\"dropped_events\":%" PRId64, i ? "," : "", ranks[i].rank, ranks[i].dropped);
        put_clock(out, "clock_at_begin", &ranks[i].begin);
        put_clock(out, "clock_at_end", &ranks[i].end);
        buf_puts(out, "}");
    }
    buf_puts(out, "]}}\n");
}

static enum status put_text(struct file_writer *w, const char *text)
{
    return file_writer_write(w, text, strlen(text));
}

static enum status write_ranks(struct file_writer *w, const struct trace_rank *ranks, int n, trace_text_fn *text,
                               void *user)
{
    struct buf end = {0};
    TRY(put_text(w, "{\"traceEvents\":[\n"));
    for (int i = 0; i < n; i++) {
        if (i) TRY(put_text(w, ",\n"));
        TRY(text(user, i, w));
    }
    put_ranks(&end, ranks, n);
    enum status s = buf_status(&end);
    if (s == OK) s = put_text(w, end.data);
    buf_free(&end);
    return s;
}

enum status trace_write_ranks(const char *path, const struct trace_rank *ranks, int n, trace_text_fn *text, void *user)
{
    struct file_writer w;
    TRY(file_writer_open(&w, path));
    const enum status s = write_ranks(&w, ranks, n, text, user);
    if (s == OK) return file_writer_commit(&w);
    file_writer_abort(&w);
    return s;
}

static enum status put_buf(void *user, int i, struct file_writer *w)
{
    const struct buf *text = user;
    (void)i;
    return file_writer_write(w, text->data, text->len);
}

enum status trace_write(const struct trace *t, const char *path)
{
    struct trace_rank alone = {.dropped = t->dropped};
    struct trace_event first = {0};
    struct buf text = {0};
    if (t->events.len) memcpy(&first, t->events.data, sizeof first);
    alone.origin_ns = first.since_ns;
    trace_put(&text, t, &alone);
    enum status s = buf_status(&text);
    if (s == OK) s = trace_write_ranks(path, &alone, 1, put_buf, &text);
    buf_free(&text);
    return s;
}

enum status trace_check(const char *path)
{
    struct file_writer w;
    TRY(file_writer_open(&w, path));
    file_writer_abort(&w);
    return OK;
}

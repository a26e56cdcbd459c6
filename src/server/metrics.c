// SPDX-License-Identifier: Apache-2.0
#include "server/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

enum { MOST_KINDS = 256, MOST_BOUNDS = 16 };

/* Upper bounds of a histogram's classes, in seconds. */
static const double request_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
static const double first_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64};
static const double next_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2};

struct histogram {
    const char *name, *help;
    const double *bounds; /* [n] */
    size_t n;
    uint64_t counts[MOST_BOUNDS + 1]; /* of each class, the last one without a bound */
    double sum;
};

struct kind {
    const char *route;
    int status;
    uint64_t n;
};

struct metrics {
    pthread_mutex_t mutex;
    struct kind kinds[MOST_KINDS];
    size_t n_kinds;
    struct histogram request, first, next;
};

struct metrics *metrics_create(void)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    pthread_mutex_init(&m->mutex, NULL);
    m->request = (struct histogram){.name = "gptjt_request_seconds",
                                    .help = "From a request's head to the end of its answer",
                                    .bounds = request_bounds,
                                    .n = COUNT_OF(request_bounds)};
    m->first = (struct histogram){.name = "gptjt_time_to_first_token_seconds",
                                  .help = "From a request's head to its first token",
                                  .bounds = first_bounds,
                                  .n = COUNT_OF(first_bounds)};
    m->next = (struct histogram){.name = "gptjt_inter_token_seconds",
                                 .help = "From a token of a text to the next one",
                                 .bounds = next_bounds,
                                 .n = COUNT_OF(next_bounds)};
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m) return;
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

static void add(struct metrics *m, struct histogram *h, double seconds)
{
    size_t i = 0;
    while (i < h->n && seconds > h->bounds[i])
        i++;
    pthread_mutex_lock(&m->mutex);
    h->counts[i]++;
    h->sum += seconds;
    pthread_mutex_unlock(&m->mutex);
}

void metrics_first_token(struct metrics *m, double seconds)
{
    add(m, &m->first, seconds);
}

void metrics_next_token(struct metrics *m, double seconds)
{
    add(m, &m->next, seconds);
}

void metrics_request(struct metrics *m, const char *route, int status, double seconds)
{
    add(m, &m->request, seconds);
    pthread_mutex_lock(&m->mutex);
    size_t i = 0;
    while (i < m->n_kinds && (m->kinds[i].status != status || strcmp(m->kinds[i].route, route) != 0))
        i++;
    if (i == m->n_kinds && i < MOST_KINDS) m->kinds[m->n_kinds++] = (struct kind){.route = route, .status = status};
    if (i < MOST_KINDS) m->kinds[i].n++;
    pthread_mutex_unlock(&m->mutex);
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    put_head(out, name, type, help);
    buf_printf(out, "%s %.17g\n", name, value);
}

static void put_histogram(struct buf *out, const struct histogram *h)
{
    uint64_t n = 0;
    put_head(out, h->name, "histogram", h->help);
    for (size_t i = 0; i < h->n; i++) {
        n += h->counts[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", h->name, h->bounds[i], n);
    }
    n += h->counts[h->n];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n", h->name, n, h->name,
               h->sum, h->name, n);
}

/* In a label: backslash, quote and line break are escaped. */
static void put_label(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_puts(out, "\\");
        if (*text == '\n')
            buf_puts(out, "\\n");
        else
            buf_append(out, text, 1);
    }
}

static void put_desk(struct buf *out, const struct desk_state *d)
{
    const struct gptjt_batch_state *b = &d->batch;
    put_number(out, "gptjt_queue_requests", "gauge", "Requests that wait for the model",
               (double)(d->waiting + b->n_waiting));
    put_number(out, "gptjt_batch_requests", "gauge", "Requests in the model's batch", (double)b->n_running);
    put_number(out, "gptjt_batch_sequences", "gauge", "Texts that get a token with each step", (double)b->n_sequences);
    put_number(out, "gptjt_kv_tokens", "gauge", "Room for keys and values, in tokens", (double)b->tokens_all);
    put_number(out, "gptjt_kv_tokens_free", "gauge", "Of these, neither used nor promised", (double)b->tokens_free);
    put_number(out, "gptjt_prompt_tokens_total", "counter", "Prompt tokens computed", (double)b->prompt_tokens);
    put_number(out, "gptjt_reused_tokens_total", "counter", "Prompt tokens that an earlier prompt had begun with",
               (double)b->reused_tokens);
    put_number(out, "gptjt_new_tokens_total", "counter", "Tokens generated", (double)b->new_tokens);
}

void metrics_put(struct buf *out, struct metrics *m, const struct metrics_now *now)
{
    put_head(out, "gptjt_info", "gauge", "What is served by what");
    buf_printf(out, "gptjt_info{version=\"%s\",model=\"", now->version);
    put_label(out, now->model);
    buf_puts(out, "\"} 1\n");
    put_number(out, "gptjt_up", "gauge", "Whether the model is there", now->desk != NULL);
    put_number(out, "gptjt_uptime_seconds", "counter", "Since the start", now->seconds);
    put_number(out, "gptjt_connections", "gauge", "Connections of clients", now->connections);
    if (now->desk) put_desk(out, now->desk);
    pthread_mutex_lock(&m->mutex);
    put_head(out, "gptjt_requests_total", "counter", "Requests by path and status; 0: the client went away");
    for (size_t i = 0; i < m->n_kinds; i++)
        buf_printf(out, "gptjt_requests_total{path=\"%s\",status=\"%d\"} %" PRIu64 "\n", m->kinds[i].route,
                   m->kinds[i].status, m->kinds[i].n);
    put_histogram(out, &m->request);
    put_histogram(out, &m->first);
    put_histogram(out, &m->next);
    pthread_mutex_unlock(&m->mutex);
}

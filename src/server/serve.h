// SPDX-License-Identifier: Apache-2.0
/* The server: which path is answered by whom, keys, request ids, the log, and its life: it listens before the model is
 * there (and says so), serves, and drains before it ends. */
#ifndef GPTJT_SERVER_SERVE_H
#define GPTJT_SERVER_SERVE_H

#include "server/desk.h"
#include "server/http.h"

struct serve;

/* A line of the log, without a newline; any thread. */
typedef void serve_log_fn(void *user, const char *line);

struct serve_options {
    struct http_options http;
    struct desk_options desk; /* max_tokens 0: what fits well into memory */
    const char *keys_file;    /* NULL: everybody is let in */
    bool open_metrics;        /* /metrics needs no key */
    const char *cors_origin;  /* whose pages may ask, NULL: nobody's but our own */
    const char *const *names; /* [n_names] of the model, beside its own */
    int n_names;
    int most_prompts, most_n, most_stops; /* of a request */
    double time_limit_s;                  /* of a request, 0: none */
    bool log_bodies;                      /* the log shows what was asked */
    serve_log_fn *log;
    void *log_user;
};

/* Listens: /health says 503 from here on, as everything else. Owned: serve_close(). What options point to is borrowed
 * until then. */
enum status serve_open(struct serve **out, const struct serve_options *o);

/* The model, called name, is there; the engine is borrowed until serve_close(). */
enum status serve_begin(struct serve *s, struct gptjt_engine *engine, const char *name);

/* New requests get a 503 from here on; those that run have that many seconds, then their answers are cut short. Returns
 * when all are sent, or their clients do not take them. */
void serve_drain(struct serve *s, double seconds);

void serve_close(struct serve *s);

const char *serve_address(const struct serve *s); /* "127.0.0.1:8080" */
size_t serve_max_tokens(const struct serve *s);   /* K/V rows it has, once it has begun */

#endif

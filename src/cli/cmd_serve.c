// SPDX-License-Identifier: Apache-2.0
/* gptjt serve: the model behind HTTP, for clients of three dialects and for people. Everything about requests is in
 * src/server/; here are the options, what people see when it starts, and how it ends. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "server/serve.h"

enum { PEM_MAX = 1 << 20, HEADER_BYTES = 32 << 10 };

struct settings {
    struct common common;
    const char *host;
    int64_t port, http_threads;
    const char *api_keys, *tls_cert, *tls_key, *cors_origin;
    struct option_strings names;
    bool open_metrics, print_requests, log_requests;
    int64_t max_queue, max_queue_per_client, max_batch, max_kv_tokens;
    int64_t max_prompts, max_best_of, max_stops, max_body, max_connections, max_connections_per_client;
    double longest_stall, time_limit, drain_time, header_time, body_time, write_time, idle_time;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS,
                                         .host = "127.0.0.1",
                                         .port = 8080,
                                         .http_threads = 2,
                                         .log_requests = true,
                                         .max_queue = 256,
                                         .max_queue_per_client = 128,
                                         .max_batch = 64,
                                         .max_prompts = 64,
                                         .max_best_of = 16,
                                         .max_stops = 16,
                                         .max_body = 2,
                                         .max_connections = 512,
                                         .max_connections_per_client = 256,
                                         .longest_stall = 0.5,
                                         .time_limit = 600,
                                         .drain_time = 30,
                                         .header_time = 10,
                                         .body_time = 60,
                                         .write_time = 60,
                                         .idle_time = 75};

#define FIELD(name)       .offset = offsetof(struct settings, name)
#define SECONDS           .type = OPTION_NUMBER, .max = 86400, .meta = "SECONDS"
#define NUMBER(low, high) .type = OPTION_INT, .min = low, .max = high, .meta = "N"

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "host",
     .type = OPTION_STRING,
     FIELD(host),
     .meta = "ADDRESS",
     .help =
         "where to listen; 0.0.0.0 or ::, all of this machine's addresses, only with --api-keys or behind something "
         "that asks for them"},
    {.name = "port", NUMBER(0, 65535), FIELD(port), .help = "TCP port; 0: any that is free"},
    {.name = "served-model-name",
     .type = OPTION_STRINGS,
     FIELD(names),
     .meta = "NAME",
     .help = "another name by which requests may call the model; may be given several times; '*': any"},
    {.name = "api-keys",
     .type = OPTION_STRING,
     FIELD(api_keys),
     .meta = "FILE",
     .help =
         "let in only who gives one of these keys (Authorization: Bearer KEY): one a line, then a name for the log"},
    {.name = "open-metrics", .type = OPTION_FLAG, FIELD(open_metrics), .help = "/metrics needs no key"},
    {.name = "tls-cert",
     .type = OPTION_STRING,
     FIELD(tls_cert),
     .meta = "FILE",
     .help = "speak HTTPS with this certificate (PEM, with its chain)"},
    {.name = "tls-key", .type = OPTION_STRING, FIELD(tls_key), .meta = "FILE", .help = "and its private key (PEM)"},
    {.name = "cors-allow-origin",
     .type = OPTION_STRING,
     FIELD(cors_origin),
     .meta = "ORIGIN",
     .help = "pages from there may send requests; '*': from anywhere"},
    {.name = "max-queue",
     NUMBER(1, 100000),
     FIELD(max_queue),
     .help = "prompts that may wait for the model; who comes then gets a 429"},
    {.name = "max-queue-per-client",
     NUMBER(1, 100000),
     FIELD(max_queue_per_client),
     .help = "of these, prompts of one key, or of one address"},
    {.name = "max-batch", NUMBER(1, 4096), FIELD(max_batch), .help = "texts that get their tokens side by side"},
    {.name = "max-kv-tokens",
     NUMBER(0, 1 << 30),
     FIELD(max_kv_tokens),
     .help = "room for prompts and texts that run side by side, in tokens (default 0: some windows, if memory allows)"},
    {.name = "max-prompts", NUMBER(1, 100000), FIELD(max_prompts), .help = "prompts of one request"},
    {.name = "max-best-of", NUMBER(1, 1024), FIELD(max_best_of), .help = "texts for one prompt: n, best_of"},
    {.name = "max-stop-sequences", NUMBER(0, 1000), FIELD(max_stops), .help = "stop strings of one request"},
    {.name = "max-body", NUMBER(1, 1024), FIELD(max_body), .help = "size of a request's body, in MiB"},
    {.name = "longest-stall",
     SECONDS,
     FIELD(longest_stall),
     .min = 0.001,
     .help = "texts that run wait no longer than about that for somebody's long prompt"},
    {.name = "time-limit",
     SECONDS,
     FIELD(time_limit),
     .help = "of a request, waiting included; its text then ends as it is; 0: none"},
    {.name = "drain-time",
     SECONDS,
     FIELD(drain_time),
     .help = "how long running requests may go on after SIGTERM or Ctrl-C"},
    {.name = "header-time", SECONDS, FIELD(header_time), .help = "a new connection's first request must begin by then"},
    {.name = "body-time", SECONDS, FIELD(body_time), .help = "a request's body must be there by then"},
    {.name = "write-time", SECONDS, FIELD(write_time), .help = "cut off who has not taken what is written by then"},
    {.name = "idle-time",
     SECONDS,
     FIELD(idle_time),
     .help = "close a connection on which nobody has asked for so long"},
    {.name = "max-connections", NUMBER(4, 100000), FIELD(max_connections), .help = "of all clients"},
    {.name = "max-connections-per-client",
     NUMBER(0, 100000),
     FIELD(max_connections_per_client),
     .help = "of one address; 0: as many as there may be at all"},
    {.name = "http-threads", NUMBER(1, 64), FIELD(http_threads), .help = "threads that speak HTTP and read prompts"},
    {.name = "log-requests",
     .type = OPTION_FLAG,
     FIELD(log_requests),
     .help = "a line of JSON on stderr for each request, without its text; --no-log-requests leaves them out"},
    {.name = "print-requests",
     .type = OPTION_FLAG,
     FIELD(print_requests),
     .help = "show in these lines what was asked: for debugging"},
    COMMON_ENGINE_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* One run of the command. */
struct job {
    const struct settings *set;
    struct buf certificate, key;
    struct cli_model model;
    struct serve *serve;
};

static enum status check_settings(const struct settings *s)
{
    if (!s->tls_cert != !s->tls_key) return fail(E_ARG, "--tls-cert and --tls-key go together");
    if (s->print_requests && !s->log_requests) return fail(E_ARG, "--print-requests goes with --log-requests");
    return OK;
}

static void print_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line); /* one call: lines of several threads do not mix */
}

static enum status read_pem(struct buf *out, const char *path)
{
    TRY(file_read(out, path, PEM_MAX));
    if (!out->len || strlen(out->data) != out->len || !strstr(out->data, "-----BEGIN "))
        return fail(E_FORMAT, "%s: not a PEM file", path);
    return OK;
}

static struct http_options http_settings(const struct job *j)
{
    const struct settings *s = j->set;
    return (struct http_options){.host = s->host,
                                 .port = (int)s->port,
                                 .threads = (int)s->http_threads,
                                 .max_connections = (int)s->max_connections,
                                 .max_connections_per_address = (int)s->max_connections_per_client,
                                 .max_header_bytes = HEADER_BYTES,
                                 .max_body_bytes = (size_t)s->max_body << 20,
                                 .max_pending_bytes = 1 << 20,
                                 .header_s = s->header_time,
                                 .idle_s = s->idle_time,
                                 .body_s = s->body_time,
                                 .write_s = s->write_time,
                                 .tls_certificate = j->certificate.data,
                                 .tls_key = j->key.data};
}

static struct serve_options serve_settings(const struct job *j)
{
    const struct settings *s = j->set;
    return (struct serve_options){.http = http_settings(j),
                                  .desk = {.max_tokens = (size_t)s->max_kv_tokens,
                                           .most_waiting = (size_t)s->max_queue,
                                           .most_waiting_each = (size_t)s->max_queue_per_client,
                                           .most_running = (size_t)s->max_batch,
                                           .longest_stall_s = s->longest_stall},
                                  .keys_file = s->api_keys,
                                  .open_metrics = s->open_metrics,
                                  .cors_origin = s->cors_origin,
                                  .names = s->names.items,
                                  .n_names = s->names.n,
                                  .most_prompts = (int)s->max_prompts,
                                  .most_n = (int)s->max_best_of,
                                  .most_stops = (int)s->max_stops,
                                  .time_limit_s = s->time_limit,
                                  .log_bodies = s->print_requests,
                                  .log = s->log_requests && !s->common.quiet ? print_line : NULL};
}

static const char *scheme(const struct job *j)
{
    return j->set->tls_cert ? "https" : "http";
}

static void say_ready(const struct job *j)
{
    const struct settings *s = j->set;
    if (s->common.quiet) return;
    const char *address = serve_address(j->serve);
    fprintf(stderr, "serving %s (%s weights, computing in %s), room for %zu tokens\n", j->model.name,
            j->model.info.weights, j->model.info.compute, serve_max_tokens(j->serve));
    cli_mask_note(&j->model, &s->common);
    fprintf(stderr, "a page to try it: %s://%s/\n", scheme(j), address);
    fprintf(stderr, "or: curl %s://%s/generate -d '{\"inputs\": \"Country: India\\nCurrency:\"}'%s\n", scheme(j),
            address, s->api_keys ? " -H 'Authorization: Bearer KEY'" : "");
    const bool everywhere = !strcmp(s->host, "0.0.0.0") || !strcmp(s->host, "::");
    if (everywhere && !s->api_keys)
        log_line(LOG_WARN, "everybody who can reach this machine can use the model: --api-keys FILE asks for keys");
}

static void wait_for_interrupt(void)
{
    const struct timespec tick = {.tv_nsec = 100000000};
    while (!interrupt_seen())
        nanosleep(&tick, NULL);
}

static enum status execute(struct job *j)
{
    const struct settings *s = j->set;
    TRY(check_settings(s));
    if (s->tls_cert) TRY(read_pem(&j->certificate, s->tls_cert));
    if (s->tls_key) TRY(read_pem(&j->key, s->tls_key));
    const struct serve_options o = serve_settings(j);
    TRY(serve_open(&j->serve, &o));
    if (!s->common.quiet) fprintf(stderr, "listening on %s://%s\n", scheme(j), serve_address(j->serve));
    TRY(cli_model_open(&j->model, &s->common));
    TRY(serve_begin(j->serve, j->model.engine, j->model.name));
    interrupt_catch();
    say_ready(j);
    wait_for_interrupt();
    if (!s->common.quiet) fprintf(stderr, "ending: running requests have %g s; again to end at once\n", s->drain_time);
    serve_drain(j->serve, s->drain_time);
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    struct job j = {.set = set};
    TRY(cli_take_model(&set->common, args));
    signal(SIGPIPE, SIG_IGN); /* whoever reads the log may go away */
    const enum status s = execute(&j);
    serve_close(j.serve);
    cli_model_close(&j.model);
    if (j.key.data) explicit_bzero(j.key.data, j.key.cap);
    buf_free(&j.key);
    buf_free(&j.certificate);
    return s;
}

const struct command command_serve = {
    .name = "serve",
    .summary = "answer requests over HTTP, and show a page to try the model on",
    .usage = "[-m MODEL] [--host ADDRESS] [--port N] [options]",
    .about =
        "Serves the model to clients of Hugging Face's Inference API and text-generation-inference and of OpenAI's\n"
        "completions, and classifies texts at /classify. Requests of all clients go through the model together.\n"
        "docs/SERVING.md is the guide.",
    .examples = "  gptjt serve\n"
                "  gptjt serve -m togethercomputer/GPT-JT-6B-v1 --weights q8 --port 8000\n"
                "  gptjt serve --host 0.0.0.0 --api-keys keys.txt --tls-cert cert.pem --tls-key key.pem\n"
                "  curl localhost:8080/generate -d '{\"inputs\": \"Country: India\\nCurrency:\", \"parameters\": "
                "{\"stop\": [\"\\n\"]}}'",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};

// SPDX-License-Identifier: Apache-2.0
#include "server/serve.h"

#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "eval/batching.h"
#include "server/api_openai.h"
#include "server/api_tgi.h"
#include "server/classify_call.h"
#include "server/generate_call.h"
#include "server/keys.h"
#include "server/order.h"
#include "server/page.h"

enum life { LIFE_LOADING, LIFE_READY, LIFE_DRAINING };

enum { BODY_SHOWN = 4096, WINDOWS_AT_ONCE = 8, LAST_WORDS_S = 5 };

struct serve {
    struct serve_options options;
    struct keys *keys;
    struct http *http;
    struct metrics *metrics;
    int64_t started_ns;
    int64_t started; /* Unix time */
    _Atomic int life;

    /* Written before the life becomes LIFE_READY, and read after. */
    struct service service;
    const char **names; /* [1 + options.n_names] */
    size_t max_tokens;
};

/* ---- Answers without the model ---- */

static void answer_json(struct exchange *x, int status, struct buf *body)
{
    exchange_answer(x, status, "application/json", body);
}

static void get_health(struct serve *s, struct exchange *x)
{
    struct buf body = {0};
    const enum life life = (enum life)atomic_load(&s->life);
    if (life == LIFE_READY) {
        exchange_answer(x, 200, "text/plain", &body);
        return;
    }
    buf_printf(&body, "{\"error\":\"%s\",\"error_type\":\"healthcheck\"}",
               life == LIFE_LOADING ? "the model is loading" : "the server is ending");
    exchange_set_header(x, "Retry-After", "5");
    answer_json(x, 503, &body);
}

static void get_metrics(struct serve *s, struct exchange *x)
{
    struct buf body = {0};
    struct desk_state desk;
    const bool ready = atomic_load(&s->life) != LIFE_LOADING && s->service.desk;
    if (ready) desk_state(s->service.desk, &desk);
    const struct metrics_now now = {.desk = ready ? &desk : NULL,
                                    .connections = http_connections(s->http),
                                    .version = gptjt_version(),
                                    .model = ready ? s->names[0] : "",
                                    .seconds = clock_seconds(s->started_ns, clock_ns())};
    metrics_put(&body, s->metrics, &now);
    exchange_answer(x, 200, "text/plain; version=0.0.4", &body);
}

/* ---- Answers about the model ---- */

static void get_info(struct serve *s, struct exchange *x)
{
    const struct service *v = &s->service;
    const struct gptjt_info *i = &v->info;
    struct buf body = {0};
    json_t *o = json_object();
    json_put(&o, "model_id", json_string(s->names[0]));
    json_put(&o, "model_sha", json_null());
    json_put(&o, "model_dtype", json_string(i->weights));
    json_put(&o, "model_device_type", json_string(i->device));
    json_put(&o, "model_pipeline_tag", json_string("text-generation"));
    json_put(&o, "max_concurrent_requests", json_integer((json_int_t)s->options.desk.most_waiting));
    json_put(&o, "max_best_of", json_integer(v->limits.most_n));
    json_put(&o, "max_stop_sequences", json_integer(v->limits.most_stops));
    json_put(&o, "max_input_tokens", json_integer(i->n_positions - 1));
    json_put(&o, "max_total_tokens", json_integer(i->n_positions));
    json_put(&o, "max_client_batch_size", json_integer(v->limits.most_prompts));
    json_put(&o, "max_batch_total_tokens", json_integer((json_int_t)s->max_tokens));
    json_put(&o, "validation_workers", json_integer(s->options.http.threads));
    json_put(&o, "router", json_string("gptjt"));
    json_put(&o, "version", json_string(gptjt_version()));
    json_put(&o, "sha", json_null());
    json_put(&o, "docker_label", json_null());
    json_put(&o, "prompt_mask", json_string(i->prompt_mask == GPTJT_MASK_PREFIX ? "prefix" : "causal"));
    json_put(&o, "prompt_mask_reason", json_string(i->prompt_mask_reason));
    json_put(&o, "weights", json_string(i->weights));
    json_put(&o, "compute", json_string(i->compute));
    json_put(&o, "device", json_string(i->device));
    json_put(&o, "cpu", json_string(i->cpu));
    json_put(&o, "threads", json_integer(i->threads));
    json_put(&o, "vocab_size", json_integer(i->vocab_size));
    dialect_put_json(&body, o);
    answer_json(x, 200, &body);
}

static void get_models(struct serve *s, struct exchange *x)
{
    struct buf body = {0};
    openai_put_models(&body, s->names, 1, s->started);
    answer_json(x, 200, &body);
}

static void get_model(struct serve *s, struct exchange *x)
{
    struct buf body = {0};
    const char *name = exchange_path(x) + strlen("/v1/models/");
    if (service_check_model(&s->service, name) != OK) {
        service_refuse(x, &dialect_openai, TROUBLE_NOT_FOUND, status_message());
        return;
    }
    openai_put_model(&body, s->names[0], s->started);
    answer_json(x, 200, &body);
}

static void post_tokenize(struct serve *s, struct exchange *x)
{
    struct ask ask;
    size_t len, n;
    int32_t *ids;
    const char *body = exchange_body(x, &len);
    enum status status = dialect_tgi.parse(&ask, body, len, &s->service.limits);
    if (status == OK) status = order_encode(s->service.engine, ask.prompts[0].text, ask.prompts[0].text_len, &ids, &n);
    if (status == OK) {
        const struct render r = {.tokenizer = s->service.tokenizer};
        struct buf out = {0};
        tgi_put_tokens(&out, &r, ids, n);
        gptjt_free(ids);
        answer_json(x, 200, &out);
    } else {
        service_refuse(x, &dialect_tgi, service_trouble(status), status_message());
    }
    ask_free(&ask);
}

static void post_generate(struct serve *s, struct exchange *x)
{
    generate_start(&s->service, x, &dialect_tgi, ASK_WHOLE);
}

static void post_generate_stream(struct serve *s, struct exchange *x)
{
    generate_start(&s->service, x, &dialect_tgi, ASK_STREAM);
}

static void post_hf(struct serve *s, struct exchange *x)
{
    generate_start(&s->service, x, &dialect_hf, ASK_AS_BODY_SAYS);
}

static void post_hf_model(struct serve *s, struct exchange *x)
{
    const char *name = exchange_path(x) + strlen("/models/");
    if (service_check_model(&s->service, name) == OK)
        post_hf(s, x);
    else
        service_refuse(x, &dialect_hf, TROUBLE_NOT_FOUND, status_message());
}

static void post_completions(struct serve *s, struct exchange *x)
{
    generate_start(&s->service, x, &dialect_openai, ASK_AS_BODY_SAYS);
}

static void post_classify(struct serve *s, struct exchange *x)
{
    classify_start(&s->service, x);
}

static void refuse_chat(struct serve *s, struct exchange *x)
{
    (void)s;
    service_refuse(
        x, &dialect_openai, TROUBLE_REQUEST,
        "chats are not served: this model was not trained on conversations and has no chat template; put the "
        "text to be continued into \"prompt\" of /v1/completions");
}

static void get_page(struct serve *s, struct exchange *x)
{
    (void)s;
    struct buf body = {0};
    for (int i = 0; i < PAGE_HEADERS; i++)
        exchange_set_header(x, page_index.headers[i].name, page_index.headers[i].value);
    if (page_is_known(exchange_header(x, "If-None-Match"))) {
        exchange_answer(x, 304, NULL, &body);
        return;
    }
    buf_append(&body, page_index.bytes, page_index.n_bytes);
    exchange_answer(x, 200, page_index.type, &body);
}

/* ---- Routes ---- */

enum needs { NEEDS_NOTHING, NEEDS_KEY, NEEDS_MODEL }; /* each what the one before does, too */

struct route {
    const char *method, *path; /* a path that ends in a slash is the beginning of one, except for "/" */
    enum needs needs;
    const struct dialect *dialect; /* of errors, NULL: none */
    void (*answer)(struct serve *s, struct exchange *x);
};

static const struct route routes[] = {
    {"GET", "/", NEEDS_NOTHING, NULL, get_page},
    {"GET", "/health", NEEDS_NOTHING, NULL, get_health},
    {"GET", "/metrics", NEEDS_KEY, NULL, get_metrics},
    {"GET", "/info", NEEDS_MODEL, &dialect_tgi, get_info},
    {"GET", "/v1/models", NEEDS_MODEL, &dialect_openai, get_models},
    {"GET", "/v1/models/", NEEDS_MODEL, &dialect_openai, get_model},
    {"POST", "/", NEEDS_MODEL, &dialect_hf, post_hf},
    {"POST", "/models/", NEEDS_MODEL, &dialect_hf, post_hf_model},
    {"POST", "/invocations", NEEDS_MODEL, &dialect_hf, post_hf},
    {"POST", "/generate", NEEDS_MODEL, &dialect_tgi, post_generate},
    {"POST", "/generate_stream", NEEDS_MODEL, &dialect_tgi, post_generate_stream},
    {"POST", "/tokenize", NEEDS_MODEL, &dialect_tgi, post_tokenize},
    {"POST", "/classify", NEEDS_MODEL, &dialect_tgi, post_classify},
    {"POST", "/v1/completions", NEEDS_MODEL, &dialect_openai, post_completions},
    {"POST", "/v1/chat/completions", NEEDS_MODEL, &dialect_openai, refuse_chat},
    {"POST", "/chat_tokenize", NEEDS_MODEL, &dialect_openai, refuse_chat},
};

enum { N_ROUTES = sizeof routes / sizeof *routes };

static bool path_matches(const struct route *r, const char *path)
{
    const size_t len = strlen(r->path);
    if (len > 1 && r->path[len - 1] == '/') return !strncmp(path, r->path, len) && path[len];
    return !strcmp(path, r->path);
}

/* NULL: none; then *allowed is the method that the path would be there for, or NULL, too. */
static const struct route *find_route(const char *method, const char *path, const char **allowed)
{
    *allowed = NULL;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (!path_matches(&routes[i], path)) continue;
        if (!strcmp(routes[i].method, method)) return &routes[i];
        *allowed = routes[i].method;
    }
    return NULL;
}

/* ---- Requests ---- */

/* What the client calls it, if that can stand in a log and a header. */
static void choose_id(struct served *served, const char *given)
{
    size_t n = 0;
    while (given && given[n] && n < sizeof served->id && (isalnum((unsigned char)given[n]) || strchr("-_.:", given[n])))
        n++;
    if (n && n < sizeof served->id && !given[n])
        snprintf(served->id, sizeof served->id, "%s", given);
    else
        snprintf(served->id, sizeof served->id, "%08" PRIx64 "%08" PRIx64, rng_fresh_seed(), rng_fresh_seed());
}

static void served_free(void *data)
{
    struct served *served = data;
    if (served->release) served->release(served->call);
    free(served);
}

static bool has_key(struct serve *s, struct exchange *x, struct served *served)
{
    snprintf(served->client, sizeof served->client, "%s", exchange_address(x));
    if (!s->keys) return true;
    const char *name = keys_find(s->keys, exchange_header(x, "Authorization"));
    if (name) snprintf(served->client, sizeof served->client, "%s", name);
    return name != NULL;
}

static void set_headers(const struct serve *s, struct exchange *x, const struct served *served)
{
    exchange_set_header(x, "X-Request-Id", served->id);
    if (!s->options.cors_origin) return;
    exchange_set_header(x, "Access-Control-Allow-Origin", s->options.cors_origin);
    exchange_set_header(x, "Access-Control-Expose-Headers", "X-Request-Id");
}

/* A browser asks whether a page from elsewhere may send a request. */
static void answer_preflight(struct exchange *x)
{
    struct buf body = {0};
    exchange_set_header(x, "Access-Control-Allow-Methods", "GET, POST");
    exchange_set_header(x, "Access-Control-Allow-Headers", "*, Authorization");
    exchange_set_header(x, "Access-Control-Max-Age", "86400");
    exchange_answer(x, 204, NULL, &body);
}

static void refuse_path(struct serve *s, struct exchange *x, const char *allowed)
{
    const char *method = exchange_method(x);
    if (allowed && !strcmp(method, "OPTIONS") && s->options.cors_origin) {
        answer_preflight(x);
    } else if (allowed) {
        exchange_set_header(x, "Allow", allowed);
        service_refuse(x, NULL, TROUBLE_METHOD, "this path is not there for that method");
    } else {
        service_refuse(x, NULL, TROUBLE_NOT_FOUND,
                       "there is nothing at this path; /info, /generate, /v1/completions are "
                       "some that there are");
    }
}

static void dispatch(struct serve *s, struct exchange *x, const struct route *r, bool knows_key)
{
    const enum life life = (enum life)atomic_load(&s->life);
    const bool open = r->needs == NEEDS_NOTHING || (r->answer == get_metrics && s->options.open_metrics);
    if (!open && !knows_key)
        service_refuse(x, r->dialect, TROUBLE_UNAUTHORIZED, "give a key of this server: Authorization: Bearer KEY");
    else if (exchange_too_large(x))
        service_refuse(x, r->dialect, TROUBLE_TOO_LARGE, "the request's body is too large");
    else if (r->needs == NEEDS_MODEL && life == LIFE_LOADING)
        service_refuse(x, r->dialect, TROUBLE_LOADING, "the model is loading");
    else if (r->needs == NEEDS_MODEL && life == LIFE_DRAINING)
        service_refuse(x, r->dialect, TROUBLE_DRAINING, "the server is ending");
    else
        r->answer(s, x);
}

static void on_request(void *user, struct exchange *x)
{
    struct serve *s = user;
    struct served *served = calloc(1, sizeof *served);
    if (!served) {
        service_refuse(x, NULL, TROUBLE_OVERLOADED, "out of memory");
        return;
    }
    exchange_set_data(x, served, served_free);
    choose_id(served, exchange_header(x, "X-Request-Id"));
    set_headers(s, x, served);
    const bool knows_key = has_key(s, x, served);
    const char *allowed;
    const struct route *r = find_route(exchange_method(x), exchange_path(x), &allowed);
    served->route = r ? r->path : "other";
    if (r)
        dispatch(s, x, r, knows_key);
    else
        refuse_path(s, x, allowed);
}

/* ---- Log ---- */

static json_t *log_json(const struct serve *s, const struct exchange *x, const struct served *served, double seconds)
{
    const int status = exchange_status(x);
    const char *outcome = atomic_load(&served->outcome);
    const size_t prompt = atomic_load(&served->prompt_tokens), made = atomic_load(&served->new_tokens);
    struct timespec now;
    struct tm utc;
    char stamp[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    const size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof stamp - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    json_t *o = json_object();
    json_put(&o, "time", json_string(stamp));
    json_put(&o, "id", json_string(served->id));
    json_put(&o, "client", dialect_text(served->client, strlen(served->client)));
    json_put(&o, "method", dialect_text(exchange_method(x), strlen(exchange_method(x))));
    json_put(&o, "path", dialect_text(exchange_path(x), strlen(exchange_path(x))));
    json_put(&o, "status", json_integer(status));
    json_put(&o, "bytes", json_integer((json_int_t)exchange_sent(x)));
    json_put(&o, "seconds", json_real(seconds));
    if (prompt) json_put(&o, "prompt_tokens", json_integer((json_int_t)prompt));
    if (made) json_put(&o, "new_tokens", json_integer((json_int_t)made));
    if (made) json_put(&o, "first_token_s", json_real(atomic_load(&served->first_token_s)));
    if (exchange_gone(x)) json_put(&o, "gone", json_true());
    if (outcome) json_put(&o, "outcome", json_string(outcome));
    if (s->options.log_bodies) {
        size_t len;
        const char *body = exchange_body(x, &len);
        json_put(&o, "body", dialect_text(body, len < BODY_SHOWN ? len : BODY_SHOWN));
    }
    return o;
}

static void on_done(void *user, struct exchange *x)
{
    struct serve *s = user;
    const struct served *served = exchange_data(x);
    if (!served) return; /* it went away before it was there */
    const double seconds = clock_seconds(exchange_began_ns(x), clock_ns());
    metrics_request(s->metrics, served->route, exchange_status(x), seconds);
    if (!s->options.log) return;
    struct buf line = {0};
    json_t *o = log_json(s, x, served, seconds);
    dialect_put_json(&line, o);
    if (!line.failed) s->options.log(s->options.log_user, line.data);
    buf_free(&line);
}

/* ---- Life ---- */

enum status serve_open(struct serve **out, const struct serve_options *o)
{
    struct serve *s = calloc(1, sizeof *s);
    if (!s) return fail(E_NOMEM, "server: out of memory");
    s->options = *o;
    s->started_ns = clock_ns();
    s->started = (int64_t)time(NULL);
    s->metrics = metrics_create();
    enum status status = s->metrics ? OK : fail(E_NOMEM, "server: out of memory");
    if (status == OK && o->keys_file) status = keys_load(&s->keys, o->keys_file);
    if (status == OK) status = http_open(&s->http, &o->http, on_request, on_done, s);
    if (status != OK) {
        serve_close(s);
        return status;
    }
    *out = s;
    return OK;
}

/* Room for some windows, if memory is not short; at least for one. */
static size_t choose_room(const struct gptjt_engine *engine, const struct gptjt_info *info)
{
    const size_t one = gptjt_tokens_needed((size_t)info->n_positions, 1, 0), most = WINDOWS_AT_ONCE * one;
    const size_t room = batching_room(engine, one);
    return room < most ? room : most;
}

enum status serve_begin(struct serve *s, struct gptjt_engine *engine, const char *name)
{
    const struct serve_options *o = &s->options;
    struct service *v = &s->service;
    s->names = calloc((size_t)o->n_names + 1, sizeof *s->names);
    if (!s->names) return fail(E_NOMEM, "server: out of memory");
    s->names[0] = name;
    for (int i = 0; i < o->n_names; i++)
        s->names[i + 1] = o->names[i];
    *v = (struct service){.engine = engine,
                          .tokenizer = gptjt_engine_tokenizer(engine),
                          .metrics = s->metrics,
                          .names = s->names,
                          .n_names = o->n_names + 1,
                          .time_limit_s = o->time_limit_s};
    gptjt_engine_info(engine, &v->info);
    v->limits = (struct ask_limits){.window = v->info.n_positions,
                                    .vocab_size = v->info.vocab_size,
                                    .most_prompts = o->most_prompts,
                                    .most_n = o->most_n,
                                    .most_stops = o->most_stops};
    struct desk_options desk = o->desk;
    if (!desk.max_tokens) desk.max_tokens = choose_room(engine, &v->info);
    s->max_tokens = desk.max_tokens;
    TRY(desk_open(&v->desk, engine, &desk));
    atomic_store(&s->life, LIFE_READY);
    return OK;
}

/* Until nobody has work, or time is over. */
static void wait_for_work(struct serve *s, double seconds)
{
    const int64_t until = clock_ns() + (int64_t)(seconds * 1e9);
    struct desk_state state;
    do {
        desk_state(s->service.desk, &state);
        if (!state.jobs && !http_exchanges(s->http)) return;
        poll(NULL, 0, 20);
    } while (clock_ns() < until);
}

void serve_drain(struct serve *s, double seconds)
{
    atomic_store(&s->life, LIFE_DRAINING);
    if (!s->service.desk) return;
    wait_for_work(s, seconds);
    desk_hurry(s->service.desk);
    wait_for_work(s, LAST_WORDS_S);
}

void serve_close(struct serve *s)
{
    if (!s) return;
    http_close(s->http); /* clients' departures are told to the desk */
    desk_close(s->service.desk);
    keys_free(s->keys);
    metrics_free(s->metrics);
    free(s->names);
    free(s);
}

const char *serve_address(const struct serve *s)
{
    return http_address(s->http);
}

size_t serve_max_tokens(const struct serve *s)
{
    return s->max_tokens;
}

// SPDX-License-Identifier: Apache-2.0
#include "server/api_openai.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "server/token_text.h"

enum { OPENAI_NEW_TOKENS = 16, MOST_BIASES = 1024 };

/* The body: what is not of struct ask. */
struct request {
    struct ask ask; /* first: the table fills both */
    const char *user, *suffix;
    const json_t *prompt, *logit_bias, *stream_options;
    int64_t logprobs; /* -1: not asked for */
    bool echo;
    bool tgi_details, tgi_prompt_details; /* of Hugging Face's newer client */
};

#define FIELD(name) .offset = offsetof(struct request, name)
#define REFUSED(name_, reason)                                                                                         \
    {                                                                                                                  \
        .name = name_, .type = OPTION_REFUSED, .help = reason                                                          \
    }

static const struct option fields[] = {
    {.name = "model", .type = OPTION_STRING, FIELD(ask.model)},
    {.name = "prompt", .type = OPTION_JSON, FIELD(prompt)},
    {.name = "max-tokens", .type = OPTION_INT, FIELD(ask.max_new_tokens), .max = INT32_MAX},
    {.name = "temperature", .type = OPTION_NUMBER, FIELD(ask.temperature), .max = 2},
    {.name = "top-p", .type = OPTION_NUMBER, FIELD(ask.top_p), .max = 1},
    {.name = "n", .type = OPTION_INT, FIELD(ask.n), .min = 1, .max = 1024},
    {.name = "best-of", .type = OPTION_INT, FIELD(ask.best_of), .min = 1, .max = 1024},
    {.name = "stream", .type = OPTION_FLAG, FIELD(ask.stream)},
    {.name = "stream-options", .type = OPTION_JSON, FIELD(stream_options)},
    {.name = "logprobs", .type = OPTION_INT, FIELD(logprobs), .max = GPTJT_MOST_TOP},
    {.name = "echo", .type = OPTION_FLAG, FIELD(echo)},
    {.name = "stop", .type = OPTION_STRINGS, FIELD(ask.stop)},
    {.name = "seed", .type = OPTION_SEED, FIELD(ask.seed)},
    {.name = "presence-penalty", .type = OPTION_NUMBER, FIELD(ask.presence_penalty), .min = -2, .max = 2},
    {.name = "frequency-penalty", .type = OPTION_NUMBER, FIELD(ask.frequency_penalty), .min = -2, .max = 2},
    {.name = "logit-bias", .type = OPTION_JSON, FIELD(logit_bias)},
    {.name = "user", .type = OPTION_STRING, FIELD(user)},
    {.name = "suffix", .type = OPTION_STRING, FIELD(suffix)},
    {.name = "top-k", .type = OPTION_INT, FIELD(ask.top_k), .max = INT32_MAX},
    {.name = "typical-p", .type = OPTION_NUMBER, FIELD(ask.typical_p), .max = 1},
    {.name = "repetition-penalty", .type = OPTION_NUMBER, FIELD(ask.repetition_penalty), .max = 1e6},
    {.name = "prompt-mask", .type = OPTION_CHOICE, FIELD(ask.prompt_mask), .choices = "auto|prefix|causal"},
    {.name = "prefix-tokens", .type = OPTION_INT, FIELD(ask.prefix_tokens), .min = 1, .max = INT32_MAX},
    /* What Hugging Face's JavaScript client leaves in when it rewrites a request of its own for this path. */
    {.name = "do-sample", .type = OPTION_FLAG, FIELD(ask.do_sample)},
    {.name = "return-full-text", .type = OPTION_FLAG, FIELD(echo)},
    {.name = "truncate", .type = OPTION_INT, FIELD(ask.truncate), .min = 1, .max = INT32_MAX},
    {.name = "watermark", .type = OPTION_FLAG, FIELD(ask.watermark)},
    {.name = "details", .type = OPTION_FLAG, FIELD(tgi_details)},
    {.name = "decoder-input-details", .type = OPTION_FLAG, FIELD(tgi_prompt_details)},
    REFUSED("grammar", "answers are not constrained by a grammar"),
    REFUSED("num-return-sequences", "use \"n\""),
    REFUSED("top-n-tokens", "use \"logprobs\""),
    REFUSED("messages", "chats need a chat template, which this model has not; use \"prompt\""),
    REFUSED("max-completion-tokens", "that is for chats; use \"max_tokens\""),
    REFUSED("tools", "the model calls no tools"),
    REFUSED("response-format", "answers are not constrained by a grammar"),
    REFUSED("min-p", "not built; use \"top_p\" or \"typical_p\""),
    REFUSED("use-beam-search", "there is no beam search; decoding is greedy or sampled"),
    {0},
};

struct stream_options {
    bool include_usage, include_obfuscation;
};

static const struct option stream_fields[] = {
    {.name = "include_usage", .type = OPTION_FLAG, .offset = offsetof(struct stream_options, include_usage)},
    {.name = "include_obfuscation",
     .type = OPTION_FLAG,
     .offset = offsetof(struct stream_options, include_obfuscation)},
    {0},
};

static enum status take_bias(struct gptjt_bias *out, const char *key, const json_t *value,
                             const struct ask_limits *limits)
{
    char *end;
    const long id = *key >= '0' && *key <= '9' ? strtol(key, &end, 10) : -1;
    if (id < 0 || *end || id >= limits->vocab_size)
        return fail(E_ARG, "request: \"logit_bias\": \"%.40s\" is not a token id (0..%d)", key, limits->vocab_size - 1);
    const double bias = json_number_value(value);
    if (!json_is_number(value) || !(bias >= -100 && bias <= 100))
        return fail(E_ARG, "request: \"logit_bias\": the bias of token %ld is not within -100..100", id);
    *out = (struct gptjt_bias){(int32_t)id, (float)bias};
    return OK;
}

static enum status take_biases(struct ask *a, const json_t *object, const struct ask_limits *limits)
{
    if (!object) return OK;
    if (!json_is_object(object)) return fail(E_ARG, "request: \"logit_bias\" is not a JSON object");
    const size_t n = json_object_size(object);
    if (n > MOST_BIASES) return fail(E_ARG, "request: \"logit_bias\" has %zu tokens, more than %d", n, MOST_BIASES);
    a->logit_bias = calloc(n ? n : 1, sizeof *a->logit_bias);
    if (!a->logit_bias) return fail(E_NOMEM, "request: out of memory");
    json_t *all = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(all); at; at = json_object_iter_next(all, at))
        TRY(take_bias(&a->logit_bias[a->n_logit_bias++], json_object_iter_key(at), json_object_iter_value(at), limits));
    return OK;
}

static enum status take_stream_options(struct ask *a, const json_t *object)
{
    struct stream_options o = {0};
    option_given given = 0;
    if (!object) return OK;
    if (!a->stream) return fail(E_ARG, "request: \"stream_options\" goes with \"stream\"");
    TRY(options_parse_json(stream_fields, &o, "stream_options", object, &given));
    a->usage = o.include_usage;
    return OK;
}

static enum status settle(struct request *r, option_given given, const struct ask_limits *limits)
{
    struct ask *a = &r->ask;
    if (r->suffix && *r->suffix)
        return fail(E_ARG, "request: \"suffix\" is refused: the model only goes on at the end");
    if (a->watermark) return fail(E_ARG, "request: \"watermark\" is refused: texts are not marked");
    if (r->tgi_details || r->tgi_prompt_details)
        return fail(E_ARG, "request: \"details\" are not of this dialect; use \"logprobs\" and \"echo\"");
    TRY(ask_take_prompts(a, r->prompt, "prompt", true, true, limits));
    TRY(take_biases(a, r->logit_bias, limits));
    TRY(take_stream_options(a, r->stream_options));
    if (!options_given(fields, given, "best-of")) a->best_of = a->n;
    a->seeded = options_given(fields, given, "seed");
    a->do_sample = a->temperature > 0 && (a->do_sample || !options_given(fields, given, "do-sample"));
    a->details = r->logprobs >= 0;
    a->n_top = r->logprobs > 0 ? r->logprobs : 0;
    a->full_text = r->echo;
    a->score_prompt = r->echo && a->details;
    if (!a->max_new_tokens && (!r->echo || a->stream))
        return fail(E_ARG, "request: \"max_tokens\" is 0, which goes with \"echo\" and without \"stream\" only");
    return ask_check(a, "request", limits);
}

static enum status parse(struct ask *out, const char *body, size_t len, const struct ask_limits *limits)
{
    struct request r = {.logprobs = -1};
    option_given given = 0;
    ask_init(&r.ask);
    r.ask.max_new_tokens = OPENAI_NEW_TOKENS;
    enum status s = ask_read(&r.ask, body, len);
    if (s == OK) s = options_parse_json(fields, &r, "request", r.ask.body, &given);
    if (s == OK) s = settle(&r, given, limits);
    *out = r.ask;
    return s;
}

/* ---- Answers ---- */

static const char *finish_reason(enum gptjt_finish f)
{
    return f == GPTJT_FINISH_LENGTH ? "length" : "stop";
}

/* The four lists under "logprobs", filled a token at a time. */
struct logprobs {
    const struct render *r;
    int n_top;
    json_t *tokens, *token_logprobs, *top_logprobs, *text_offset;
    struct speller speller;
    size_t offset; /* in characters, of the next token */
    size_t most;   /* no offset is beyond: the text ends there */
};

static void logprobs_begin(struct logprobs *l, const struct render *r, int n_top, size_t offset)
{
    *l = (struct logprobs){.r = r,
                           .n_top = n_top,
                           .tokens = json_array(),
                           .token_logprobs = json_array(),
                           .top_logprobs = json_array(),
                           .text_offset = json_array(),
                           .speller = {.tokenizer = r->tokenizer},
                           .offset = offset,
                           .most = SIZE_MAX};
}

static void put_top(json_t **object, const struct render *r, int32_t id, double logprob)
{
    struct buf name = {0};
    token_name(&name, r->tokenizer, id);
    if (!name.failed && !json_object_get(*object, name.data ? name.data : ""))
        json_put(object, name.data ? name.data : "", dialect_number(logprob));
    buf_free(&name);
}

/* The likeliest, and the token itself, which may not be among them. Names may hold a NUL, which ends a key. */
static json_t *top_json(const struct logprobs *l, const struct gptjt_top *top, int32_t id, double logprob)
{
    json_t *object = json_object();
    for (int i = 0; i < l->n_top; i++)
        put_top(&object, l->r, top[i].id, (double)top[i].logprob);
    put_top(&object, l->r, id, logprob);
    return object;
}

/* scored: there is a log-probability, and top [n_top]. */
static void logprobs_add(struct logprobs *l, int32_t id, bool scored, double logprob, const struct gptjt_top *top,
                         bool last)
{
    struct buf name = {0}, text = {0};
    token_name(&name, l->r->tokenizer, id);
    speller_next(&l->speller, id, last, &text);
    json_append(&l->tokens, dialect_buf(&name));
    json_append(&l->token_logprobs, scored ? dialect_number(logprob) : json_null());
    json_append(&l->top_logprobs, scored ? top_json(l, top, id, logprob) : json_null());
    json_append(&l->text_offset, json_integer((json_int_t)(l->offset < l->most ? l->offset : l->most)));
    l->offset += utf8_characters(text.data ? text.data : "", text.len);
    buf_free(&name);
    buf_free(&text);
}

static json_t *logprobs_end(struct logprobs *l)
{
    json_t *object = json_object();
    json_put(&object, "tokens", l->tokens);
    json_put(&object, "token_logprobs", l->token_logprobs);
    json_put(&object, "top_logprobs", l->top_logprobs);
    json_put(&object, "text_offset", l->text_offset);
    buf_free(&l->speller.pending);
    return object;
}

static void add_prompt(struct logprobs *l, const struct answer_prompt *p)
{
    const size_t first = p->n_ids - p->n_scored;
    for (size_t i = 0; i < p->n_ids; i++) {
        const bool scored = i >= first;
        logprobs_add(l, p->ids[i], scored, scored ? (double)p->logprobs[i - first] : 0,
                     scored && l->n_top ? p->top + (i - first) * (size_t)l->n_top : NULL, i + 1 == p->n_ids);
    }
}

static json_t *choice_json(int index, json_t *text, json_t *logprobs, json_t *finish)
{
    json_t *choice = json_object();
    json_put(&choice, "text", text);
    json_put(&choice, "index", json_integer(index));
    json_put(&choice, "logprobs", logprobs);
    json_put(&choice, "finish_reason", finish);
    return choice;
}

static json_t *whole_choice(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
                            int index, const struct answer_text *t)
{
    const struct answer_prompt *p = &answer->prompts[prompt];
    struct buf text = {0};
    if (ask->full_text) dialect_prompt_text(&text, ask, answer, r, prompt);
    const size_t echoed = utf8_characters(text.data ? text.data : "", text.len);
    buf_append(&text, t->text.data, t->text.len);
    json_t *logprobs = json_null();
    if (ask->details) {
        struct logprobs l;
        logprobs_begin(&l, r, answer->n_top, 0);
        if (ask->full_text) add_prompt(&l, p);
        l.offset = echoed;
        l.most = utf8_characters(text.data ? text.data : "", text.len);
        for (size_t i = 0; i < t->n; i++)
            logprobs_add(&l, t->ids[i], true, (double)t->logprobs[i],
                         answer->n_top ? t->top + i * (size_t)answer->n_top : NULL, i + 1 == t->n);
        logprobs = logprobs_end(&l);
    }
    json_t *shown = text.failed ? NULL : dialect_text(text.data ? text.data : "", text.len);
    buf_free(&text);
    return choice_json(index, shown, logprobs, json_string(finish_reason(t->finish)));
}

static json_t *usage_json(const struct answer *answer)
{
    const size_t prompt = answer_prompt_tokens(answer), made = answer_new_tokens(answer);
    json_t *usage = json_object();
    json_put(&usage, "prompt_tokens", json_integer((json_int_t)prompt));
    json_put(&usage, "completion_tokens", json_integer((json_int_t)made));
    json_put(&usage, "total_tokens", json_integer((json_int_t)prompt + (json_int_t)made));
    return usage;
}

static json_t *head_json(const struct render *r, json_t *choices)
{
    json_t *object = json_object();
    json_put(&object, "id", json_sprintf("cmpl-%s", r->id));
    json_put(&object, "object", json_string("text_completion"));
    json_put(&object, "created", json_integer(r->created));
    json_put(&object, "model", json_string(r->model));
    json_put(&object, "choices", choices);
    return object;
}

static void whole(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r)
{
    int *chosen = calloc((size_t)ask->n, sizeof *chosen);
    if (!chosen) {
        out->failed = true;
        return;
    }
    json_t *choices = json_array();
    for (int i = 0; i < answer->n; i++) {
        answer_choose(&answer->prompts[i], (int)ask->n, chosen);
        for (int k = 0; k < ask->n; k++)
            json_append(&choices,
                        whole_choice(ask, answer, r, i, i * (int)ask->n + k, &answer->prompts[i].texts[chosen[k]]));
    }
    free(chosen);
    json_t *object = head_json(r, choices);
    json_put(&object, "usage", usage_json(answer));
    dialect_put_json(out, object);
}

/* ---- Streams ---- */

static void put_chunk(struct buf *out, const struct ask *ask, const struct render *r, json_t *choice)
{
    json_t *choices = json_array();
    json_append(&choices, choice);
    json_t *object = head_json(r, choices);
    if (ask->usage) json_put(&object, "usage", json_null());
    dialect_put_event(out, "data: ", object);
}

static void put_echo(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r,
                     int prompt, int index)
{
    struct buf text = {0};
    dialect_prompt_text(&text, ask, answer, r, prompt);
    json_t *logprobs = json_null();
    if (ask->details) {
        struct logprobs l;
        logprobs_begin(&l, r, answer->n_top, 0);
        add_prompt(&l, &answer->prompts[prompt]);
        logprobs = logprobs_end(&l);
    }
    json_t *shown = text.failed ? NULL : dialect_text(text.data ? text.data : "", text.len);
    put_chunk(out, ask, r, choice_json(index, shown, logprobs, json_null()));
    buf_free(&text);
}

/* Characters in front of a token that has just been added. */
static size_t offset_of(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
                        const struct gptjt_token *t)
{
    const struct answer_text *text = &answer->prompts[prompt].texts[t->sequence];
    size_t n = utf8_characters(text->text.data ? text->text.data : "", text->text.len - t->text_len);
    if (!ask->full_text) return n;
    struct buf echoed = {0};
    dialect_prompt_text(&echoed, ask, answer, r, prompt);
    n += utf8_characters(echoed.data ? echoed.data : "", echoed.len);
    buf_free(&echoed);
    return n;
}

/* Greedy answers that were made once and are wanted n times are n choices. */
static void token(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r,
                  int prompt, const struct gptjt_token *t)
{
    const int made = answer->prompts[prompt].n_texts, n = (int)ask->n;
    for (int k = made < n ? 0 : t->sequence; k < (made < n ? n : t->sequence + 1); k++) {
        const int index = prompt * n + k;
        if (t->index == 0 && ask->full_text) put_echo(out, ask, answer, r, prompt, index);
        json_t *logprobs = json_null();
        if (ask->details) {
            struct logprobs l;
            logprobs_begin(&l, r, answer->n_top, offset_of(ask, answer, r, prompt, t));
            logprobs_add(&l, t->id, true, (double)t->logprob, t->top, true);
            logprobs = logprobs_end(&l);
        }
        json_t *finish = t->last ? json_string(finish_reason(t->finish)) : json_null();
        put_chunk(out, ask, r, choice_json(index, dialect_text(t->text ? t->text : "", t->text_len), logprobs, finish));
    }
}

static void end(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r)
{
    if (ask->usage) {
        json_t *object = head_json(r, json_array());
        json_put(&object, "usage", usage_json(answer));
        dialect_put_event(out, "data: ", object);
    }
    buf_puts(out, "data: [DONE]\n\n");
}

/* ---- Errors ---- */

static int status(enum trouble what)
{
    switch (what) {
    case TROUBLE_REQUEST: return 400;
    case TROUBLE_GENERATION: return 500;
    default: return dialect_plain_status(what);
    }
}

static const char *type_of(enum trouble what)
{
    switch (what) {
    case TROUBLE_UNAUTHORIZED: return "authentication_error";
    case TROUBLE_OVERLOADED: return "rate_limit_error";
    case TROUBLE_LOADING:
    case TROUBLE_DRAINING:
    case TROUBLE_LATE: return "service_unavailable_error";
    case TROUBLE_GENERATION:
    case TROUBLE_INCOMPLETE: return "server_error";
    default: return "invalid_request_error";
    }
}

static const char *code_of(enum trouble what)
{
    switch (what) {
    case TROUBLE_UNAUTHORIZED: return "invalid_api_key";
    case TROUBLE_NOT_FOUND: return "model_not_found";
    case TROUBLE_OVERLOADED: return "rate_limit_exceeded";
    default: return NULL;
    }
}

/* The field that a message of a parser is about: the first name in quotes. */
static json_t *param_json(enum trouble what, const char *message)
{
    const char *begin = what == TROUBLE_REQUEST && !strncmp(message, "request: ", 9) ? strchr(message, '"') : NULL;
    const char *end = begin ? strchr(begin + 1, '"') : NULL;
    return end ? dialect_text(begin + 1, (size_t)(end - begin - 1)) : json_null();
}

static void trouble(struct buf *out, enum trouble what, const char *message)
{
    const char *code = code_of(what);
    json_t *error = json_object(), *body = json_object();
    json_put(&error, "message", dialect_text(message, strlen(message)));
    json_put(&error, "type", json_string(type_of(what)));
    json_put(&error, "param", param_json(what, message));
    json_put(&error, "code", code ? json_string(code) : json_null());
    json_put(&body, "error", error);
    dialect_put_json(out, body);
}

const struct dialect dialect_openai = {
    .parse = parse, .whole = whole, .token = token, .end = end, .status = status, .trouble = trouble};

/* ---- Models ---- */

static json_t *model_json(const char *name, int64_t created)
{
    json_t *model = json_object();
    json_put(&model, "id", json_string(name));
    json_put(&model, "object", json_string("model"));
    json_put(&model, "created", json_integer(created));
    json_put(&model, "owned_by", json_string("gptjt"));
    return model;
}

void openai_put_model(struct buf *out, const char *name, int64_t created)
{
    dialect_put_json(out, model_json(name, created));
}

void openai_put_models(struct buf *out, const char *const *names, int n, int64_t created)
{
    json_t *list = json_array(), *object = json_object();
    for (int i = 0; i < n; i++)
        json_append(&list, model_json(names[i], created));
    json_put(&object, "object", json_string("list"));
    json_put(&object, "data", list);
    dialect_put_json(out, object);
}

// SPDX-License-Identifier: Apache-2.0
#include "server/api_tgi.h"

#include <string.h>

#include "base/utf8.h"
#include "server/token_text.h"

static const struct option parameters[] = {TGI_PARAMETERS, {0}};

/* The body itself. */
struct request {
    const json_t *inputs, *parameters;
    bool stream;
};

static const struct option request_fields[] = {
    {.name = "inputs", .type = OPTION_JSON, .offset = offsetof(struct request, inputs)},
    {.name = "parameters", .type = OPTION_JSON, .offset = offsetof(struct request, parameters)},
    {.name = "stream", .type = OPTION_FLAG, .offset = offsetof(struct request, stream)},
    {0},
};

/* As in TGI, whoever changes the distribution wants to sample from it. */
static bool implies_sampling(const struct ask *a)
{
    return a->temperature != 1 || a->top_k != 0 || a->top_p < 1 || a->typical_p < 1;
}

enum status tgi_finish_parameters(struct ask *a, const struct option *table, option_given given,
                                  const struct ask_limits *limits)
{
    static const char where[] = "parameters";
    if (a->watermark) return fail(E_ARG, "parameters: \"watermark\" is refused: texts are not marked");
    if (!options_given(table, given, "do-sample") && implies_sampling(a)) a->do_sample = true;
    a->seeded = options_given(table, given, "seed");
    if (options_given(table, given, "best-of") && a->best_of > 1 && !a->do_sample)
        return fail(E_ARG, "parameters: \"best_of\" is %lld, but greedy answers are all the same; give \"do_sample\"",
                    (long long)a->best_of);
    if (a->score_prompt && a->stream)
        return fail(E_ARG, "parameters: \"decoder_input_details\" does not go with a stream");
    return ask_check(a, where, limits);
}

static enum status parse(struct ask *out, const char *body, size_t len, const struct ask_limits *limits)
{
    struct request r = {0};
    option_given given = 0;
    ask_init(out);
    out->most_new_tokens = TGI_NEW_TOKENS;
    TRY(ask_read(out, body, len));
    TRY(options_parse_json(request_fields, &r, "request", out->body, &given));
    TRY(ask_take_prompts(out, r.inputs, "inputs", false, false, limits));
    given = 0;
    if (r.parameters) TRY(options_parse_json(parameters, out, "parameters", r.parameters, &given));
    TRY(ask_positive(out->temperature, "parameters", "temperature"));
    out->stream = ask_streams(limits, r.stream);
    return tgi_finish_parameters(out, parameters, given, limits);
}

/* ---- Answers ---- */

static json_t *token_json(const struct render *r, int32_t id, const struct buf *text, double logprob)
{
    json_t *token = json_object();
    json_put(&token, "id", json_integer(id));
    json_put(&token, "text", dialect_buf(text));
    json_put(&token, "logprob", dialect_number(logprob));
    json_put(&token, "special", json_boolean(id == r->eos));
    return token;
}

static json_t *top_json(const struct render *r, const struct gptjt_top *top, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        struct buf text = {0};
        token_text(&text, r->tokenizer, top[i].id);
        json_append(&list, token_json(r, top[i].id, &text, (double)top[i].logprob));
        buf_free(&text);
    }
    return list;
}

static json_t *tokens_json(const struct render *r, const struct answer_text *t)
{
    struct speller speller = {.tokenizer = r->tokenizer};
    json_t *list = json_array();
    for (size_t i = 0; i < t->n; i++) {
        struct buf text = {0};
        speller_next(&speller, t->ids[i], i + 1 == t->n, &text);
        json_append(&list, token_json(r, t->ids[i], &text, (double)t->logprobs[i]));
        buf_free(&text);
    }
    buf_free(&speller.pending);
    return list;
}

static json_t *top_tokens_json(const struct render *r, const struct answer_text *t, int n_top)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n; i++)
        json_append(&list, top_json(r, t->top + i * (size_t)n_top, n_top));
    return list;
}

/* The prompt's tokens, those that are not scored with null. */
static json_t *prefill_json(const struct ask *ask, const struct answer_prompt *p, const struct render *r)
{
    struct speller speller = {.tokenizer = r->tokenizer};
    json_t *list = json_array();
    const size_t first = p->n_ids - p->n_scored;
    for (size_t i = 0; ask->score_prompt && i < p->n_ids; i++) {
        struct buf text = {0};
        speller_next(&speller, p->ids[i], i + 1 == p->n_ids, &text);
        json_t *token = json_object();
        json_put(&token, "id", json_integer(p->ids[i]));
        json_put(&token, "text", dialect_buf(&text));
        json_put(&token, "logprob", i < first ? json_null() : dialect_number((double)p->logprobs[i - first]));
        json_append(&list, token);
        buf_free(&text);
    }
    buf_free(&speller.pending);
    return list;
}

static json_t *seed_json(const struct ask *ask, const struct answer_prompt *p)
{
    return ask->do_sample ? json_integer((json_int_t)p->seed) : json_null();
}

static void put_text(json_t **object, const struct ask *ask, const struct answer *answer, const struct render *r,
                     int prompt, const struct answer_text *t)
{
    struct buf text = {0};
    if (ask->full_text) dialect_prompt_text(&text, ask, answer, r, prompt);
    buf_append(&text, t->text.data, t->text.len);
    json_put(object, "generated_text", text.failed ? NULL : dialect_text(text.data ? text.data : "", text.len));
    buf_free(&text);
}

static void put_details(json_t **object, const struct ask *ask, const struct answer *answer, const struct render *r,
                        int prompt, const struct answer_text *t)
{
    const struct answer_prompt *p = &answer->prompts[prompt];
    json_put(object, "finish_reason", json_string(gptjt_finish_name(t->finish)));
    json_put(object, "generated_tokens", json_integer((json_int_t)t->n));
    json_put(object, "seed", seed_json(ask, p));
    json_put(object, "prefill", prefill_json(ask, p, r));
    json_put(object, "tokens", tokens_json(r, t));
    if (answer->n_top) json_put(object, "top_tokens", top_tokens_json(r, t, answer->n_top));
}

/* What best_of made and did not choose. */
static json_t *others_json(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
                           int chosen)
{
    const struct answer_prompt *p = &answer->prompts[prompt];
    json_t *list = json_array();
    for (int i = 0; i < p->n_texts; i++) {
        if (i == chosen) continue;
        json_t *one = json_object();
        put_text(&one, ask, answer, r, prompt, &p->texts[i]);
        put_details(&one, ask, answer, r, prompt, &p->texts[i]);
        json_append(&list, one);
    }
    return list;
}

json_t *tgi_generated(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
                      const int *chosen, int text)
{
    const struct answer_prompt *p = &answer->prompts[prompt];
    const struct answer_text *t = &p->texts[chosen[text]];
    json_t *object = json_object();
    put_text(&object, ask, answer, r, prompt, t);
    if (!ask->details && !ask->score_prompt && !answer->n_top) return object;
    json_t *details = json_object();
    put_details(&details, ask, answer, r, prompt, t);
    if (ask->n == 1 && p->n_texts > 1)
        json_put(&details, "best_of_sequences", others_json(ask, answer, r, prompt, chosen[text]));
    json_put(&object, "details", details);
    return object;
}

static void whole(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r)
{
    int chosen[1];
    answer_choose(&answer->prompts[0], 1, chosen);
    dialect_put_json(out, tgi_generated(ask, answer, r, 0, chosen, 0));
}

static json_t *stream_details_json(const struct ask *ask, const struct answer_prompt *p, const struct answer_text *t)
{
    json_t *details = json_object();
    json_put(&details, "finish_reason", json_string(gptjt_finish_name(t->finish)));
    json_put(&details, "generated_tokens", json_integer((json_int_t)t->n));
    json_put(&details, "input_length", json_integer((json_int_t)p->n_ids));
    json_put(&details, "seed", seed_json(ask, p));
    return details;
}

/* An end-of-text token has no part in the text, but clients know it by its name. */
static void spell(struct buf *out, const struct render *r, const struct gptjt_token *t)
{
    if (t->id == r->eos)
        token_text(out, r->tokenizer, t->id);
    else if (t->text)
        buf_append(out, t->text, t->text_len);
}

void tgi_token(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
               const struct gptjt_token *t)
{
    const struct answer_prompt *p = &answer->prompts[prompt];
    const struct answer_text *text = &p->texts[t->sequence];
    struct buf spelled = {0};
    spell(&spelled, r, t);
    json_t *event = json_object();
    json_put(&event, "index", json_integer((json_int_t)t->index + 1));
    json_put(&event, "token", token_json(r, t->id, &spelled, (double)t->logprob));
    if (answer->n_top) json_put(&event, "top_tokens", top_json(r, t->top, t->n_top));
    if (t->last) {
        put_text(&event, ask, answer, r, prompt, text);
        json_put(&event, "details", stream_details_json(ask, p, text));
    } else {
        json_put(&event, "generated_text", json_null());
        json_put(&event, "details", json_null());
    }
    dialect_put_event(out, "data:", event);
    buf_free(&spelled);
}

void tgi_end(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r)
{
    (void)out;
    (void)ask;
    (void)answer;
    (void)r;
}

static const char *error_type(enum trouble what)
{
    switch (what) {
    case TROUBLE_REQUEST:
    case TROUBLE_TOO_LARGE: return "validation";
    case TROUBLE_OVERLOADED:
    case TROUBLE_LOADING:
    case TROUBLE_DRAINING:
    case TROUBLE_LATE: return "overloaded";
    case TROUBLE_GENERATION: return "generation";
    case TROUBLE_INCOMPLETE: return "incomplete_generation";
    case TROUBLE_UNAUTHORIZED:
    case TROUBLE_NOT_FOUND:
    case TROUBLE_METHOD: break;
    }
    return NULL;
}

static void trouble(struct buf *out, enum trouble what, const char *message)
{
    json_t *body = json_object();
    const char *type = error_type(what);
    json_put(&body, "error", dialect_text(message, strlen(message)));
    if (type) json_put(&body, "error_type", json_string(type));
    dialect_put_json(out, body);
}

const struct dialect dialect_tgi = {.parse = parse,
                                    .whole = whole,
                                    .token = tgi_token,
                                    .end = tgi_end,
                                    .status = dialect_plain_status,
                                    .trouble = trouble};

/* ---- /tokenize ---- */

void tgi_put_tokens(struct buf *out, const struct render *r, const int32_t *ids, size_t n)
{
    struct speller speller = {.tokenizer = r->tokenizer};
    json_t *list = json_array();
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        struct buf text = {0};
        speller_next(&speller, ids[i], i + 1 == n, &text);
        const size_t next = at + utf8_characters(text.data ? text.data : "", text.len);
        json_t *token = json_object();
        json_put(&token, "id", json_integer(ids[i]));
        json_put(&token, "text", dialect_buf(&text));
        json_put(&token, "start", json_integer((json_int_t)at));
        json_put(&token, "stop", json_integer((json_int_t)next));
        json_append(&list, token);
        buf_free(&text);
        at = next;
    }
    buf_free(&speller.pending);
    dialect_put_json(out, list);
}

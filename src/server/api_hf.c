// SPDX-License-Identifier: Apache-2.0
#include "server/api_hf.h"

#include <stdlib.h>
#include <string.h>

#include "server/api_tgi.h"

enum { HF_NEW_TOKENS = 20, MOST_SECONDS = 86400, LOADING_SECONDS = 20 };

#define NO_BEAMS "there is no beam search; decoding is greedy or sampled"

static const struct option parameters[] = {
    TGI_PARAMETERS,
    {.name = "num-return-sequences", .type = OPTION_INT, TGI_FIELD(n), .min = 1, .max = 1024},
    {.name = "max-time", .type = OPTION_NUMBER, TGI_FIELD(max_time), .max = MOST_SECONDS},
    TGI_REFUSED("max-length", "it counts the prompt in; use \"max_new_tokens\""),
    TGI_REFUSED("min-length", "a minimum length is not built"),
    TGI_REFUSED("min-new-tokens", "a minimum length is not built"),
    TGI_REFUSED("stop-sequence", "use \"stop\""),
    TGI_REFUSED("return-text", "use \"return_full_text\""),
    TGI_REFUSED("return-tensors", "use \"details\""),
    TGI_REFUSED("clean-up-tokenization-spaces", "texts are what the tokens say"),
    TGI_REFUSED("prefix", "write it in front of the prompt"),
    TGI_REFUSED("handle-long-generation", "use \"truncate\""),
    TGI_REFUSED("num-beam-groups", NO_BEAMS),
    TGI_REFUSED("length-penalty", NO_BEAMS),
    TGI_REFUSED("early-stopping", NO_BEAMS),
    TGI_REFUSED("penalty-alpha", "contrastive search is not built"),
    TGI_REFUSED("no-repeat-ngram-size", "not built; use \"repetition_penalty\""),
    TGI_REFUSED("bad-words-ids", "not built"),
    TGI_REFUSED("force-words-ids", "not built"),
    TGI_REFUSED("guidance-scale", "classifier-free guidance is not built"),
    {0},
};

struct request {
    const json_t *inputs, *parameters, *options;
    const char *model; /* "" is none, too */
    bool stream;
};

static const struct option request_fields[] = {
    {.name = "inputs", .type = OPTION_JSON, .offset = offsetof(struct request, inputs)},
    {.name = "parameters", .type = OPTION_JSON, .offset = offsetof(struct request, parameters)},
    {.name = "options", .type = OPTION_JSON, .offset = offsetof(struct request, options)},
    {.name = "model", .type = OPTION_STRING, .offset = offsetof(struct request, model)},
    {.name = "stream", .type = OPTION_FLAG, .offset = offsetof(struct request, stream)},
    {0},
};

/* What clients put there is about Hugging Face's servers and about themselves; here it is read and has no effect. */
struct client_options {
    bool flag;
    const char *text;
};

#define CLIENT_FLAG(name_)                                                                                             \
    {                                                                                                                  \
        .name = name_, .type = OPTION_FLAG, .offset = offsetof(struct client_options, flag)                            \
    }

static const struct option option_fields[] = {
    CLIENT_FLAG("use_cache"),
    CLIENT_FLAG("wait_for_model"),
    CLIENT_FLAG("use_gpu"),
    CLIENT_FLAG("dont_load_model"),
    CLIENT_FLAG("retry_on_error"),
    CLIENT_FLAG("includeCredentials"),
    {.name = "task", .type = OPTION_STRING, .offset = offsetof(struct client_options, text)},
    {.name = "forceTask", .type = OPTION_STRING, .offset = offsetof(struct client_options, text)},
    {.name = "provider", .type = OPTION_STRING, .offset = offsetof(struct client_options, text)},
    {0},
};

/* The Inference API has one name for how many answers, TGI another; with both, so many of the best. */
static void settle_n(struct ask *a, option_given given)
{
    if (!options_given(parameters, given, "best-of")) a->best_of = a->n;
}

static enum status check(struct ask *a, bool tgi, option_given given, const struct ask_limits *limits)
{
    if (tgi) TRY(ask_positive(a->temperature, "parameters", "temperature"));
    settle_n(a, given);
    TRY(tgi_finish_parameters(a, parameters, given, limits));
    if (a->temperature <= 0) a->do_sample = false;
    if (a->n > 1 && !a->do_sample)
        return fail(E_ARG,
                    "parameters: \"num_return_sequences\" is %lld, but greedy answers are all the same; give "
                    "\"do_sample\"",
                    (long long)a->n);
    if (a->stream && (a->many || a->n > 1)) return fail(E_ARG, "request: \"stream\" goes with one text and one answer");
    return OK;
}

static enum status parse(struct ask *out, const char *body, size_t len, const struct ask_limits *limits)
{
    struct request r = {0};
    struct client_options ignored;
    option_given given = 0;
    ask_init(out);
    TRY(ask_read(out, body, len));
    TRY(options_parse_json(request_fields, &r, "request", out->body, &given));
    const bool tgi = json_object_get(out->body, "stream") != NULL;
    TRY(ask_take_prompts(out, r.inputs, "inputs", true, false, limits));
    out->model = r.model;
    out->full_text = true;
    out->do_sample = !tgi;
    out->most_new_tokens = tgi ? TGI_NEW_TOKENS : HF_NEW_TOKENS;
    out->stream = ask_streams(limits, r.stream);
    option_given given_parameters = 0;
    if (r.options) TRY(options_parse_json(option_fields, &ignored, "options", r.options, &given));
    if (r.parameters) TRY(options_parse_json(parameters, out, "parameters", r.parameters, &given_parameters));
    return check(out, tgi, given_parameters, limits);
}

static json_t *answers_json(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt)
{
    int *chosen = calloc((size_t)ask->n, sizeof *chosen);
    if (!chosen) return NULL;
    answer_choose(&answer->prompts[prompt], (int)ask->n, chosen);
    json_t *list = json_array();
    for (int i = 0; i < ask->n; i++)
        json_append(&list, tgi_generated(ask, answer, r, prompt, chosen, i));
    free(chosen);
    return list;
}

static void whole(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r)
{
    if (!ask->many) {
        dialect_put_json(out, answers_json(ask, answer, r, 0));
        return;
    }
    json_t *all = json_array();
    for (int i = 0; i < answer->n; i++)
        json_append(&all, answers_json(ask, answer, r, i));
    dialect_put_json(out, all);
}

/* While a model loads the Inference API says how many seconds that may take; nobody knows. */
static void trouble(struct buf *out, enum trouble what, const char *message)
{
    if (what != TROUBLE_LOADING) {
        dialect_tgi.trouble(out, what, message);
        return;
    }
    json_t *body = json_object();
    json_put(&body, "error", dialect_text(message, strlen(message)));
    json_put(&body, "estimated_time", json_real(LOADING_SECONDS));
    dialect_put_json(out, body);
}

const struct dialect dialect_hf = {.parse = parse,
                                   .whole = whole,
                                   .token = tgi_token,
                                   .end = tgi_end,
                                   .status = dialect_plain_status,
                                   .trouble = trouble};

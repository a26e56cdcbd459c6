// SPDX-License-Identifier: Apache-2.0
#include "server/ask.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void ask_init(struct ask *a)
{
    *a = (struct ask){.max_new_tokens = ASK_ROOM,
                      .most_new_tokens = INT32_MAX,
                      .temperature = 1,
                      .top_p = 1,
                      .typical_p = 1,
                      .repetition_penalty = 1,
                      .n = 1,
                      .best_of = 1};
}

void ask_free(struct ask *a)
{
    for (int i = 0; i < a->n_prompts; i++)
        free(a->prompts[i].ids);
    free(a->prompts);
    free(a->logit_bias);
    free(a->stop.items);
    json_decref(a->body);
    *a = (struct ask){0};
}

enum status ask_read(struct ask *a, const char *body, size_t len)
{
    TRY(json_read_text(&a->body, body, len, "request"));
    return json_is_object(a->body) ? OK : fail(E_FORMAT, "request: is not a JSON object");
}

static enum status take_ids(struct ask_prompt *p, const json_t *list, const char *what, const struct ask_limits *limits)
{
    const size_t n = json_array_size(list);
    if (n > (size_t)limits->window)
        return fail(E_LIMIT, "request: \"%s\" has %zu tokens, more than the window of %d", what, n, limits->window);
    p->ids = calloc(n ? n : 1, sizeof *p->ids);
    if (!p->ids) return fail(E_NOMEM, "request: out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id))
            return fail(E_ARG, "request: \"%s\" holds something that is neither text nor a token id", what);
        const json_int_t value = json_integer_value(id);
        if (value < 0 || value >= limits->vocab_size)
            return fail(E_ARG, "request: \"%s\": token %" JSON_INTEGER_FORMAT " is not in the vocabulary (0..%d)", what,
                        value, limits->vocab_size - 1);
        p->ids[i] = (int32_t)value;
    }
    p->n_ids = n;
    return OK;
}

static void take_text(struct ask_prompt *p, const json_t *text)
{
    p->text = json_string_value(text);
    p->text_len = json_string_length(text);
}

static enum status take_list(struct ask *a, const json_t *list, const char *what, bool ids,
                             const struct ask_limits *limits)
{
    const size_t n = json_array_size(list);
    if (n > (size_t)limits->most_prompts)
        return fail(E_LIMIT, "request: \"%s\" has %zu prompts, more than %d", what, n, limits->most_prompts);
    a->prompts = calloc(n, sizeof *a->prompts);
    if (!a->prompts) return fail(E_NOMEM, "request: out of memory");
    a->n_prompts = (int)n;
    a->many = true;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item))
            take_text(&a->prompts[i], item);
        else if (ids && json_is_array(item))
            TRY(take_ids(&a->prompts[i], item, what, limits));
        else
            return fail(E_ARG, "request: \"%s\" holds something that is not text%s", what,
                        ids ? " or a list of token ids" : "");
    }
    return OK;
}

enum status ask_take_prompts(struct ask *a, const json_t *value, const char *what, bool lists, bool ids,
                             const struct ask_limits *limits)
{
    if (!value) return fail(E_ARG, "request: \"%s\" is missing", what);
    const bool list = json_is_array(value), of_ids = list && ids && json_is_integer(json_array_get(value, 0));
    if (list && !json_array_size(value)) return fail(E_ARG, "request: \"%s\" is an empty list", what);
    if (list && lists && !of_ids) return take_list(a, value, what, ids, limits);
    if (!json_is_string(value) && !of_ids)
        return fail(E_ARG, "request: \"%s\" is not a text%s", what, lists ? " or a list of texts" : "");
    a->prompts = calloc(1, sizeof *a->prompts);
    if (!a->prompts) return fail(E_NOMEM, "request: out of memory");
    a->n_prompts = 1;
    if (of_ids) return take_ids(&a->prompts[0], value, what, limits);
    take_text(&a->prompts[0], value);
    return OK;
}

bool ask_streams(const struct ask_limits *limits, bool body)
{
    return limits->stream == ASK_STREAM || (limits->stream == ASK_AS_BODY_SAYS && body);
}

enum status ask_positive(double value, const char *where, const char *name)
{
    return value > 0 ? OK : fail(E_ARG, "%s: \"%s\" is %g, not above 0", where, name, value);
}

static enum status check_stops(const struct ask *a, const char *where, const struct ask_limits *limits)
{
    if (a->stop.n > limits->most_stops)
        return fail(E_ARG, "%s: \"stop\" has %d strings, more than %d", where, a->stop.n, limits->most_stops);
    for (int i = 0; i < a->stop.n; i++)
        if (!*a->stop.items[i])
            return fail(E_ARG, "%s: \"stop\" holds an empty string, which would stop everything", where);
    return OK;
}

enum status ask_check(const struct ask *a, const char *where, const struct ask_limits *limits)
{
    TRY(ask_positive(a->top_p, where, "top_p"));
    TRY(ask_positive(a->typical_p, where, "typical_p"));
    TRY(ask_positive(a->repetition_penalty, where, "repetition_penalty"));
    TRY(check_stops(a, where, limits));
    if (a->n > a->best_of)
        return fail(E_ARG, "%s: \"best_of\" is %" PRId64 ", less than the %" PRId64 " answers wanted", where,
                    a->best_of, a->n);
    if (a->best_of > limits->most_n)
        return fail(E_ARG, "%s: %" PRId64 " answers to a prompt, more than %d", where, a->best_of, limits->most_n);
    if (a->stream && a->best_of > a->n)
        return fail(E_ARG, "%s: \"best_of\" is known only at the end; it does not go with \"stream\"", where);
    if (a->prefix_tokens && !a->score_prompt)
        return fail(E_ARG, "%s: \"prefix_tokens\" is about scores of the prompt's tokens, which are not asked for",
                    where);
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
#include "server/api_classify.h"

#include <stdlib.h>
#include <string.h>

#include "eval/api.h"
#include "eval/shots.h"

enum { MOST_LABELS = 1000, MOST_SHOTS = 1000, MOST_FIELDS = 100 };

struct request {
    const json_t *inputs, *labels, *shots;
    const char *instruction, *text_name, *label_name, *content_free, *model;
    bool list_labels, calibrate, details;
    int normalize, prompt_mask;
};

#define FIELD(name) .offset = offsetof(struct request, name)

static const struct option fields[] = {
    {.name = "inputs", .type = OPTION_JSON, FIELD(inputs)},
    {.name = "labels", .type = OPTION_JSON, FIELD(labels)},
    {.name = "instruction", .type = OPTION_STRING, FIELD(instruction)},
    {.name = "list-labels", .type = OPTION_FLAG, FIELD(list_labels)},
    {.name = "text-name", .type = OPTION_STRING, FIELD(text_name)},
    {.name = "label-name", .type = OPTION_STRING, FIELD(label_name)},
    {.name = "shots", .type = OPTION_JSON, FIELD(shots)},
    {.name = "normalize", .type = OPTION_CHOICE, FIELD(normalize), .choices = "none|length"},
    {.name = "calibrate", .type = OPTION_FLAG, FIELD(calibrate)},
    {.name = "content-free", .type = OPTION_STRING, FIELD(content_free)},
    {.name = "prompt-mask", .type = OPTION_CHOICE, FIELD(prompt_mask), .choices = "auto|prefix|causal"},
    {.name = "details", .type = OPTION_FLAG, FIELD(details)},
    {.name = "model", .type = OPTION_STRING, FIELD(model)},
    {0},
};

struct shot {
    const json_t *text;
    const char *label;
};

static const struct option shot_fields[] = {
    {.name = "text", .type = OPTION_JSON, .offset = offsetof(struct shot, text)},
    {.name = "label", .type = OPTION_STRING, .offset = offsetof(struct shot, label)},
    {0},
};

/* Prompts are C strings. */
static enum status take_string(const char **out, const json_t *value, const char *what)
{
    if (!json_is_string(value)) return fail(E_ARG, "request: %s is not a text", what);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return fail(E_ARG, "request: %s has a NUL character in it", what);
    *out = json_string_value(value);
    return OK;
}

static const json_t *item_of(const json_t *inputs, size_t i)
{
    return json_is_array(inputs) ? json_array_get(inputs, i) : inputs;
}

/* The names of the fields: those of the first input. */
static enum status take_names(struct classify_ask *a, const struct request *r)
{
    json_t *first = (json_t *)(uintptr_t)item_of(r->inputs, 0);
    const size_t n = json_is_object(first) ? json_object_size(first) : 1;
    if (!n || n > MOST_FIELDS) return fail(E_ARG, "request: an input has %zu fields, not 1 to %d", n, MOST_FIELDS);
    a->names = calloc(n, sizeof *a->names);
    if (!a->names) return fail(E_NOMEM, "request: out of memory");
    a->spec.names = a->names;
    a->spec.n_fields = (int)n;
    a->names[0] = r->text_name;
    if (!json_is_object(first)) return OK;
    size_t i = 0;
    for (void *at = json_object_iter(first); at; at = json_object_iter_next(first, at))
        a->names[i++] = json_object_iter_key(at);
    return OK;
}

/* values [n_fields] of an input or shot. */
static enum status take_values(const struct classify_ask *a, const char **values, const json_t *text, const char *what)
{
    const size_t n = (size_t)a->spec.n_fields;
    if (json_is_string(text) && n == 1) return take_string(&values[0], text, what);
    if (!json_is_object(text))
        return fail(E_ARG, "request: %s is not a text or an object of texts like the others", what);
    if (json_object_size(text) != n) return fail(E_ARG, "request: %s has other fields than the first input", what);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(text, a->names[i]);
        if (!value) return fail(E_ARG, "request: %s has no field \"%.60s\"", what, a->names[i]);
        TRY(take_string(&values[i], value, what));
    }
    return OK;
}

static enum status take_inputs(struct classify_ask *a, const struct request *r, const struct ask_limits *limits)
{
    if (!r->inputs) return fail(E_ARG, "request: \"inputs\" is missing");
    const size_t n = json_is_array(r->inputs) ? json_array_size(r->inputs) : 1;
    if (!n || n > (size_t)limits->most_prompts)
        return fail(E_LIMIT, "request: \"inputs\" has %zu texts, not 1 to %d", n, limits->most_prompts);
    TRY(take_names(a, r));
    const size_t n_fields = (size_t)a->spec.n_fields;
    a->values = calloc(n * n_fields, sizeof *a->values);
    if (!a->values) return fail(E_NOMEM, "request: out of memory");
    a->n_inputs = (int)n;
    for (size_t i = 0; i < n; i++)
        TRY(take_values(a, a->values + i * n_fields, item_of(r->inputs, i), "an input"));
    return OK;
}

static enum status take_shots(struct classify_ask *a, const struct request *r)
{
    const size_t n = json_array_size(r->shots), n_fields = (size_t)a->spec.n_fields;
    if (!r->shots) return OK;
    if (!json_is_array(r->shots)) return fail(E_ARG, "request: \"shots\" is not a list");
    if (n > MOST_SHOTS) return fail(E_LIMIT, "request: \"shots\" has %zu entries, more than %d", n, MOST_SHOTS);
    a->shots = calloc(n ? n : 1, sizeof *a->shots);
    a->shot_values = calloc(n ? n * n_fields : 1, sizeof *a->shot_values);
    if (!a->shots || !a->shot_values) return fail(E_NOMEM, "request: out of memory");
    for (size_t i = 0; i < n; i++) {
        struct shot shot = {0};
        option_given given = 0;
        TRY(options_parse_json(shot_fields, &shot, "shots", json_array_get(r->shots, i), &given));
        if (!shot.text || !shot.label) return fail(E_ARG, "request: a shot needs \"text\" and \"label\"");
        TRY(take_values(a, a->shot_values + i * n_fields, shot.text, "a shot"));
        a->shots[i] = (struct fewshot_shot){.values = a->shot_values + i * n_fields, .label = shot.label};
    }
    a->spec.shots = a->shots;
    a->spec.n_shots = (int)n;
    return OK;
}

static bool has_label(const struct classify_ask *a, const char *label)
{
    return shots_label_index(label, a->labels, a->spec.n_labels) >= 0;
}

/* Without "labels", those of the shots in order of first appearance. */
static enum status take_labels(struct classify_ask *a, const struct request *r)
{
    if (r->labels && !json_is_array(r->labels)) return fail(E_ARG, "request: \"labels\" is not a list of texts");
    const size_t listed = json_array_size(r->labels), n = r->labels ? listed : (size_t)a->spec.n_shots;
    if (n > MOST_LABELS) return fail(E_LIMIT, "request: %zu labels, more than %d", n, MOST_LABELS);
    a->labels = calloc(n ? n : 1, sizeof *a->labels);
    if (!a->labels) return fail(E_NOMEM, "request: out of memory");
    a->spec.labels = a->labels;
    for (size_t i = 0; i < listed; i++)
        TRY(take_string(&a->labels[a->spec.n_labels++], json_array_get(r->labels, i), "a label"));
    for (int i = 0; !r->labels && i < a->spec.n_shots; i++)
        if (!has_label(a, a->shots[i].label)) a->labels[a->spec.n_labels++] = a->shots[i].label;
    if (!r->labels && !n) return fail(E_ARG, "request: which labels? give \"labels\" or \"shots\"");
    for (int i = 0; i < a->spec.n_shots; i++)
        if (!has_label(a, a->shots[i].label))
            return fail(E_ARG, "request: a shot has the label \"%.60s\", which is not in \"labels\"",
                        a->shots[i].label);
    return classify_check_labels(a->spec.labels, a->spec.n_labels);
}

enum status classify_ask_parse(struct classify_ask *out, const char *body, size_t len, const struct ask_limits *limits)
{
    struct request r = {.text_name = "Text", .label_name = "Label", .content_free = "N/A", .list_labels = true};
    option_given given = 0;
    *out = (struct classify_ask){0};
    TRY(json_read_text(&out->body, body, len, "request"));
    TRY(options_parse_json(fields, &r, "request", out->body, &given));
    out->spec.instruction = r.instruction;
    out->spec.list_labels = r.list_labels;
    out->spec.label_name = r.label_name;
    out->normalize = r.normalize;
    out->calibrate = r.calibrate;
    out->details = r.details;
    out->content_free = r.content_free;
    out->prompt_mask = r.prompt_mask;
    TRY(take_inputs(out, &r, limits));
    TRY(take_shots(out, &r));
    return take_labels(out, &r);
}

void classify_ask_free(struct classify_ask *a)
{
    free(a->labels);
    free(a->names);
    free(a->values);
    free(a->shot_values);
    free(a->shots);
    json_decref(a->body);
    *a = (struct classify_ask){0};
}

static json_t *by_label(const struct classify_ask *a, const double *numbers)
{
    json_t *object = json_object();
    for (int i = 0; i < a->spec.n_labels; i++)
        json_put(&object, a->spec.labels[i], dialect_number(numbers[i]));
    return object;
}

json_t *classify_result_json(const struct classify_ask *a, const struct classify_result *r, const struct buf *prompt)
{
    json_t *object = json_object();
    json_put(&object, "label", json_string(a->spec.labels[r->best]));
    json_put(&object, "score", dialect_number(r->probabilities[r->best]));
    json_put(&object, "probabilities", by_label(a, r->probabilities));
    json_put(&object, "log_likelihoods", by_label(a, r->log_likelihoods));
    json_put(&object, "prompt_tokens", json_integer((json_int_t)r->prompt_tokens));
    json_put(&object, "n_shots", json_integer(r->n_shots));
    json_put(&object, "n_dropped", json_integer((json_int_t)r->n_dropped));
    if (prompt) json_put(&object, "prompt", dialect_buf(prompt));
    return object;
}

void classify_put(struct buf *out, json_t *results, bool prefix)
{
    json_t *object = json_object();
    json_put(&object, "results", results);
    json_put(&object, "prompt_mask", json_string(prefix ? "prefix" : "causal"));
    dialect_put_json(out, object);
}

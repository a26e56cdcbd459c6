// SPDX-License-Identifier: Apache-2.0
/* The value of each metric for one request, as HELM's BasicMetric has them; see helm_values.h. */
#include "eval/helm_values.h"

#include <math.h>
#include <string.h>

static double number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

/* ---- Matches ---- */

/* The answer that a completion stands for: its text, or what a multiple choice's letter means; data NULL: nothing. */
static struct helm_text prediction(const struct helm_request *q, const json_t *completion)
{
    const struct helm_text text = helm_strip(helm_text_of(completion, "text"));
    const json_t *mapping = json_object_get(q->state, "output_mapping");
    if (!json_is_object(mapping)) return text;
    const json_t *meant = json_object_getn(mapping, text.data, text.len);
    if (!json_is_string(meant)) return (struct helm_text){0};
    return (struct helm_text){json_string_value(meant), json_string_length(meant)};
}

static bool is_correct(const json_t *reference)
{
    size_t i;
    const json_t *tag;
    json_array_foreach (json_object_get(reference, "tags"), i, tag)
        if (json_is_string(tag) && !strcmp(json_string_value(tag), "correct")) return true;
    return false;
}

/* Of several completions the most probable one counts, the first of equals; -1 if there is none. */
static int best_completion(const json_t *completions)
{
    int best = -1;
    double most = 0;
    size_t i;
    const json_t *one;
    json_array_foreach (completions, i, one) {
        const double logprob = number(one, "logprob");
        if (best >= 0 && !(logprob > most)) continue;
        best = (int)i;
        most = isnan(logprob) ? -(double)INFINITY : logprob;
    }
    return best;
}

static void keep_larger(double *value, double x)
{
    if (!(*value >= x)) *value = x;
}

/* The best over all right answers: of the best completion, and of all completions. */
static enum status match_all(double *values, const struct helm_run *run, const struct helm_request *q,
                             const json_t *completions, locale_t locale)
{
    const int best = best_completion(completions);
    size_t g, k;
    const json_t *reference, *completion;
    json_array_foreach (json_object_get(json_object_get(q->state, "instance"), "references"), g, reference) {
        if (!is_correct(reference)) continue;
        for (int m = 0; m < HELM_N_MATCHES; m++) {
            keep_larger(&values[m], 0);
            if (run->num_outputs != 1) keep_larger(&values[HELM_EXACT_MATCH_K + m], 0);
        }
        json_array_foreach (completions, k, completion) {
            bool right[HELM_N_MATCHES];
            TRY(helm_match(right, helm_text_of(reference, "output"), prediction(q, completion), locale));
            for (int m = 0; m < HELM_N_MATCHES; m++) {
                if ((int)k == best) keep_larger(&values[m], right[m]);
                if (run->num_outputs != 1) keep_larger(&values[HELM_EXACT_MATCH_K + m], right[m]);
            }
        }
    }
    if (best >= 0 && !isnan(values[HELM_EXACT_MATCH]))
        values[HELM_MAX_PROB] = exp(number(json_array_get(completions, (size_t)best), "logprob"));
    return OK;
}

/* ---- Tokens ---- */

/* A token that is no text is written "bytes:\xe2\x80". */
static size_t token_bytes(const json_t *token)
{
    const char *text = json_string_value(json_object_get(token, "text"));
    if (strncmp(text, "bytes:", 6) != 0) return json_string_length(json_object_get(token, "text"));
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, "\\x")); at += 2)
        n++;
    return n;
}

static void count_tokens(double *values, const struct helm_request *q, const json_t *tokens, int64_t prompt_tokens)
{
    const size_t n = json_array_size(tokens);
    const double given = number(q->state, "num_conditioning_tokens");
    size_t skip = given > 0 && given < HELM_MAX_TOKENS ? (size_t)given : 0, bytes = 0;
    if (skip && n && !json_string_length(json_object_get(json_array_get(tokens, 0), "text"))) skip++;
    double sum = 0;
    for (size_t i = skip; i < n; i++) {
        const json_t *token = json_array_get(tokens, i);
        sum += number(token, "logprob");
        bytes += token_bytes(token);
    }
    values[HELM_LOGPROB] = sum;
    values[HELM_NUM_PERPLEXITY_TOKENS] = n > skip ? (double)(n - skip) : 0;
    values[HELM_NUM_BYTES] = (double)bytes;
    values[HELM_NUM_OUTPUT_TOKENS] = (double)n;
    if (!json_is_true(json_object_get(json_object_get(q->state, "request"), "echo_prompt"))) return;
    values[HELM_NUM_OUTPUT_TOKENS] = prompt_tokens < 0 ? (double)NAN : fmax(0, (double)n - (double)prompt_tokens);
}

/* ---- The rest ---- */

static void finish_reason(double *values, const json_t *completion)
{
    static const char *const reasons[] = {"length", "stop", "endoftext"};
    const json_t *finish = json_object_get(completion, "finish_reason");
    const char *reason = json_string_value(json_object_get(finish, "reason"));
    int known = 3;
    for (int i = 0; reason && i < 3; i++)
        if (!strcmp(reason, reasons[i])) known = i;
    for (int i = 0; i <= 3; i++)
        values[HELM_FINISH_REASON_LENGTH + i] = i == known;
}

/* What a batch took together is what each of its requests took; a share of it is their "denoised" time. */
static void runtime(double *values, const json_t *result)
{
    const double batch = number(result, "batch_request_time"), size = number(result, "batch_size");
    const bool batched = !isnan(batch) && size >= 1;
    values[HELM_INFERENCE_RUNTIME] = batched ? batch : number(result, "request_time");
    values[HELM_BATCH_SIZE] = batched ? size : 1;
    if (batched) values[HELM_INFERENCE_DENOISED_RUNTIME] = batch / size;
}

enum status helm_values(double *values, const struct helm_run *run, const struct helm_request *q,
                        const struct helm_answer *answer, locale_t locale)
{
    const json_t *completions = json_object_get(answer->result, "completions");
    const json_t *state = answer->state ? answer->state : q->state;
    const json_t *truncated = json_object_get(state, "prompt_truncated");
    const double trials = number(run->adapter, "num_train_trials");
    const json_t *references = json_object_get(json_object_get(q->state, "instance"), "references");
    values[HELM_NUM_TRAIN_TRIALS] = isnan(trials) ? run->n_trials : trials;
    values[HELM_NUM_REFERENCES] = (double)json_array_size(references);
    values[HELM_NUM_TRAIN_INSTANCES] = number(state, "num_train_instances");
    if (json_is_boolean(truncated)) values[HELM_PROMPT_TRUNCATED] = json_is_true(truncated);
    if (answer->prompt_tokens >= 0) values[HELM_NUM_PROMPT_TOKENS] = (double)answer->prompt_tokens;
    TRY(match_all(values, run, q, completions, locale));
    const json_t *first = json_array_get(completions, 0);
    if (!first) return OK;
    count_tokens(values, q, json_object_get(first, "tokens"), answer->prompt_tokens);
    finish_reason(values, first);
    runtime(values, answer->result);
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
/* Runs a model on HELM's requests; see helm_run.h. */
#include "eval/helm_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "tokenizer/alphabet.h"

/* ---- The plan ---- */

static enum status refuse(const struct helm_run *run, int index, const char *what)
{
    return fail(E_UNSUPPORTED, "%s: request %d asks for %s, which is not done here", run->name, index, what);
}

static bool is_nonzero(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) && json_number_value(v) != 0;
}

static enum status check_request(const struct helm_run *run, int index, int n_positions)
{
    const struct helm_request *q = &run->requests[index];
    const json_t *request = json_object_get(q->state, "request");
    if (json_is_true(json_object_get(request, "embedding"))) return refuse(run, index, "an embedding");
    if (json_is_true(json_object_get(request, "echo_prompt"))) return refuse(run, index, "the prompt's own tokens");
    if (is_nonzero(request, "presence_penalty")) return refuse(run, index, "a presence penalty");
    if (is_nonzero(request, "frequency_penalty")) return refuse(run, index, "a frequency penalty");
    if (!q->prompt.len) return fail(E_UNSUPPORTED, "%s: request %d has an empty prompt", run->name, index);
    if (q->max_tokens >= n_positions)
        return fail(E_LIMIT, "%s: request %d may take %d new tokens, and the model's window is %d", run->name, index,
                    q->max_tokens, n_positions);
    return OK;
}

/* Greedy decoding gives one answer however often it is asked. */
static bool samples(const struct helm_request *q)
{
    return q->temperature > 0;
}

static size_t n_sequences(const struct helm_request *q)
{
    return samples(q) ? (size_t)q->num_completions : 1;
}

static size_t room(const struct helm_request *q, int n_positions)
{
    return (size_t)(n_positions - q->max_tokens);
}

static enum status plan_request(struct helm_plan *p, struct helm_prompt *prompt, const struct helm_run *run, int index,
                                const struct gptjt_tokenizer *tokenizer, int n_positions)
{
    const struct helm_request *q = &run->requests[index];
    TRY(check_request(run, index, n_positions));
    TRY(helm_fit(prompt, run, q, tokenizer, room(q, n_positions)));
    const size_t needed = gptjt_tokens_needed(prompt->n_ids, n_sequences(q), (size_t)q->max_tokens);
    if (needed > p->session_tokens) p->session_tokens = needed;
    p->prompt_tokens[index] = prompt->n_ids;
    p->n_prompt_tokens += prompt->n_ids;
    p->n_new_tokens += n_sequences(q) * (uint64_t)q->max_tokens;
    p->n_cut[prompt->cut]++;
    return OK;
}

enum status helm_plan(struct helm_plan *out, const struct helm_run *run, const struct gptjt_tokenizer *tokenizer,
                      int n_positions)
{
    struct helm_plan p = {.prompt_tokens = calloc((size_t)run->n_requests, sizeof *p.prompt_tokens)};
    struct helm_prompt prompt = {0};
    enum status s = p.prompt_tokens ? OK : fail(E_NOMEM, "%s: out of memory", run->path);
    for (int i = 0; s == OK && i < run->n_requests; i++)
        s = plan_request(&p, &prompt, run, i, tokenizer, n_positions);
    helm_prompt_free(&prompt);
    if (s == OK)
        *out = p;
    else
        helm_plan_free(&p);
    return s;
}

void helm_plan_free(struct helm_plan *p)
{
    free(p->prompt_tokens);
    *p = (struct helm_plan){0};
}

struct helm_estimate helm_pace_estimate(const struct helm_pace *p, uint64_t n_requests, uint64_t n_prompt_tokens,
                                        uint64_t n_new_tokens)
{
    if (!p->n_prompt_tokens) return (struct helm_estimate){(double)NAN, (double)NAN};
    const double prompts_s = (p->prompt_s + p->score_s) / (double)p->n_prompt_tokens * (double)n_prompt_tokens;
    const double one_s = p->n_new_tokens ? p->new_s / (double)p->n_new_tokens : 0;
    return (struct helm_estimate){prompts_s + p->new_s / (double)p->n_requests * (double)n_requests,
                                  prompts_s + one_s * (double)n_new_tokens};
}

/* ---- Answers as HELM writes them ---- */

static json_t *token_text(const struct gptjt_tokenizer *t, int32_t id)
{
    char *bytes;
    size_t len;
    struct buf text = {0};
    if (gptjt_decode(t, &id, 1, &bytes, &len) ==
        GPTJT_OK) { /* a model's vocabulary may be larger than the tokenizer's */
        alphabet_encode(&text, bytes, len);
        gptjt_free(bytes);
    }
    json_t *value = json_stringn(text.data ? text.data : "", text.len);
    buf_free(&text);
    return value;
}

/* When the likeliest token is taken, it is the one that HELM lists as such. */
static json_t *token_json(const struct gptjt_tokenizer *t, int32_t id, double logprob, bool greedy)
{
    json_t *text = token_text(t, id), *top = json_object();
    if (greedy && text) json_object_set_new(top, json_string_value(text), json_real(logprob));
    return json_pack("{so sf so}", "text", text, "logprob", logprob, "top_logprobs", top);
}

static json_t *completion_json(const struct gptjt_tokenizer *t, const struct gptjt_completion *c, bool greedy)
{
    static const char *const reasons[] = {
        [GPTJT_FINISH_LENGTH] = "length", [GPTJT_FINISH_EOS] = "endoftext", [GPTJT_FINISH_STOP] = "stop"};
    json_t *tokens = json_array();
    double sum = 0;
    for (size_t i = 0; i < c->n_tokens; i++) {
        sum += (double)c->logprobs[i];
        json_array_append_new(tokens, token_json(t, c->tokens[i], (double)c->logprobs[i], greedy));
    }
    return json_pack("{ss% sf so s{ss}}", "text", c->text, c->text_len, "logprob", sum, "tokens", tokens,
                     "finish_reason", "reason", reasons[c->finish]);
}

/* What the whole batch took is what HELM has for models that it runs in batches. */
static json_t *result_json(const struct gptjt_tokenizer *t, const struct helm_request *q,
                           const struct gptjt_generation *g, double seconds, int batch)
{
    json_t *completions = json_array();
    for (int i = 0; i < q->num_completions; i++)
        json_array_append_new(completions, completion_json(t, &g->completions[i < g->n ? i : 0], !samples(q)));
    return json_pack("{sb s[] so sb sf si sf}", "success", 1, "embedding", "completions", completions, "cached", 0,
                     "request_time", 0.0, "batch_size", batch, "batch_request_time", seconds);
}

/* A request whose prompt was cut, as it was put. */
static json_t *cut_state(const struct helm_request *q, const char *text, size_t len, int n_shots)
{
    json_t *state = json_copy((json_t *)(uintptr_t)q->state);
    json_t *request = json_copy(json_object_get(q->state, "request"));
    json_object_set_new(request, "prompt", json_stringn(text, len));
    json_object_set_new(state, "request", request);
    json_object_set_new(state, "prompt_truncated", json_true());
    if (n_shots >= 0) json_object_set_new(state, "num_train_instances", json_integer(n_shots));
    return state;
}

/* ---- The part file ---- */

/* {"request": 3, "prompt_tokens": 393, "result": {...}} and, where they are known, "recorded": [log-probabilities] and
 * "cut": {"prompt": ..., "shots": ...} */
static enum status take_line(struct helm_runner *r, const json_t *line)
{
    int64_t index = -1, tokens = -1, shots = -1;
    TRY(json_get_int(line, r->part.path, "request", 0, r->run->n_requests - 1, &index));
    TRY(json_get_int(line, r->part.path, "prompt_tokens", 1, INT32_MAX, &tokens));
    json_t *result = json_object_get(line, "result"), *cut = json_object_get(line, "cut");
    const struct helm_text text = helm_text_of(cut, "prompt");
    if (index < 0 || tokens < 0 || r->answers[index].result || (cut && !text.data))
        return fail(E_FORMAT, "%s: a line that gptjt did not write; remove the file", r->part.path);
    TRY(helm_check_result(result, r->part.path));
    TRY(json_get_int(cut, r->part.path, "shots", -1, INT32_MAX, &shots));
    const json_t *recorded = json_object_get(line, "recorded");
    r->answers[index] = (struct helm_answer){.result = json_incref(result), .prompt_tokens = tokens};
    if (cut) r->answers[index].state = cut_state(&r->run->requests[index], text.data, text.len, (int)shots);
    if (json_is_array(recorded)) r->recorded[index] = json_incref((json_t *)(uintptr_t)recorded);
    r->tokens_done += r->plan->prompt_tokens[index];
    r->n_done++;
    return OK;
}

static enum status take_up(void *runner, const char *text, size_t len)
{
    struct helm_runner *r = runner;
    json_t *line;
    TRY(json_read_text(&line, text, len, r->part.path));
    const enum status s = take_line(r, line);
    json_decref(line);
    return s;
}

static enum status fingerprint(const struct helm_runner *r, uint64_t *hash)
{
    struct stat st;
    if (stat(r->run->path, &st)) return fail(E_IO, "%s: cannot be looked at again", r->run->path);
    char numbers[160];
    snprintf(numbers, sizeof numbers, "%d %d %d %" PRId64 " %" PRId64 " %" PRId64, r->run->n_requests,
             r->run->n_instances, r->compare, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
             (int64_t)st.st_mtim.tv_nsec);
    uint64_t h = part_file_hash(HASH_BEGIN, gptjt_version());
    h = part_file_hash(h, r->settings);
    h = part_file_hash(h, r->run->path);
    *hash = part_file_hash(h, numbers);
    return OK;
}

enum status helm_runner_open(struct helm_runner *r)
{
    const size_t n = (size_t)r->run->n_requests;
    r->batching = batching_for(r->engine);
    r->answers = calloc(n, sizeof *r->answers);
    r->recorded = calloc(n, sizeof(*r->recorded));
    if (!r->answers || !r->recorded) return fail(E_NOMEM, "%s: out of memory", r->run->path);
    if (!r->out_path) return OK;
    uint64_t hash;
    TRY(fingerprint(r, &hash));
    TRY(part_file_open(&r->part, r->out_path, hash));
    return part_file_resume(&r->part, take_up, r, &r->n_resumed);
}

static enum status write_line(struct helm_runner *r, int index, const struct helm_prompt *prompt)
{
    const struct helm_answer *a = &r->answers[index];
    json_t *line = json_pack("{si sI sO}", "request", index, "prompt_tokens", (json_int_t)a->prompt_tokens, "result",
                             a->result);
    if (r->recorded[index]) json_object_set(line, "recorded", r->recorded[index]);
    if (prompt->cut)
        json_object_set_new(
            line, "cut",
            json_pack("{ss% si}", "prompt", prompt->text.data, prompt->text.len, "shots", prompt->n_shots));
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(line);
    if (!text) return fail(E_NOMEM, "%s: no memory for a line", r->part.path);
    struct buf out = {0};
    buf_puts(&out, text);
    buf_puts(&out, "\n");
    free(text);
    const enum status s = part_file_write(&r->part, &out);
    buf_free(&out);
    return s;
}

/* ---- Questions ---- */

struct item {
    struct asking *asking;
    int index;
    struct helm_prompt prompt;
    struct gptjt_generation generation;
    bool begun;        /* its first token is there */
    int32_t *recorded; /* [n_recorded] the tokens of the recorded answer; owned */
    size_t n_recorded;
};

/* Requests that go through the model together. */
struct asking {
    struct helm_runner *r;
    struct item *items; /* [n] */
    int n, n_begun;
    uint64_t n_prompt_tokens, through; /* of all of them; how many of these are done */
    int64_t start_ns, begun_ns;        /* begun_ns: when every answer had its first token */
    double prompt_s, new_s, score_s;
    bool scoring;
};

static enum status asked(const struct asking *a, enum gptjt_status s)
{
    if (s == GPTJT_OK) return OK;
    return fail((enum status)s, "%s: request %d%s: %s", a->r->run->name, a->items[0].index,
                a->n > 1 ? " or one of those after it" : "", gptjt_error());
}

static bool go_on(const struct asking *a)
{
    const struct helm_runner *r = a->r;
    return !r->progress || r->progress(r->user, r->tokens_done + a->through);
}

/* Answers and the scoring of recorded ones are a half each of the work. */
static bool on_session(void *user, size_t done, size_t total)
{
    struct asking *a = user;
    double share = total ? (double)done / (double)total : 0;
    if (a->r->compare) share = (share + a->scoring) / 2;
    a->through = (uint64_t)(share * (double)a->n_prompt_tokens);
    return go_on(a);
}

static bool on_token(void *user, const struct gptjt_token *t)
{
    (void)t;
    struct item *item = user;
    struct asking *a = item->asking;
    if (!item->begun && ++a->n_begun == a->n) a->begun_ns = clock_ns();
    item->begun = true;
    return go_on(a);
}

static void make_request(struct gptjt_generate_request *out, struct item *item, const struct helm_request *q)
{
    gptjt_generate_init(out);
    out->prompt = item->prompt.ids;
    out->n_prompt = item->prompt.n_ids;
    out->max_new_tokens = q->max_tokens;
    out->num_return_sequences = (int)n_sequences(q);
    out->do_sample = samples(q);
    out->temperature = samples(q) ? q->temperature : 1;
    out->top_p = q->top_p;
    out->seed = (uint64_t)item->index + 1;
    out->stop = q->stop;
    out->n_stop = q->n_stop;
    out->on_token = on_token;
    out->user = item;
}

static enum status generate(struct asking *a)
{
    struct gptjt_generate_request *requests = calloc((size_t)a->n, sizeof *requests);
    struct gptjt_generation *out = calloc((size_t)a->n, sizeof *out);
    enum status s = requests && out ? OK : fail(E_NOMEM, "out of memory");
    if (s == OK) {
        for (int i = 0; i < a->n; i++)
            make_request(&requests[i], &a->items[i], &a->r->run->requests[a->items[i].index]);
        a->start_ns = clock_ns();
        s = asked(a, gptjt_generate_many(a->r->session, requests, (size_t)a->n, out));
        const int64_t end = clock_ns(), begun = a->n_begun == a->n ? a->begun_ns : end;
        a->prompt_s = clock_seconds(a->start_ns, begun);
        a->new_s = clock_seconds(begun, end);
    }
    for (int i = 0; s == OK && i < a->n; i++)
        a->items[i].generation = out[i];
    free(requests);
    free(out);
    return s;
}

/* ---- Recorded answers ---- */

/* The id of a token that the file has as text, -1 when it is no token here. */
static enum status token_id(int32_t *id, const struct gptjt_tokenizer *t, struct helm_text text)
{
    struct buf bytes = {0};
    int32_t *ids;
    size_t n;
    *id = -1;
    enum status s = OK;
    if (alphabet_decode(&bytes, text.data, text.len) && bytes.len) {
        const enum gptjt_status e = gptjt_encode(t, bytes.data, bytes.len, true, &ids, &n);
        if (e != GPTJT_OK) s = fail((enum status)e, "a recorded token: %s", gptjt_error());
        if (s == OK && n == 1) *id = ids[0];
        if (s == OK) gptjt_free(ids);
    }
    if (s == OK) s = buf_status(&bytes);
    buf_free(&bytes);
    return s;
}

/* Only a prompt that was put as it was recorded can be compared, and only tokens that the model has. */
static enum status find_recorded(struct item *item, const struct gptjt_tokenizer *t, const struct helm_request *q,
                                 int n_positions)
{
    const json_t *first = json_array_get(json_object_get(q->result, "completions"), 0);
    const json_t *tokens = json_object_get(first, "tokens");
    const size_t n = json_array_size(tokens);
    if (!n || item->prompt.cut || item->prompt.n_ids + n > (size_t)n_positions) return OK;
    item->recorded = calloc(n, sizeof *item->recorded);
    if (!item->recorded) return fail(E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        TRY(token_id(&item->recorded[i], t, helm_text_of(json_array_get(tokens, i), "text")));
        if (item->recorded[i] < 0) return OK;
    }
    item->n_recorded = n;
    return OK;
}

static void keep_scores(struct asking *a, const struct gptjt_score *scores)
{
    for (int i = 0; i < a->n; i++) {
        if (!a->items[i].n_recorded) continue;
        json_t *list = json_array();
        for (size_t k = 0; k < scores->n; k++)
            json_array_append_new(list, json_real((double)scores->logprobs[k]));
        a->r->recorded[a->items[i].index] = list;
        scores++;
    }
}

static enum status score(struct asking *a)
{
    struct gptjt_score_request *requests = calloc((size_t)a->n, sizeof *requests);
    struct gptjt_span *spans = calloc((size_t)a->n, sizeof *spans);
    struct gptjt_score *scores = calloc((size_t)a->n, sizeof *scores);
    enum status s = requests && spans && scores ? OK : fail(E_NOMEM, "out of memory");
    size_t n = 0;
    for (int i = 0; s == OK && i < a->n; i++) {
        const struct item *item = &a->items[i];
        if (!item->n_recorded) continue;
        spans[n] = (struct gptjt_span){item->recorded, item->n_recorded};
        requests[n] = (struct gptjt_score_request){
            .prompt = {item->prompt.ids, item->prompt.n_ids}, .continuations = &spans[n], .n = 1};
        n++;
    }
    const int64_t start = clock_ns();
    a->scoring = true;
    if (s == OK && n) s = asked(a, gptjt_score_many(a->r->session, requests, n, scores));
    a->score_s = clock_seconds(start, clock_ns());
    if (s == OK) keep_scores(a, scores);
    if (s == OK) gptjt_scores_free(scores, n);
    free(requests);
    free(spans);
    free(scores);
    return s;
}

/* ---- Batches ---- */

static enum status keep(struct asking *a, const struct item *item)
{
    struct helm_runner *r = a->r;
    const struct helm_request *q = &r->run->requests[item->index];
    const struct helm_prompt *p = &item->prompt;
    json_t *result = result_json(gptjt_engine_tokenizer(r->engine), q, &item->generation, a->prompt_s + a->new_s, a->n);
    if (!result) return fail(E_NOMEM, "%s: no memory for an answer", r->run->path);
    r->answers[item->index] = (struct helm_answer){.result = result, .prompt_tokens = (int64_t)p->n_ids};
    if (p->cut) r->answers[item->index].state = cut_state(q, p->text.data, p->text.len, p->n_shots);
    r->tokens_done += r->plan->prompt_tokens[item->index];
    r->n_done++;
    return r->out_path ? write_line(r, item->index, p) : OK;
}

static void add_pace(struct helm_pace *p, const struct asking *a)
{
    p->n_batches++;
    p->n_requests += (uint64_t)a->n;
    p->n_prompt_tokens += a->n_prompt_tokens;
    p->prompt_s += a->prompt_s;
    p->new_s += a->new_s;
    p->score_s += a->score_s;
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < a->items[i].generation.n; k++)
            p->n_new_tokens += a->items[i].generation.completions[k].n_tokens;
}

static enum status prepare(struct asking *a)
{
    const struct helm_runner *r = a->r;
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(r->engine);
    struct gptjt_info info;
    gptjt_engine_info(r->engine, &info);
    for (int i = 0; i < a->n; i++) {
        struct item *item = &a->items[i];
        const struct helm_request *q = &r->run->requests[item->index];
        TRY(helm_fit(&item->prompt, r->run, q, t, room(q, info.n_positions)));
        if (r->compare) TRY(find_recorded(item, t, q, info.n_positions));
        a->n_prompt_tokens += item->prompt.n_ids;
    }
    return OK;
}

static enum status ask(struct asking *a)
{
    struct helm_runner *r = a->r;
    TRY(prepare(a));
    gptjt_session_set_progress(r->session, on_session, a);
    enum status s = generate(a);
    if (s == OK && r->compare) s = score(a);
    gptjt_session_set_progress(r->session, NULL, NULL);
    TRY(s);
    for (int i = 0; i < a->n; i++)
        TRY(keep(a, &a->items[i]));
    add_pace(&r->pace, a);
    return OK;
}

static void free_items(struct item *items, int n)
{
    for (int i = 0; i < n; i++) {
        helm_prompt_free(&items[i].prompt);
        gptjt_generation_free(&items[i].generation);
        free(items[i].recorded);
    }
    free(items);
}

/* The next requests without an answer, n >= 1 of them at most. */
static enum status ask_next(struct helm_runner *r, int n)
{
    struct asking a = {.r = r, .items = calloc((size_t)n, sizeof *a.items)};
    if (!a.items) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < r->run->n_requests && a.n < n; i++)
        if (!r->answers[i].result) a.items[a.n++] = (struct item){.asking = &a, .index = i};
    const enum status s = ask(&a);
    free_items(a.items, a.n);
    return s;
}

enum status helm_runner_run(struct helm_runner *r, int n_requests)
{
    const int left = r->run->n_requests - r->n_done, end = r->n_done + (n_requests < left ? n_requests : left);
    while (r->n_done < end) {
        if (r->progress && !r->progress(r->user, r->tokens_done))
            return fail(E_CANCELLED, "stopped after %d of %d requests", r->n_done, r->run->n_requests);
        TRY(ask_next(r, batching_next(&r->batching, (size_t)(end - r->n_done))));
    }
    return OK;
}

void helm_runner_free(struct helm_runner *r)
{
    for (int i = 0; r->answers && i < r->run->n_requests; i++) {
        json_decref((json_t *)(uintptr_t)r->answers[i].result);
        json_decref((json_t *)(uintptr_t)r->answers[i].state);
    }
    for (int i = 0; r->recorded && i < r->run->n_requests; i++)
        json_decref(r->recorded[i]);
    free(r->answers);
    free(r->recorded);
    part_file_close(&r->part);
    r->answers = NULL;
    r->recorded = NULL;
}

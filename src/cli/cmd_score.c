// SPDX-License-Identifier: Apache-2.0
/* gptjt score: how likely the model finds a continuation. Prompt and continuation are tokenised separately and their
 * ids put one after the other, so that a token never straddles the seam; a continuation usually begins with a space. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/jsonl.h"
#include "cli/prompt.h"
#include "cli/shared.h"
#include "eval/batching.h"

struct settings {
    struct common common;
    const char *prompt, *continuation;         /* text  */
    const char *prompt_ids, *continuation_ids; /* N,N,... */
    const char *input;
    bool json, added_tokens;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .added_tokens = true};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "prompt",
     .letter = 'p',
     .type = OPTION_STRING,
     FIELD(prompt),
     .meta = "TEXT",
     .help = "what comes before"},
    {.name = "continuation",
     .letter = 'c',
     .type = OPTION_STRING,
     FIELD(continuation),
     .meta = "TEXT",
     .help = "what is scored"},
    {.name = "prompt-ids",
     .type = OPTION_STRING,
     FIELD(prompt_ids),
     .meta = "N,N,...",
     .help = "the prompt as token ids"},
    {.name = "continuation-ids",
     .type = OPTION_STRING,
     FIELD(continuation_ids),
     .meta = "N,N,...",
     .help = "the continuation as token ids"},
    {.name = "input",
     .letter = 'i',
     .type = OPTION_STRING,
     FIELD(input),
     .meta = "FILE",
     .help = "score every line, {\"prompt\": ..., \"continuation\": ...} or {\"prompt_ids\": [...], "
             "\"continuation_ids\": [...]}, and print one JSON object a line; - is standard input"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print one object instead of a table"},
    {.name = "added-tokens",
     .type = OPTION_FLAG,
     FIELD(added_tokens),
     .help = "match added tokens such as <|endoftext|> in the text; with --no-added-tokens they are ordinary text"},
    COMMON_ENGINE_OPTIONS,
    COMMON_RANKS_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* One side of a pair, from text or from ids. */
struct side {
    const char *name;
    int32_t *ids; /* [n], owned: gptjt_free() if encoded, else free() */
    size_t n;
    bool encoded;
};

struct pair {
    struct side prompt, continuation;
};

static const struct pair empty_pair = {.prompt = {.name = "prompt"}, .continuation = {.name = "continuation"}};

static void side_free(struct side *s)
{
    if (s->encoded)
        gptjt_free(s->ids);
    else
        free(s->ids);
}

static void pair_free(struct pair *p)
{
    side_free(&p->prompt);
    side_free(&p->continuation);
    *p = empty_pair;
}

struct job {
    const struct settings *set;
    struct cli_model model;
    struct gptjt_session *session;
};

static enum status side_encode(struct side *side, const struct job *j, const char *text, size_t len)
{
    const struct gptjt_tokenizer *t;
    TRY(cli_tokenizer(&t, &j->model, "ids"));
    TRY(cli_status(gptjt_encode(t, text, len, j->set->added_tokens, &side->ids, &side->n)));
    side->encoded = true;
    return OK;
}

static enum status side_check(const struct side *side, const struct job *j)
{
    if (!side->n) return fail(E_ARG, "the %s is empty", side->name);
    return cli_check_ids(&j->model, side->name, side->ids, side->n);
}

static enum status pair_check(const struct pair *p, const struct job *j)
{
    TRY(side_check(&p->prompt, j));
    TRY(side_check(&p->continuation, j));
    const size_t window = (size_t)j->model.info.n_positions;
    if (p->prompt.n + p->continuation.n <= window) return OK;
    return fail(E_LIMIT, "a prompt of %zu tokens and a continuation of %zu do not fit in the window of %zu",
                p->prompt.n, p->continuation.n, window);
}

static enum status score(const struct job *j, const struct pair *p, struct gptjt_score *out)
{
    const struct gptjt_span prompt = {p->prompt.ids, p->prompt.n}, after = {p->continuation.ids, p->continuation.n};
    return cli_status(gptjt_score(j->session, prompt, GPTJT_MASK_AUTO, &after, 1, out));
}

/* The members every result has, on the command line and in files. */
static json_t *score_json(const struct job *j, const struct pair *p, const struct gptjt_score *r)
{
    const struct side *c = &p->continuation;
    return json_pack("{s:o, s:b, s:I, s:o, s:o, s:o}", "log_likelihood", cli_json_number(r->total), "greedy",
                     (int)r->greedy, "prompt_tokens", (json_int_t)p->prompt.n, "tokens", cli_json_ids(c->ids, c->n),
                     "texts", cli_json_tokens(gptjt_engine_tokenizer(j->model.engine), c->ids, c->n), "logprobs",
                     cli_json_numbers(r->logprobs, r->n));
}

static enum status print_one_json(const struct job *j, const struct pair *p, const struct gptjt_score *r)
{
    json_t *object = json_pack("{s:s, s:s}", "model", j->model.name, "prompt_mask", cli_mask_name(&j->model));
    json_t *scores = score_json(j, p, r);
    if (object && (!scores || json_object_update(object, scores))) {
        json_decref(object);
        object = NULL;
    }
    json_decref(scores);
    return cli_json_print(object);
}

/* The text of a token in quotes, control characters escaped as JSON does, so that the table stays a table. */
static void print_quoted(const struct gptjt_tokenizer *t, int32_t id)
{
    json_t *text = cli_json_tokens(t, &id, 1);
    if (json_is_array(text)) json_dumpf(json_array_get(text, 0), stdout, JSON_ENCODE_ANY);
    json_decref(text);
}

static void print_table(const struct job *j, const struct pair *p, const struct gptjt_score *r)
{
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(j->model.engine);
    printf("log-likelihood  %.6f\ngreedy          %s\n\n%8s  %12s  %s\n", r->total, r->greedy ? "yes" : "no", "id",
           "log-prob", t ? "text" : "");
    for (size_t i = 0; i < r->n; i++) {
        printf("%8d  %12.6f  ", p->continuation.ids[i], (double)r->logprobs[i]);
        if (t) print_quoted(t, p->continuation.ids[i]);
        putchar('\n');
    }
}

static enum status side_from_option(struct side *side, const struct job *j, const char *text, const char *ids)
{
    char what[32];
    snprintf(what, sizeof what, "--%s-ids", side->name);
    if (ids) return prompt_parse_ids(ids, what, &side->ids, &side->n);
    return side_encode(side, j, text, strlen(text));
}

static enum status score_options(const struct job *j)
{
    const struct settings *set = j->set;
    struct pair p = empty_pair;
    struct gptjt_score r = {0};
    enum status s = side_from_option(&p.prompt, j, set->prompt, set->prompt_ids);
    if (s == OK) s = side_from_option(&p.continuation, j, set->continuation, set->continuation_ids);
    if (s == OK) s = pair_check(&p, j);
    if (s != OK) goto free_pair;
    cli_mask_note(&j->model, &set->common);
    s = score(j, &p, &r);
    if (s != OK) goto free_pair;
    if (set->json)
        s = print_one_json(j, &p, &r);
    else
        print_table(j, &p, &r);
    gptjt_scores_free(&r, 1);
free_pair:
    pair_free(&p);
    return s;
}

static enum status check_members(const json_t *object)
{
    static const char *const names[] = {"prompt", "prompt_ids", "continuation", "continuation_ids"};
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(names); i++)
            known |= !strcmp(names[i], key);
        if (known) continue;
        const char *near = options_nearest(key, names, COUNT_OF(names));
        return fail(E_FORMAT, "unknown field \"%.60s\"%s%s%s", key, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
    }
    return OK;
}

static enum status side_from_json(struct side *side, const struct job *j, const json_t *object)
{
    char ids_key[32];
    snprintf(ids_key, sizeof ids_key, "%s_ids", side->name);
    const json_t *text = json_object_get(object, side->name), *ids = json_object_get(object, ids_key);
    if (!text == !ids) return fail(E_FORMAT, "give \"%s\" or \"%s\", and not both", side->name, ids_key);
    if (ids) return jsonl_ids(&side->ids, &side->n, ids, ids_key);
    if (!json_is_string(text)) return fail(E_FORMAT, "\"%s\" is not a string", side->name);
    return side_encode(side, j, json_string_value(text), json_string_length(text));
}

/* ---- Lines of a file, some at a time ---- */

enum { GROUP = BATCHING_MOST };

/* Pairs that go through the model together: as many as make a window's worth of tokens, so that results do not keep
 * one waiting for longer than twice the longest prompt would; of that, two for each rank where several share them
 * (eval/batching.h). Of a pipe each line is answered before the next is read, since whoever writes it may want to see
 * that first. */
struct group {
    const struct job *job;
    struct jsonl lines;
    struct pair pairs[GROUP];
    char where[GROUP][sizeof((struct jsonl){0}.where)];
    size_t n, n_tokens, most;
};

static bool group_full(const struct group *g)
{
    const struct gptjt_info *info = &g->job->model.info;
    const size_t share = info->n_ranks > 1 ? 2 * (size_t)info->n_ranks : 1;
    const bool pipe = g->lines.n_lines == 0;
    return g->n == g->most || g->n_tokens >= (pipe ? 1 : share * (size_t)info->n_positions);
}

static enum status score_pairs(const struct group *g, size_t first, size_t n, struct gptjt_score *scores)
{
    struct gptjt_score_request requests[GROUP];
    struct gptjt_span after[GROUP];
    for (size_t i = 0; i < n; i++) {
        const struct pair *p = &g->pairs[first + i];
        after[i] = (struct gptjt_span){p->continuation.ids, p->continuation.n};
        requests[i] = (struct gptjt_score_request){{p->prompt.ids, p->prompt.n}, GPTJT_MASK_AUTO, &after[i], 1};
    }
    return cli_status(gptjt_score_many(g->job->session, requests, n, scores));
}

static enum status print_pairs(const struct group *g, size_t first, size_t n, struct gptjt_score *scores)
{
    enum status s = OK;
    for (size_t i = 0; s == OK && i < n; i++)
        s = cli_json_print(score_json(g->job, &g->pairs[first + i], &scores[i]));
    gptjt_scores_free(scores, n);
    return s;
}

/* Each alone, so that the lines before one that fails get their results, and it is named. */
static enum status score_singly(const struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct gptjt_score score;
        const enum status s = score_pairs(g, i, 1, &score);
        if (s != OK) return fail(s, "%s: %s", g->where[i], status_message());
        TRY(print_pairs(g, i, 1, &score));
    }
    return OK;
}

/* Scores and prints what has been gathered. */
static enum status group_flush(struct group *g)
{
    struct gptjt_score scores[GROUP];
    const bool together = score_pairs(g, 0, g->n, scores) == OK;
    const enum status s = together ? print_pairs(g, 0, g->n, scores) : score_singly(g);
    for (size_t i = 0; i < g->n; i++)
        pair_free(&g->pairs[i]);
    g->n = g->n_tokens = 0;
    return s;
}

/* Takes the pair of the line just read. */
static enum status group_add(struct group *g, const json_t *object)
{
    struct pair *p = &g->pairs[g->n];
    *p = empty_pair;
    enum status s = check_members(object);
    if (s == OK) s = side_from_json(&p->prompt, g->job, object);
    if (s == OK) s = side_from_json(&p->continuation, g->job, object);
    if (s == OK) s = pair_check(p, g->job);
    if (s != OK) {
        pair_free(p);
        return jsonl_fail(&g->lines, s);
    }
    memcpy(g->where[g->n], g->lines.where, sizeof g->lines.where);
    g->n_tokens += p->prompt.n + p->continuation.n;
    g->n++;
    return OK;
}

/* Reads lines until the group is full or there are no more. */
static enum status group_read(struct group *g)
{
    json_t *object = NULL;
    do {
        TRY(jsonl_next(&g->lines, &object));
        if (!object) break;
        const enum status s = group_add(g, object);
        json_decref(object);
        TRY(s);
    } while (!group_full(g));
    return OK;
}

static enum status score_lines(const struct job *j)
{
    struct group *g = calloc(1, sizeof *g);
    if (!g) return fail(E_NOMEM, "score: out of memory");
    g->job = j;
    g->most = (size_t)batching_for(j->model.engine).most;
    enum status s = jsonl_open(&g->lines, j->set->input);
    if (s != OK) goto free_group;
    cli_mask_note(&j->model, &j->set->common);
    struct progress bar;
    /* On a terminal the results themselves show how far it is, and a bar would be in their way. */
    progress_begin(&bar, "score", "lines", g->lines.n_lines, j->set->common.quiet || isatty(STDOUT_FILENO));
    for (bool more = true; s == OK && more;) {
        const enum status read = group_read(g);
        more = g->n > 0;
        char message[1024]; /* of a bad line, which is said after the results of those before it */
        snprintf(message, sizeof message, "%s", status_message());
        s = group_flush(g);
        if (s == OK && read != OK) s = fail(read, "%s", message);
        progress_update(&bar, g->lines.line_number);
    }
    progress_end(&bar);
    jsonl_close(&g->lines);
free_group:
    free(g);
    return s;
}

static enum status check_settings(const struct settings *s)
{
    const bool any = s->prompt || s->prompt_ids || s->continuation || s->continuation_ids;
    if (s->input && any) return fail(E_ARG, "-i brings its own prompts and continuations; give only one of the two");
    if (s->input && s->json) return fail(E_ARG, "-i always prints JSON, one object a line; leave --json out");
    if (s->input) return OK;
    if (s->prompt && s->prompt_ids) return fail(E_ARG, "give --prompt or --prompt-ids, not both");
    if (s->continuation && s->continuation_ids)
        return fail(E_ARG, "give --continuation or --continuation-ids, not both");
    if (!s->prompt && !s->prompt_ids) return fail(E_ARG, "no prompt: give --prompt, --prompt-ids or -i FILE");
    if (!s->continuation && !s->continuation_ids)
        return fail(E_ARG, "no continuation: give --continuation or --continuation-ids");
    return OK;
}

static enum status run_shared(void *settings)
{
    struct job j = {.set = settings};
    TRY(check_settings(j.set));
    TRY(cli_model_open(&j.model, &j.set->common));
    enum status s = cli_status(gptjt_session_create(&j.session, j.model.engine, 0));
    if (s != OK) goto close_model;
    struct cli_watch watch = {.label = "score", .quiet = j.set->common.quiet};
    if (!j.set->input) cli_watch(j.session, &watch);
    s = j.set->input ? score_lines(&j) : score_options(&j);
    gptjt_session_close(j.session);
close_model:
    cli_model_close(&j.model);
    return s;
}

static enum status run(void *settings, const struct option_args *args)
{
    (void)args;
    return shared_run(run_shared, settings);
}

const struct command command_score = {
    .name = "score",
    .summary = "tell how likely a continuation is",
    .usage = "[-m MODEL] (-p TEXT -c TEXT | -i FILE.jsonl) [options]",
    .about =
        "Prints the log-likelihood of a continuation after a prompt, of each of its tokens, and whether greedy\n"
        "decoding would have said it. Prompt and continuation are tokenised separately and concatenated, so begin\n"
        "the continuation with the space that stands between them.",
    .examples = "  gptjt score -p $'Country: India\\nCurrency:' -c ' Indian Rupee'\n"
                "  gptjt score --prompt-ids 1,2,3 --continuation-ids 4,5 --json\n"
                "  gptjt score -i pairs.jsonl > scores.jsonl\n"
                "  mpirun -n 4 gptjt score -i pairs.jsonl --pipeline-stages 2 > scores.jsonl",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .run = run,
};

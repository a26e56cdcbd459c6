// SPDX-License-Identifier: Apache-2.0
/* gptjt generate: continues a prompt. The options carry the names and meanings they have in transformers'
 * text-generation pipeline; those of its options that we do not have are refused by name, never ignored. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/prompt.h"

enum { TRUNCATE_NONE, TRUNCATE_LEFT };

struct settings {
    struct common common;
    struct prompt_options prompt;
    int64_t max_new_tokens;
    bool do_sample;
    double temperature;
    int64_t top_k;
    double top_p, typical_p, repetition_penalty, presence_penalty, frequency_penalty;
    struct option_strings logit_bias;
    int64_t num_return_sequences;
    struct option_strings stop;
    uint64_t seed;
    bool hf_defaults;
    int truncate;
    bool return_full_text, json, added_tokens, stream, timings;
};

static const struct settings defaults = {
    .common = COMMON_DEFAULTS,
    .max_new_tokens = 20,
    .temperature = 1,
    .top_k = 50,
    .top_p = 1,
    .typical_p = 1,
    .repetition_penalty = 1,
    .num_return_sequences = 1,
    .added_tokens = true,
    .stream = true,
};

#define FIELD(name) .offset = offsetof(struct settings, name)
#define REFUSED(name_, reason)                                                                                         \
    {                                                                                                                  \
        .name = name_, .type = OPTION_REFUSED, .help = reason                                                          \
    }
#define NO_BEAMS "there is no beam search; decoding is greedy or sampled"

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    PROMPT_OPTIONS(struct settings, prompt),
    {.name = "max-new-tokens",
     .type = OPTION_INT,
     FIELD(max_new_tokens),
     .max = INT32_MAX,
     .meta = "N",
     .help = "how many tokens to add at most"},
    {.name = "do-sample",
     .type = OPTION_FLAG,
     FIELD(do_sample),
     .help = "draw tokens at random instead of taking the likeliest; a --temperature above 0 implies it"},
    {.name = "temperature",
     .type = OPTION_NUMBER,
     FIELD(temperature),
     .max = 1e6,
     .meta = "X",
     .help = "logits are divided by it before sampling; 0 is greedy"},
    {.name = "top-k",
     .type = OPTION_INT,
     FIELD(top_k),
     .max = INT32_MAX,
     .meta = "N",
     .help = "sample among the N likeliest tokens only; 0: among all"},
    {.name = "top-p",
     .type = OPTION_NUMBER,
     FIELD(top_p),
     .max = 1,
     .meta = "X",
     .help = "sample among the likeliest tokens that together have this probability; 1: among all"},
    {.name = "typical-p",
     .type = OPTION_NUMBER,
     FIELD(typical_p),
     .max = 1,
     .meta = "X",
     .help = "sample among the tokens nearest to the expected surprise that together have this probability; 1: all"},
    {.name = "repetition-penalty",
     .type = OPTION_NUMBER,
     FIELD(repetition_penalty),
     .max = 1e6,
     .meta = "X",
     .help = "makes tokens already in prompt or text less likely if above 1; also when greedy"},
    {.name = "presence-penalty",
     .type = OPTION_NUMBER,
     FIELD(presence_penalty),
     .min = -1e6,
     .max = 1e6,
     .meta = "X",
     .help = "subtracted from the logits of tokens already in the text; also when greedy"},
    {.name = "frequency-penalty",
     .type = OPTION_NUMBER,
     FIELD(frequency_penalty),
     .min = -1e6,
     .max = 1e6,
     .meta = "X",
     .help = "the same, once for each time that a token is in the text"},
    {.name = "logit-bias",
     .type = OPTION_STRINGS,
     FIELD(logit_bias),
     .meta = "ID=X",
     .help = "add X to the logit of token ID: -100 bans it, 100 forces it; may be given several times"},
    {.name = "num-return-sequences",
     .type = OPTION_INT,
     FIELD(num_return_sequences),
     .min = 1,
     .max = 1024,
     .meta = "N",
     .help = "how many continuations to sample"},
    {.name = "stop",
     .type = OPTION_STRINGS,
     FIELD(stop),
     .meta = "TEXT",
     .help = "end before this text; may be given several times"},
    {.name = "seed",
     .type = OPTION_SEED,
     FIELD(seed),
     .meta = "N",
     .help = "of the random numbers; same seed, same text (default: a fresh one, shown by --json)"},
    {.name = "hf-defaults",
     .type = OPTION_FLAG,
     FIELD(hf_defaults),
     .help = "start from the generation settings in the model's files, as transformers does"},
    {.name = "truncate",
     .type = OPTION_CHOICE,
     FIELD(truncate),
     .choices = "none|left",
     .help = "what to do with a prompt too long for the model's window: none, refuse it; left, drop its beginning"},
    {.name = "return-full-text",
     .type = OPTION_FLAG,
     FIELD(return_full_text),
     .help = "print the prompt in front of each continuation"},
    {.name = "added-tokens",
     .type = OPTION_FLAG,
     FIELD(added_tokens),
     .help = "match added tokens such as <|endoftext|> in the prompt; with --no-added-tokens they are ordinary text"},
    {.name = "stream",
     .type = OPTION_FLAG,
     FIELD(stream),
     .help = "print a single continuation while it is made; with --no-stream when it is complete"},
    {.name = "json",
     .type = OPTION_FLAG,
     FIELD(json),
     .help = "print one object: text, tokens, log-probabilities, why it ended, seed and timings"},
    {.name = "timings",
     .type = OPTION_FLAG,
     FIELD(timings),
     .help = "print how long prompt and continuation took on stderr"},
    COMMON_ENGINE_OPTIONS,
    COMMON_LOG_OPTIONS,
    REFUSED("max-length", "it counts the prompt in; use --max-new-tokens"),
    REFUSED("min-length", "a minimum length is not built; use --max-new-tokens and --stop"),
    REFUSED("min-new-tokens", "a minimum length is not built; use --max-new-tokens and --stop"),
    REFUSED("max-time", "output that depends on the machine's speed cannot be repeated; use --max-new-tokens"),
    REFUSED("prefix", "write the text at the beginning of the prompt; for the prompt's mask use --prompt-mask"),
    REFUSED("num-beams", NO_BEAMS),
    REFUSED("num-beam-groups", NO_BEAMS),
    REFUSED("diversity-penalty", NO_BEAMS),
    REFUSED("length-penalty", NO_BEAMS),
    REFUSED("early-stopping", NO_BEAMS),
    REFUSED("penalty-alpha", "contrastive search is not built; decoding is greedy or sampled"),
    REFUSED("no-repeat-ngram-size", "not built; use --repetition-penalty"),
    REFUSED("encoder-repetition-penalty", "the model has no encoder; use --repetition-penalty"),
    REFUSED("epsilon-cutoff", "not built; use --top-p, --top-k or --typical-p"),
    REFUSED("eta-cutoff", "not built; use --top-p, --top-k or --typical-p"),
    REFUSED("bad-words-ids", "choosing words by hand is not built; single tokens: --logit-bias ID=-100"),
    REFUSED("force-words-ids", "choosing words by hand is not built; single tokens: --logit-bias ID=100"),
    REFUSED("sequence-bias", "of several tokens it is not built; of single ones: --logit-bias ID=X"),
    REFUSED("guidance-scale", "classifier-free guidance is not built"),
    {0},
};

/* One run of the command; job_close() takes it in any state. */
struct job {
    struct settings set; /* with the model's defaults where they were asked for */
    option_given given;
    struct prompt prompt;
    const char *shown_prompt; /* [shown_prompt_len] what --return-full-text prints */
    size_t shown_prompt_len;
    char *decoded_prompt; /* owned */
    struct cli_model model;
    const struct gptjt_tokenizer *tokenizer; /* NULL: none */
    struct gptjt_session *session;
    struct gptjt_bias *logit_bias; /* [set.logit_bias.n] owned */
    struct cli_watch watch;        /* of the prompt's pass */
    struct gptjt_generate_request request;
    struct gptjt_generation result;
    size_t streamed; /* bytes of text */
};

static void job_close(struct job *j)
{
    gptjt_generation_free(&j->result);
    gptjt_session_close(j->session);
    cli_model_close(&j->model);
    gptjt_free(j->decoded_prompt);
    free(j->logit_bias);
    prompt_free(&j->prompt);
}

static bool given(const struct job *j, const char *name)
{
    return options_given(options, j->given, name);
}

/* What can be said about the settings without a model. */
static enum status check_settings(const struct settings *s)
{
    if (s->top_p <= 0) return fail(E_ARG, "--top-p is %g, not above 0 and at most 1", s->top_p);
    if (s->typical_p <= 0) return fail(E_ARG, "--typical-p is %g, not above 0 and at most 1", s->typical_p);
    if (s->repetition_penalty <= 0)
        return fail(E_ARG, "--repetition-penalty is %g, not above 0", s->repetition_penalty);
    if (s->seed > INT64_MAX) return fail(E_ARG, "--seed is %" PRIu64 ", not below 2^63", s->seed);
    for (int i = 0; i < s->stop.n; i++)
        if (!*s->stop.items[i]) return fail(E_ARG, "--stop is empty, which would stop everything");
    return OK;
}

/* ID=X of each --logit-bias. */
static enum status read_logit_bias(struct job *j)
{
    const struct option_strings *texts = &j->set.logit_bias;
    j->logit_bias = calloc((size_t)texts->n + 1, sizeof *j->logit_bias);
    if (!j->logit_bias) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < texts->n; i++) {
        const char *text = texts->items[i];
        char *equals, *end;
        const long id = strtol(text, &equals, 10);
        const double bias = *equals == '=' ? strtod(equals + 1, &end) : NAN;
        if (equals == text || *equals != '=' || end == equals + 1 || *end || id < 0 || id > INT32_MAX ||
            !(fabs(bias) <= 1e6))
            return fail(E_ARG, "--logit-bias is %.40s, not a token id, = and a number within -1000000..1000000", text);
        j->logit_bias[i] = (struct gptjt_bias){(int32_t)id, (float)bias};
    }
    return OK;
}

/* The model's own settings take the place of our defaults, not of what the user gave. */
static void apply_hf_defaults(struct job *j)
{
    const struct gptjt_hf_defaults *hf = &j->model.info.hf_defaults;
    struct settings *s = &j->set;
    if (!hf->present) {
        log_line(LOG_WARN, "--hf-defaults: %s has no generation settings in its files", j->model.name);
        return;
    }
    if (!given(j, "do-sample")) s->do_sample = hf->do_sample;
    if (!given(j, "temperature")) s->temperature = hf->temperature;
    if (!given(j, "top-k")) s->top_k = hf->top_k;
    if (!given(j, "top-p")) s->top_p = hf->top_p;
    if (!given(j, "repetition-penalty")) s->repetition_penalty = hf->repetition_penalty;
    if (!given(j, "max-new-tokens") && hf->max_new_tokens) s->max_new_tokens = hf->max_new_tokens;
}

/* The model's max_length counts the prompt, so it can only be applied once the prompt's length is known. */
static enum status apply_hf_length(struct job *j)
{
    const struct gptjt_hf_defaults *hf = &j->model.info.hf_defaults;
    if (!j->set.hf_defaults || !hf->present || given(j, "max-new-tokens") || hf->max_new_tokens || !hf->max_length)
        return OK;
    const int64_t left = hf->max_length - (int64_t)j->prompt.n_ids;
    if (left < 1)
        return fail(
            E_LIMIT,
            "the prompt has %zu tokens, and the model's own max_length of %d includes it; give --max-new-tokens",
            j->prompt.n_ids, hf->max_length);
    j->set.max_new_tokens = left;
    return OK;
}

static enum status decide_sampling(struct job *j)
{
    struct settings *s = &j->set;
    if (given(j, "temperature") && !given(j, "do-sample")) s->do_sample = s->temperature > 0;
    if (s->temperature <= 0) s->do_sample = false;
    static const char *const only_sampling[] = {"top-k", "top-p",
                                                "typical-p"}; /* a --temperature of 0 says greedy itself */
    for (size_t i = 0; i < COUNT_OF(only_sampling) && !s->do_sample; i++)
        if (given(j, only_sampling[i])) log_line(LOG_WARN, "--%s has no effect without --do-sample", only_sampling[i]);
    if (s->num_return_sequences > 1 && !s->do_sample)
        return fail(E_ARG,
                    "--num-return-sequences is %" PRId64 ", but greedy continuations are all the same; give "
                    "--do-sample",
                    s->num_return_sequences);
    return OK;
}

/* Prompt and continuation must fit in the window; with --truncate left the prompt's beginning gives way. */
static enum status fit_window(struct job *j)
{
    struct prompt *p = &j->prompt;
    const int64_t window = j->model.info.n_positions, wanted = j->set.max_new_tokens;
    const int64_t room = window - wanted;
    if ((int64_t)p->n_ids <= room) return OK;
    if (j->set.truncate == TRUNCATE_NONE)
        return fail(E_LIMIT,
                    "a prompt of %zu tokens and %" PRId64 " new ones do not fit in the window of %" PRId64
                    "; shorten it, lower --max-new-tokens or give --truncate left",
                    p->n_ids, wanted, window);
    if (room < 1)
        return fail(E_LIMIT,
                    "--max-new-tokens is %" PRId64 ", which leaves no room for a prompt in the window of %" PRId64,
                    wanted, window);
    log_line(LOG_INFO, "prompt: the last %" PRId64 " of %zu tokens are kept", room, p->n_ids);
    memmove(p->ids, p->ids + p->n_ids - (size_t)room, (size_t)room * sizeof *p->ids);
    p->n_ids = (size_t)room;
    return OK;
}

static enum status find_shown_prompt(struct job *j)
{
    if (!j->set.return_full_text) return OK;
    j->shown_prompt = j->prompt.text.data;
    j->shown_prompt_len = j->prompt.text.len;
    if (!j->prompt.is_ids || !j->tokenizer) return OK;
    TRY(cli_status(
        gptjt_decode(j->tokenizer, j->prompt.ids, j->prompt.n_ids, &j->decoded_prompt, &j->shown_prompt_len)));
    j->shown_prompt = j->decoded_prompt;
    return OK;
}

static void write_token_id(bool first, int32_t token)
{
    printf("%s%" PRId32, first ? "" : " ", token);
}

struct streaming {
    struct job *job;
    size_t n_tokens;
};

static bool on_token(void *user, const struct gptjt_token *t)
{
    struct streaming *s = user;
    if (s->n_tokens == 0) { /* before it there is no text to end cleanly; from now on a bar would be in its way */
        interrupt_catch();
        cli_unwatch(s->job->session, &s->job->watch);
    }
    if (t->text) {
        fwrite(t->text, 1, t->text_len, stdout);
        s->job->streamed += t->text_len;
    } else {
        write_token_id(s->n_tokens == 0, t->id);
    }
    s->n_tokens++;
    fflush(stdout);
    return !interrupt_seen() && !ferror(stdout);
}

static enum status generate_streaming(struct job *j)
{
    struct streaming s = {.job = j};
    j->request.on_token = on_token;
    j->request.user = &s;
    if (j->shown_prompt_len) fwrite(j->shown_prompt, 1, j->shown_prompt_len, stdout);
    fflush(stdout);
    const enum status st = cli_status(gptjt_generate(j->session, &j->request, &j->result));
    if (st == OK) { /* a character cut off by the end is known to be broken only now */
        const struct gptjt_completion *c = &j->result.completions[0];
        if (c->text && c->text_len > j->streamed) fwrite(c->text + j->streamed, 1, c->text_len - j->streamed, stdout);
    }
    if (st == OK || st == E_CANCELLED) putchar('\n');
    return st;
}

struct counting {
    struct job *job;
    struct progress bar;
    uint64_t n_tokens;
};

static bool count_token(void *user, const struct gptjt_token *t)
{
    (void)t;
    struct counting *c = user;
    if (c->n_tokens == 0) cli_unwatch(c->job->session, &c->job->watch);
    progress_update(&c->bar, ++c->n_tokens);
    return true;
}

static enum status generate_whole(struct job *j)
{
    struct counting c = {.job = j};
    const uint64_t most = (uint64_t)(j->set.max_new_tokens * j->set.num_return_sequences);
    progress_begin(&c.bar, "text", "tokens", most, j->set.common.quiet);
    j->request.on_token = count_token;
    j->request.user = &c;
    const enum status st = cli_status(gptjt_generate(j->session, &j->request, &j->result));
    progress_end(&c.bar);
    return st;
}

static void print_completion(const struct job *j, const struct gptjt_completion *c)
{
    if (j->shown_prompt_len) fwrite(j->shown_prompt, 1, j->shown_prompt_len, stdout);
    if (c->text) fwrite(c->text, 1, c->text_len, stdout);
    for (size_t i = 0; !c->text && i < c->n_tokens; i++)
        write_token_id(i == 0, c->tokens[i]);
    putchar('\n');
}

static void print_text(const struct job *j)
{
    for (int i = 0; i < j->result.n; i++) {
        if (j->result.n > 1) printf("--- %d ---\n", i + 1);
        print_completion(j, &j->result.completions[i]);
    }
}

static json_t *generated_text(const struct job *j, const struct gptjt_completion *c)
{
    if (!c->text) return json_null();
    struct buf text = {0};
    if (j->shown_prompt_len) buf_append(&text, j->shown_prompt, j->shown_prompt_len);
    buf_append(&text, c->text, c->text_len);
    json_t *value = buf_status(&text) == OK ? cli_json_text(text.len ? text.data : "", text.len) : NULL;
    buf_free(&text);
    return value;
}

static json_t *completion_json(const struct job *j, const struct gptjt_completion *c)
{
    return json_pack("{s:o, s:o, s:o, s:s}", "generated_text", generated_text(j, c), "tokens",
                     cli_json_ids(c->tokens, c->n_tokens), "logprobs", cli_json_numbers(c->logprobs, c->n_tokens),
                     "finish_reason", gptjt_finish_name(c->finish));
}

static size_t n_new_tokens(const struct gptjt_generation *g)
{
    size_t n = 0;
    for (int i = 0; i < g->n; i++)
        n += g->completions[i].n_tokens;
    return n;
}

/* The first token of each sequence falls out of the prompt's pass; the others took decode_s. */
static double tokens_per_s(const struct gptjt_generation *g)
{
    const size_t n = n_new_tokens(g), first = (size_t)g->n;
    return n > first && g->decode_s > 0 ? (double)(n - first) / g->decode_s : 0;
}

static enum status print_json(const struct job *j)
{
    const struct gptjt_generation *g = &j->result;
    json_t *results = json_array();
    for (int i = 0; results && i < g->n; i++)
        if (json_array_append_new(results, completion_json(j, &g->completions[i]))) {
            json_decref(results);
            results = NULL;
        }
    json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:o, s:{s:f, s:f, s:f}}", "model", j->model.name, "prompt_mask",
                               cli_mask_name(&j->model), "seed", (json_int_t)j->set.seed, "prompt_tokens",
                               (json_int_t)j->prompt.n_ids, "results", results, "timings", "prefill_s", g->prefill_s,
                               "decode_s", g->decode_s, "tokens_per_s", tokens_per_s(g));
    if (object && g->n == 1) { /* a single one also at the top, where the pipeline's users look for it */
        json_t *one = completion_json(j, &g->completions[0]);
        if (!one || json_object_update(object, one)) {
            json_decref(object);
            object = NULL;
        }
        json_decref(one);
    }
    return cli_json_print(object);
}

static void print_timings(const struct job *j)
{
    const struct gptjt_generation *g = &j->result;
    const double prefill = (double)(j->prompt.n_ids - g->n_reused);
    fprintf(stderr, "prompt: %zu tokens in %.3f s (%.1f tokens/s); text: %zu tokens in %.3f s (%.1f tokens/s)\n",
            j->prompt.n_ids, g->prefill_s, g->prefill_s > 0 ? prefill / g->prefill_s : 0, n_new_tokens(g), g->decode_s,
            tokens_per_s(g));
}

static void fill_request(struct job *j)
{
    const struct settings *s = &j->set;
    struct gptjt_generate_request *r = &j->request;
    gptjt_generate_init(r);
    r->prompt = j->prompt.ids;
    r->n_prompt = j->prompt.n_ids;
    r->max_new_tokens = (int)s->max_new_tokens;
    r->num_return_sequences = (int)s->num_return_sequences;
    r->do_sample = s->do_sample;
    r->temperature = s->temperature;
    r->top_k = (int)s->top_k;
    r->top_p = s->top_p;
    r->typical_p = s->typical_p;
    r->repetition_penalty = s->repetition_penalty;
    r->presence_penalty = s->presence_penalty;
    r->frequency_penalty = s->frequency_penalty;
    r->logit_bias = j->logit_bias;
    r->n_logit_bias = s->logit_bias.n;
    r->seed = s->seed;
    r->stop = s->stop.items;
    r->n_stop = s->stop.n;
}

static enum status prepare(struct job *j)
{
    if (!given(j, "seed")) j->set.seed = rng_fresh_seed() >> 11; /* 53 bits: every JSON reader keeps them */
    TRY(check_settings(&j->set));
    TRY(read_logit_bias(j));
    TRY(prompt_read(&j->prompt, &j->set.prompt));
    TRY(cli_model_open(&j->model, &j->set.common));
    j->tokenizer = gptjt_engine_tokenizer(j->model.engine);
    if (j->set.stop.n) TRY(cli_tokenizer(&j->tokenizer, &j->model, "no --stop"));
    TRY(prompt_encode(&j->prompt, &j->model, j->set.added_tokens));
    if (j->set.hf_defaults) apply_hf_defaults(j);
    TRY(apply_hf_length(j));
    TRY(decide_sampling(j));
    TRY(fit_window(j));
    return find_shown_prompt(j);
}

static enum status execute(struct job *j)
{
    const struct settings *s = &j->set;
    TRY(prepare(j));
    cli_mask_note(&j->model, &s->common);
    fill_request(j);
    const size_t n_rows = gptjt_tokens_needed(j->prompt.n_ids, (size_t)s->num_return_sequences,
                                              (size_t)s->max_new_tokens);
    TRY(cli_status(gptjt_session_create(&j->session, j->model.engine, n_rows)));
    j->watch = (struct cli_watch){.label = "prompt", .quiet = s->common.quiet};
    cli_watch(j->session, &j->watch);
    if (s->stream && !s->json && s->num_return_sequences == 1) {
        TRY(generate_streaming(j));
    } else {
        TRY(generate_whole(j));
        if (s->json)
            TRY(print_json(j));
        else
            print_text(j);
    }
    if (s->timings) print_timings(j);
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct job j = {.set = *(const struct settings *)settings, .given = args->given};
    const enum status s = execute(&j);
    job_close(&j);
    return s;
}

const struct command command_generate = {
    .name = "generate",
    .summary = "continue a prompt",
    .usage = "[-m MODEL] [-p TEXT | -f FILE | --ids N,N,... | < FILE] [options]",
    .about =
        "Prints the text the model continues the prompt with, while it is made. The options mean what they mean in\n"
        "transformers' text-generation pipeline; without --do-sample or --temperature the likeliest token is taken\n"
        "every time.",
    .examples =
        "  gptjt generate -p $'Country: India\\nCurrency:' --stop $'\\n'\n"
        "  gptjt generate -f prompt.txt --temperature 0.8 --top-p 0.95 --max-new-tokens 100\n"
        "  gptjt generate -m togethercomputer/GPT-JT-6B-v1 --do-sample --num-return-sequences 4 --json < prompt.txt",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .run = run,
};

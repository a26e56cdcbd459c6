// SPDX-License-Identifier: Apache-2.0
/* gptjt bench: how fast a model runs here, and how near that is to what the machine can do. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "bench/bench.h"
#include "bench/train.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "hub/model_path.h"
#include "model/synth_source.h"

struct settings {
    struct common common;
    const char *synthetic, *weights, *prompt, *batch;
    int64_t decode, layers, repeats;
    bool json, profile;
    int64_t train, micro_batch; /* train: tokens of a sequence, 0: no training */
    int precision;
    bool recompute;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS,
                                         .weights = "auto",
                                         .prompt = "64,256",
                                         .batch = "1,8",
                                         .decode = 32,
                                         .repeats = 3,
                                         .micro_batch = 1,
                                         .precision = PRECISION_BF16};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "synthetic",
     .type = OPTION_STRING,
     FIELD(synthetic),
     .meta = "SIZE",
     .help = "no model, but random weights in memory: tiny, 125m, 350m, 1.3b, 2.7b or 6b, which is GPT-J's own"},
    {.name = "weights",
     .type = OPTION_STRING,
     FIELD(weights),
     .meta = "TYPE,...",
     .help = "how matrices are held, one run each: " COMMON_WEIGHTS},
    COMMON_COMPUTE_OPTION,
    {.name = "prompt",
     .type = OPTION_STRING,
     FIELD(prompt),
     .meta = "N,...",
     .help = "prompts of so many tokens, 0 for none"},
    {.name = "decode",
     .type = OPTION_INT,
     FIELD(decode),
     .max = 1 << 20,
     .meta = "N",
     .help = "decoding steps after a prompt of 32 tokens, 0 for none"},
    {.name = "batch", .type = OPTION_STRING, FIELD(batch), .meta = "N,...", .help = "sequences that decode together"},
    {.name = "layers",
     .type = OPTION_INT,
     FIELD(layers),
     .max = 1 << 20,
     .meta = "N",
     .help = "only so many layers, but not fewer than make eight last-level caches of weights (default 0: all)"},
    {.name = "repeats",
     .type = OPTION_INT,
     FIELD(repeats),
     .min = 1,
     .max = BENCH_MAX_REPEATS,
     .meta = "N",
     .help = "runs of which the median is told"},
    {.name = "train",
     .type = OPTION_INT,
     FIELD(train),
     .max = 1 << 16,
     .meta = "N",
     .help = "instead of prompts and decoding: whole training steps of sequences of N tokens"},
    {.name = "micro-batch-size",
     .type = OPTION_INT,
     FIELD(micro_batch),
     .min = 1,
     .max = 1 << 10,
     .meta = "N",
     .help = "--train: sequences of a step"},
    {.name = "precision",
     .type = OPTION_CHOICE,
     FIELD(precision),
     .choices = TRAIN_PRECISION_NAMES,
     .help = "--train: of products"},
    {.name = "recompute",
     .type = OPTION_FLAG,
     FIELD(recompute),
     .help = "--train: activations are computed again in the backward pass"},
    {.name = "profile", .type = OPTION_FLAG, FIELD(profile), .help = "also say which operations the time went to"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "one JSON object instead of a table"},
    COMMON_MASK_OPTION,
    COMMON_DEVICE_OPTION,
    COMMON_THREAD_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- Lists ---- */

enum { MAX_LIST = 16, CONTEXT = 32 };

struct int_list {
    int at[MAX_LIST], n;
};

/* The next of comma separated words; NULL past the last. */
static const char *next_word(const char **at, size_t *length)
{
    if (!*at) return NULL;
    const char *word = *at, *comma = strchr(word, ',');
    *length = comma ? (size_t)(comma - word) : strlen(word);
    *at = comma ? comma + 1 : NULL;
    return word;
}

static enum status read_ints(struct int_list *out, const char *option, const char *text, int min)
{
    size_t length;
    for (const char *at = text, *word; (word = next_word(&at, &length));) {
        char *end;
        const long value = strtol(word, &end, 10);
        if (end == word || end != word + length || value < min || value > 1 << 20)
            return fail(E_ARG, "--%s: '%.*s' is not a whole number within %d..%d", option, (int)length, word, min,
                        1 << 20);
        if (out->n == MAX_LIST) return fail(E_ARG, "--%s: more than %d numbers", option, MAX_LIST);
        out->at[out->n++] = (int)value;
    }
    return OK;
}

/* Indices of words in choices, "a|b|c". */
static enum status read_choices(struct int_list *out, const char *option, const char *text, const char *choices)
{
    size_t length;
    for (const char *at = text, *word; (word = next_word(&at, &length));) {
        int index = 0;
        const char *c = choices;
        while (c && !(strcspn(c, "|") == length && !memcmp(c, word, length))) {
            c = strchr(c, '|');
            c = c ? c + 1 : NULL;
            index++;
        }
        if (!c) return fail(E_ARG, "--%s: '%.*s' is not one of %s", option, (int)length, word, choices);
        if (out->n == MAX_LIST) return fail(E_ARG, "--%s: more than %d types", option, MAX_LIST);
        out->at[out->n++] = index;
    }
    return OK;
}

/* ---- What is measured ---- */

enum { MAX_ROWS = MAX_LIST * 2 * MAX_LIST };

struct result {
    struct bench_row row;
    char weights[16], compute[16];
    int layers;
};

struct job {
    const struct settings *set;
    struct int_list weights, prompts, batches;
    struct model_path path;
    char name[300];
    const char *cpu;
    struct machine machine;
    struct gptjt_engine *engine; /* owned; one weight type at a time */
    int of_layers;
    struct result results[MAX_ROWS];
    int n_results;
};

/* ---- Opening ---- */

/* By enum gptjt_weights; a synthetic model is made in fp16 unless another type is asked for. */
static const enum weight_type held_types[] = {WEIGHT_F16, WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16, WEIGHT_Q8, WEIGHT_Q4};

/* As many layers as asked for, and as it takes to make BENCH_CACHES last-level caches of weights. */
static int layers_to_run(const struct job *j, const struct gptj_config *c, enum weight_type t)
{
    const int asked = (int)j->set->layers;
    if (!asked || asked >= c->L) return c->L;
    const size_t bytes = 4 * weight_bytes(t, c->D, c->D) + weight_bytes(t, c->F, c->D) + weight_bytes(t, c->D, c->F);
    const double least = ceil((double)BENCH_CACHES * (double)j->machine.cache_bytes / (double)bytes);
    const int n = least > c->L ? c->L : least > asked ? (int)least : asked;
    if (n != asked && !j->set->common.quiet)
        fprintf(stderr, "--layers %d: %d of %d, fewer would stay in the cache\n", asked, n, c->L);
    return n;
}

/* Random weights of a preset: in the type that is asked for, or, where the engine is to convert them, in as little
 * memory as will do. */
static enum status make_synthetic(struct job *j, enum gptjt_weights type)
{
    const struct synth_preset *p = synth_find_preset(j->set->synthetic);
    struct gptjt_engine *e = j->engine;
    const bool as_made = type <= GPTJT_WEIGHTS_BF16, causal = j->set->common.prompt_mask == GPTJT_MASK_CAUSAL;
    struct synth s = {.config = {.V = p->V, .P = p->P, .D = p->D, .L = p->L, .H = p->H, .R = p->R}};
    TRY(synth_complete(&s.config));
    s.dtype = type == GPTJT_WEIGHTS_FP32 ? DTYPE_F32 : type == GPTJT_WEIGHTS_BF16 ? DTYPE_BF16 : DTYPE_F16;
    j->of_layers = s.config.L;
    s.config.L = layers_to_run(j, &s.config, held_types[type]);
    e->config.model = s.config;
    e->mask = (struct mask_choice){.mask = causal ? GPTJT_MASK_CAUSAL : GPTJT_MASK_PREFIX};
    snprintf(e->name, sizeof e->name, "synthetic %s", p->name);
    snprintf(e->no_tokenizer, sizeof e->no_tokenizer, "a synthetic model has no tokenizer");
    return synth_source_open(&e->source, &s, as_made ? SYNTH_DISTINCT : SYNTH_SHARED, j->machine.pool);
}

static enum status read_model(struct job *j, enum gptjt_weights type)
{
    struct gptjt_engine *e = j->engine;
    struct gptj_config *c = &e->config.model;
    TRY(engine_read_checkpoint(e, j->path.dir, (enum gptjt_mask)j->set->common.prompt_mask));
    j->of_layers = c->L;
    c->L = layers_to_run(
        j, c,
        gptj_held_type(&e->config.model, e->source, type == GPTJT_WEIGHTS_AUTO ? WEIGHT_AS_STORED : held_types[type]));
    return OK;
}

static enum status open_engine(struct job *j, enum gptjt_weights type)
{
    const struct common *common = &j->set->common;
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.prompt_mask = (enum gptjt_mask)common->prompt_mask;
    o.weights = type;
    o.compute = (enum gptjt_compute)common->compute;
    o.threads = (int)common->threads;
    o.cpu = common->cpu;
    o.device = cli_device(common);
    j->engine = calloc(1, sizeof *j->engine);
    if (!j->engine) return fail(E_NOMEM, "out of memory");
    TRY(j->set->synthetic ? make_synthetic(j, type) : read_model(j, type));
    TRY(engine_load(j->engine, &o));
    return bench_count(j->engine);
}

/* ---- Text ---- */

static const char *const unit_names[PROBE_UNITS] = {"fp32", "bf16", "int8", "int4"};

static void print_machine(const struct job *j)
{
    const struct machine *m = &j->machine;
    printf("machine: %s kernels, %d threads, last-level cache %s\n", j->cpu, pool_threads(m->pool),
           amount_bytes((uint64_t)m->cache_bytes).text);
    printf("  %-5s %8.1f GB/s      %s\n", "read", m->read_rate * 1e-9, m->read.name);
    for (int u = 0; u < PROBE_UNITS; u++) {
        if (m->peak_rate[u] > 0)
            printf("  %-5s %8.3f T%s/s   %s\n", unit_names[u], m->peak_rate[u] * 1e-12, u >= PROBE_I8 ? "OP" : "FLOP",
                   m->peak[u].name);
        else
            printf("  %-5s     none\n", unit_names[u]);
    }
}

static void print_profile(const struct bench_row *row)
{
    double rest = 100;
    printf("       ");
    for (int i = 0; i < OPS; i++) {
        const double share = 100 * (double)row->counts.of[i].ns * 1e-9 / row->counted_s;
        printf(" %s %.1f %%,", ops_names[i], share);
        rest -= share;
    }
    printf(" rest %.1f %%\n", rest);
}

static void print_result(const struct job *j, const struct result *r)
{
    const struct bench_row *b = &r->row;
    if (j->n_results == 1)
        printf("%-8s %-7s %-7s %6s %5s %10s %9s %8s %8s %9s %-8s\n", "phase", "weights", "compute", "prompt", "batch",
               "ms", "tokens/s", "GB/s", "TFLOP/s", "of floor", "which is");
    printf("%-8s %-7s %-7s %6d %5d %10.2f %9.2f %8.2f %8.4f %7.1f %% ", bench_phase_names[b->phase], r->weights,
           r->compute, b->prompt, b->batch, b->seconds * 1e3, b->tokens_per_s, b->bytes_per_s * 1e-9,
           b->flop_per_s * 1e-12, 100 * b->fraction);
    if (b->memory)
        printf("%.1f GB/s\n", b->read_rate * 1e-9);
    else
        printf("%.3f TFLOP/s\n", b->peak_rate * 1e-12);
    if (j->set->profile) print_profile(b);
    fflush(stdout);
}

/* ---- JSON ---- */

static json_t *rate_json(const struct machine *m, enum probe_unit unit)
{
    return m->peak_rate[unit] > 0 ? json_real(m->peak_rate[unit] * 1e-12) : json_null();
}

static json_t *profile_json(const struct bench_row *row)
{
    json_t *profile = json_object();
    for (int i = 0; i < OPS; i++)
        json_object_set_new(profile, ops_names[i], json_real((double)row->counts.of[i].ns * 1e-9 / row->counted_s));
    return profile;
}

static json_t *result_json(const struct job *j, const struct result *r)
{
    const struct bench_row *b = &r->row;
    json_t *row = json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:s, s:f, s:f, s:i, s:b}", "phase",
                            bench_phase_names[b->phase], "weights", r->weights, "compute", r->compute, "prompt",
                            b->prompt, "batch", b->batch, "ms", b->seconds * 1e3, "tokens_per_s", b->tokens_per_s,
                            "gbps", b->bytes_per_s * 1e-9, "tflops", b->flop_per_s * 1e-12, "fraction", b->fraction,
                            "floor", b->memory ? "read" : "compute", "read_gbps", b->read_rate * 1e-9, "peak_tflops",
                            b->peak_rate * 1e-12, "layers", r->layers, "partial", r->layers < j->of_layers);
    if (j->set->profile) json_object_set_new(row, "profile", profile_json(b));
    return row;
}

static enum status print_json(const struct job *j)
{
    const struct machine *m = &j->machine;
    json_t *rows = json_array();
    for (int i = 0; i < j->n_results; i++)
        json_array_append_new(rows, result_json(j, &j->results[i]));
    return cli_json_print(json_pack("{s:{s:s, s:i, s:f, s:o, s:o, s:o, s:o}, s:o, s:o}", "machine", "isa", j->cpu,
                                    "threads", pool_threads(m->pool), "read_gbps", m->read_rate * 1e-9, "bf16_tflops",
                                    rate_json(m, PROBE_BF16), "fp32_tflops", rate_json(m, PROBE_F32), "int8_tops",
                                    rate_json(m, PROBE_I8), "int4_tops", rate_json(m, PROBE_I4), "model",
                                    cli_json_text(j->name, strlen(j->name)), "rows", rows));
}

/* ---- Running ---- */

static bool on_progress(void *user, size_t done)
{
    progress_update(user, done);
    return !interrupt_seen();
}

/* A machine without the unit computes in fp32. q4 may be multiplied as int8 or as int4. */
static enum probe_unit unit_of(const struct job *j, const char *weights, const char *compute)
{
    enum probe_unit unit = PROBE_F32;
    if (j->machine.device) return strcmp(compute, "fp32") ? PROBE_BF16 : PROBE_F32; /* many rows, in 16 bits */
    for (enum probe_unit u = 0; u < PROBE_UNITS; u++)
        if (!strcmp(compute, unit_names[u]) && j->machine.peak_rate[u] > 0) unit = u;
    const bool faster = j->machine.peak_rate[PROBE_I4] > j->machine.peak_rate[PROBE_I8];
    return unit == PROBE_I8 && faster && !strcmp(weights, "q4") ? PROBE_I4 : unit;
}

static enum status add_row(struct job *j, enum bench_phase phase, int prompt, int batch)
{
    const struct settings *set = j->set;
    struct result *r = &j->results[j->n_results];
    struct bench b = {.machine = &j->machine, .engine = j->engine, .repeats = (int)set->repeats};
    struct progress bar;
    char label[64];
    snprintf(r->compute, sizeof r->compute, "%s", j->engine->compute);
    snprintf(r->weights, sizeof r->weights, "%s", j->engine->weights);
    r->layers = j->engine->config.model.L;
    b.unit = unit_of(j, r->weights, r->compute);
    b.progress = on_progress;
    b.user = &bar;
    const int tokens = phase == BENCH_PREFILL ? prompt : batch * (int)set->decode;
    snprintf(label, sizeof label, "%s %s %d", r->weights, bench_phase_names[phase],
             phase == BENCH_PREFILL ? prompt : batch);
    progress_begin(&bar, label, "tokens", (uint64_t)tokens * (uint64_t)set->repeats, set->common.quiet);
    const enum status s = phase == BENCH_PREFILL ? bench_prefill(&r->row, &b, prompt)
                                                 : bench_decode(&r->row, &b, prompt, batch, (int)set->decode);
    progress_end(&bar);
    TRY(s);
    j->n_results++;
    if (!set->json) print_result(j, r);
    if (r->row.fraction > 1)
        fprintf(stderr, "warning: %s: faster than its floor: the machine was disturbed while it was probed\n", label);
    return OK;
}

static enum status check_lengths(const struct job *j)
{
    const int P = j->engine->config.model.P;
    for (int i = 0; i < j->prompts.n; i++)
        if (j->prompts.at[i] > P)
            return fail(E_ARG, "--prompt: %d tokens do not fit the window of %d", j->prompts.at[i], P);
    if (j->set->decode >= P)
        return fail(E_ARG, "--decode: %d steps and a prompt do not fit the window of %d", (int)j->set->decode, P);
    return OK;
}

static enum status run_type(struct job *j, enum gptjt_weights type)
{
    TRY(open_engine(j, type));
    TRY(check_lengths(j));
    const int steps = (int)j->set->decode, room = j->engine->config.model.P - steps;
    snprintf(j->name, sizeof j->name, "%s", j->path.hub_name ? j->path.hub_name : j->engine->name);
    if (j->n_results == 0 && !j->set->json) {
        printf("model: %s, %d of %d layers%s\n\n", j->name, j->engine->config.model.L, j->of_layers,
               j->engine->config.model.L < j->of_layers ? ", so the rows are partial" : "");
    }
    for (int i = 0; i < j->prompts.n; i++)
        if (j->prompts.at[i]) TRY(add_row(j, BENCH_PREFILL, j->prompts.at[i], 1));
    for (int i = 0; steps && i < j->batches.n; i++)
        TRY(add_row(j, BENCH_DECODE, room < CONTEXT ? room : CONTEXT, j->batches.at[i]));
    gptjt_engine_close(j->engine);
    j->engine = NULL;
    return OK;
}

/* ---- Training ---- */

static void print_train(const struct job *j, const struct bench_train_row *r)
{
    const struct settings *set = j->set;
    printf("%-8s %-9s %6s %5s %10s %9s %8s %8s %-8s\n", "phase", "precision", "tokens", "batch", "ms", "tokens/s",
           "TFLOP/s", "of peak", "which is");
    printf("%-8s %-9s %6" PRId64 " %5" PRId64 " %10.1f %9.1f %8.4f %6.1f %% %.3f TFLOP/s\n", "train",
           train_precision_name((enum train_precision)set->precision), set->train, set->micro_batch, r->seconds * 1e3,
           r->tokens_per_s, r->flop_per_s * 1e-12, 100 * r->fraction, r->peak_rate * 1e-12);
    if (!set->profile) return;
    printf("       ");
    for (int i = 0; i < BENCH_TRAIN_PHASES; i++)
        printf(" %s %.1f %%%s", bench_train_phase_names[i], 100 * r->phase_s[i] / r->seconds,
               i + 1 < BENCH_TRAIN_PHASES ? "," : "\n");
}

static enum status print_train_json(const struct job *j, const struct bench_train_row *r)
{
    const struct settings *set = j->set;
    json_t *phases = json_object();
    for (int i = 0; i < BENCH_TRAIN_PHASES; i++)
        json_object_set_new(phases, bench_train_phase_names[i], json_real(r->phase_s[i]));
    return cli_json_print(json_pack(
        "{s:s, s:i, s:s, s:i, s:i, s:s, s:I, s:I, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "isa", j->cpu, "threads",
        pool_threads(j->machine.pool), "model", j->name, "layers", j->engine->config.model.L, "of_layers", j->of_layers,
        "precision", train_precision_name((enum train_precision)set->precision), "seq_len", (json_int_t)set->train,
        "micro_batch_size", (json_int_t)set->micro_batch, "recompute", set->recompute, "ms", r->seconds * 1e3,
        "tokens_per_s", r->tokens_per_s, "tflops", r->flop_per_s * 1e-12, "fraction", r->fraction, "peak_tflops",
        r->peak_rate * 1e-12, "loss", r->loss, "phases_s", phases));
}

static enum status run_train(struct job *j, enum cpu_level level, enum ops_device device)
{
    const struct settings *set = j->set;
    const bool bf16 = set->precision == PRECISION_BF16 && j->machine.peak_rate[PROBE_BF16] > 0;
    const struct bench_train b = {.machine = &j->machine,
                                  .unit = bf16 ? PROBE_BF16 : PROBE_F32,
                                  .level = level,
                                  .device = device,
                                  .threads = pool_threads(j->machine.pool),
                                  .repeats = (int)set->repeats,
                                  .precision = (enum train_precision)set->precision,
                                  .sequences = (int)set->micro_batch,
                                  .seq_len = (int)set->train,
                                  .recompute = set->recompute};
    struct bench_train_row row;
    j->engine = calloc(1, sizeof *j->engine);
    if (!j->engine) return fail(E_NOMEM, "out of memory");
    TRY(set->synthetic ? make_synthetic(j, GPTJT_WEIGHTS_AUTO) : read_model(j, GPTJT_WEIGHTS_AUTO));
    snprintf(j->name, sizeof j->name, "%s", j->path.hub_name ? j->path.hub_name : j->engine->name);
    if (!set->json) printf("model: %s, %d of %d layers\n\n", j->name, j->engine->config.model.L, j->of_layers);
    TRY(bench_train(&row, &b, j->name, &j->engine->config.model, j->engine->source));
    if (set->json) return print_train_json(j, &row);
    print_train(j, &row);
    return OK;
}

static enum status execute(struct job *j)
{
    const struct settings *set = j->set;
    enum cpu_level level = CPU_REF;
    enum ops_device device = DEVICE_CPU;
    TRY(read_choices(&j->weights, "weights", set->weights, COMMON_WEIGHTS));
    TRY(read_ints(&j->prompts, "prompt", set->prompt, 0));
    TRY(read_ints(&j->batches, "batch", set->batch, 1));
    if (set->synthetic && !synth_find_preset(set->synthetic))
        return fail(E_ARG, "--synthetic is \"%.40s\", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b", set->synthetic);
    if (!set->synthetic) TRY(model_path_resolve(&j->path, set->common.model));
    TRY(engine_choose_cpu(&level, set->common.cpu));
    TRY(ops_choose_device(&device, cli_device(&set->common)));
    j->cpu = device == DEVICE_CUDA ? "cuda" : kernels_level_name(level);
    interrupt_catch();
    const int threads = set->common.threads ? (int)set->common.threads : pool_default_threads();
    TRY(device == DEVICE_CUDA ? machine_open_cuda(&j->machine, threads) : machine_open(&j->machine, threads, level));
    if (!set->json) print_machine(j);
    if (set->train) return run_train(j, level, device);
    for (int i = 0; i < j->weights.n; i++)
        TRY(run_type(j, (enum gptjt_weights)j->weights.at[i]));
    return set->json ? print_json(j) : OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    TRY(cli_take_model(&set->common, args));
    if (set->common.model && set->synthetic) return fail(E_ARG, "give a model or --synthetic, not both");
    struct job *j = calloc(1, sizeof *j);
    if (!j) return fail(E_NOMEM, "out of memory");
    j->set = set;
    const enum status s = execute(j);
    gptjt_engine_close(j->engine);
    machine_close(&j->machine);
    free(j);
    return s;
}

const struct command command_bench = {
    .name = "bench",
    .summary = "measure the machine, and how near to it a model runs",
    .usage = "[MODEL | --synthetic SIZE] [--weights TYPE,...] [--prompt N,...] [--decode N] [options]",
    .about = "First what this machine can read and compute, by probes; then each row's speed, and that speed as a\n"
             "fraction of the floor: the time that reading every weight once, or every operation at the peak of the\n"
             "unit that does it, takes at least. Probes are run before, during and after each row, because machines\n"
             "drift.",
    .examples = "  gptjt bench --synthetic 6b\n"
                "  gptjt bench MODEL --weights fp16,bf16 --prompt 64,256,1024 --decode 32 --batch 1,8\n"
                "  gptjt bench --synthetic 6b --layers 8 --prompt 256 --decode 0 --profile\n"
                "  gptjt bench --synthetic 125m --train 2048 --profile\n"
                "  gptjt bench --synthetic 6b --json | jq '.rows[] | [.phase, .weights, .fraction]'",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};

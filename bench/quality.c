// SPDX-License-Identifier: Apache-2.0
/* What --weights and --compute cost in quality:
 *
 *     quality MODEL TEXTS.jsonl [--cpu ISA] [OTHER ...]
 *
 * For every combination that MODEL can be run with, and for every OTHER directory (the same model quantised, say) as it
 * is stored, one row of a Markdown table against MODEL in fp32 computed in fp32: the divergence of the next-token
 * distribution, KL(reference || row) in nat, mean, 99th percentile and largest over all positions that predict an
 * answer; how often the most likely token is the same; perplexity; and how many labels are right, and how many are
 * those that the reference chooses.
 *
 * Each line of the texts has "task", "prompt" and "answer". The answer ends with a newline. Its tokens alone are
 * predicted: what a model that was trained on answers says inside of a prompt means nothing. Lines with "choose" are
 * classified too: the labels are this line's answer, which is right, and those of the task's lines that follow. The
 * mask is the one that the model was trained for. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "gptjt.h"

enum { MAX_LABELS = 16, MAX_OTHERS = 16 };

struct text {
    const char *task, *answer; /* borrowed from line */
    bool choose;
    json_t *line;
    int32_t *ids, *label; /* prompt and answer; the answer and a newline */
    size_t n, n_label, n_prompt;
    int choice;      /* of the reference, whose ...                        */
    float *logits;   /* ... [n_label][V] logits and ...                    */
    double *log_sum; /* ... [n_label] logarithms of their exponentials' sum these are */
};

struct run {
    struct gptjt_engine *engine;
    struct gptjt_session *session;
    struct gptjt_info info;
};

struct quality {
    double *kl; /* [positions] */
    double nll;
    size_t positions, same_top, classified, right, same_label;
};

static const char *cpu;

static _Noreturn void give_up(const char *message)
{
    fprintf(stderr, "quality: %s\n", message);
    exit(1);
}

static void must(enum gptjt_status s)
{
    if (s != GPTJT_OK) give_up(gptjt_error());
}

static void *allocate(size_t n, size_t bytes)
{
    void *p = calloc(n ? n : 1, bytes);
    if (!p) give_up("out of memory");
    return p;
}

/* ---- Texts ---- */

static void encode(const struct run *r, int32_t **ids, size_t *n, const char *text)
{
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(r->engine);
    if (!t) give_up(gptjt_error());
    must(gptjt_encode(t, text, strlen(text), true, ids, n));
}

static struct text read_text(const struct run *r, json_t *line)
{
    struct text t = {.line = line,
                     .task = json_string_value(json_object_get(line, "task")),
                     .answer = json_string_value(json_object_get(line, "answer")),
                     .choose = json_is_true(json_object_get(line, "choose"))};
    const char *prompt = json_string_value(json_object_get(line, "prompt"));
    if (!t.task || !t.answer || !prompt) give_up("a line without task, prompt or answer");
    int32_t *prompt_ids = NULL;
    struct buf label = {0};
    buf_printf(&label, "%s\n", t.answer);
    if (buf_status(&label) != OK) give_up("out of memory");
    encode(r, &prompt_ids, &t.n_prompt, prompt);
    encode(r, &t.label, &t.n_label, label.data);
    t.n = t.n_prompt + t.n_label;
    t.ids = allocate(t.n, sizeof *t.ids);
    memcpy(t.ids, prompt_ids, t.n_prompt * sizeof *t.ids);
    memcpy(t.ids + t.n_prompt, t.label, t.n_label * sizeof *t.ids);
    gptjt_free(prompt_ids);
    buf_free(&label);
    return t;
}

static size_t read_texts(struct text **out, const struct run *r, const char *path)
{
    struct buf file = {0};
    if (file_read(&file, path, 1 << 28) != OK) give_up(status_message());
    struct text *texts = NULL;
    size_t n = 0;
    for (char *line = file.data, *end; line && *line && (end = strchr(line, '\n')); line = end + 1) {
        json_t *json;
        if (json_read_text(&json, line, (size_t)(end - line), path) != OK) give_up(status_message());
        texts = realloc(texts, (n + 1) * sizeof *texts);
        if (!texts) give_up("out of memory");
        texts[n++] = read_text(r, json);
    }
    buf_free(&file);
    *out = texts;
    return n;
}

static void free_texts(struct text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(texts[i].line);
        free(texts[i].ids);
        free(texts[i].logits);
        free(texts[i].log_sum);
        gptjt_free(texts[i].label);
    }
    free(texts);
}

/* ---- Distributions ---- */

static double log_sum(const float *logits, size_t V)
{
    double max = (double)logits[0], sum = 0;
    for (size_t v = 1; v < V; v++)
        max = fmax(max, (double)logits[v]);
    for (size_t v = 0; v < V; v++)
        sum += exp((double)logits[v] - max);
    return max + log(sum);
}

static size_t top(const float *logits, size_t V)
{
    size_t best = 0;
    for (size_t v = 1; v < V; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

static double divergence(const float *p, double p_sum, const float *q, double q_sum, size_t V)
{
    double kl = 0;
    for (size_t v = 0; v < V; v++) {
        const double log_p = (double)p[v] - p_sum;
        kl += exp(log_p) * (log_p - ((double)q[v] - q_sum));
    }
    return kl;
}

struct rows {
    const struct text *text;
    size_t V;
    struct quality *q;
};

/* Which token of the answer a position predicts; false: none. */
static bool predicts(const struct text *t, size_t position, size_t *token)
{
    *token = position + 1 - t->n_prompt;
    return position + 1 >= t->n_prompt && *token < t->n_label;
}

static bool keep_row(void *user, size_t position, const float *logits)
{
    const struct rows *r = user;
    size_t token;
    if (!predicts(r->text, position, &token)) return true;
    memcpy(r->text->logits + token * r->V, logits, r->V * sizeof *logits);
    r->text->log_sum[token] = log_sum(logits, r->V);
    return true;
}

static bool compare_row(void *user, size_t position, const float *logits)
{
    const struct rows *r = user;
    size_t token;
    if (!predicts(r->text, position, &token)) return true;
    const float *reference = r->text->logits + token * r->V;
    const double sum = log_sum(logits, r->V);
    r->q->kl[r->q->positions++] = divergence(reference, r->text->log_sum[token], logits, sum, r->V);
    r->q->same_top += top(reference, r->V) == top(logits, r->V);
    r->q->nll += sum - (double)logits[r->text->label[token]];
    return true;
}

static void each_row(const struct run *run, const struct text *t, gptjt_logits_fn *fn, struct quality *q)
{
    struct rows rows = {.text = t, .V = (size_t)run->info.vocab_size, .q = q};
    const size_t prefix = run->info.prompt_mask == GPTJT_MASK_PREFIX ? t->n_prompt : 0;
    must(gptjt_logits(run->session, (struct gptjt_span){t->ids, t->n}, prefix, fn, &rows));
}

/* ---- Labels ---- */

static int labels_of(struct gptjt_span labels[MAX_LABELS], const struct text *texts, size_t n_texts, size_t at)
{
    const char *names[MAX_LABELS];
    int n = 0;
    for (size_t k = 0; k < n_texts && n < MAX_LABELS; k++) {
        const struct text *t = &texts[(at + k) % n_texts];
        bool known = strcmp(t->task, texts[at].task) != 0;
        for (int i = 0; i < n; i++)
            known |= !strcmp(names[i], t->answer);
        if (known) continue;
        names[n] = t->answer;
        labels[n++] = (struct gptjt_span){t->label, t->n_label};
    }
    return n;
}

static int choose(const struct run *run, const struct text *texts, size_t n_texts, size_t at)
{
    struct gptjt_span labels[MAX_LABELS] = {0};
    struct gptjt_score scores[MAX_LABELS];
    const int n = labels_of(labels, texts, n_texts, at);
    const struct gptjt_span prompt = {texts[at].ids, texts[at].n_prompt};
    must(gptjt_score(run->session, prompt, GPTJT_MASK_AUTO, labels, (size_t)n, scores));
    int best = 0;
    for (int i = 1; i < n; i++)
        if (scores[i].total > scores[best].total) best = i;
    gptjt_scores_free(scores, (size_t)n);
    return best;
}

/* ---- Runs ---- */

/* false: compute is not for these weights. */
static bool open_run(struct run *r, const char *dir, enum gptjt_weights weights, enum gptjt_compute compute)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.weights = weights;
    o.compute = compute;
    o.cpu = cpu;
    o.threads = 1;
    *r = (struct run){0};
    const enum gptjt_status s = gptjt_engine_open(&r->engine, dir, &o);
    if (s == GPTJT_E_ARG && compute == GPTJT_COMPUTE_INT8) return false;
    must(s);
    gptjt_engine_info(r->engine, &r->info);
    must(
        gptjt_session_create(&r->session, r->engine, gptjt_tokens_needed((size_t)r->info.n_positions, MAX_LABELS, 32)));
    return true;
}

static void close_run(struct run *r)
{
    gptjt_session_close(r->session);
    gptjt_engine_close(r->engine);
}

static struct quality measure(const struct run *run, const struct text *texts, size_t n)
{
    struct quality q = {0};
    for (size_t i = 0; i < n; i++)
        q.positions += texts[i].n_label;
    q.kl = allocate(q.positions, sizeof *q.kl);
    q.positions = 0;
    for (size_t i = 0; i < n; i++) {
        each_row(run, &texts[i], compare_row, &q);
        if (!texts[i].choose) continue;
        const int choice = choose(run, texts, n, i);
        q.classified++;
        q.right += choice == 0;
        q.same_label += choice == texts[i].choice;
    }
    return q;
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const char *name, const struct run *r, const struct quality *q)
{
    double sum = 0;
    qsort(q->kl, q->positions, sizeof *q->kl, compare_doubles);
    for (size_t i = 0; i < q->positions; i++)
        sum += q->kl[i];
    printf("| %s | %s | %.2f | %.1e | %.1e | %.1e | %.2f %% | %.4f | %.1f %% | %.1f %% |\n", name, r->info.compute,
           8 * (double)r->info.weight_bytes / (double)r->info.parameters, sum / (double)q->positions,
           q->kl[q->positions * 99 / 100], q->kl[q->positions - 1], percent(q->same_top, q->positions),
           exp(q->nll / (double)q->positions), percent(q->right, q->classified), percent(q->same_label, q->classified));
    fflush(stdout);
}

/* false: these weights cannot be computed with that way. */
static bool measure_row(const struct text *texts, size_t n, const char *dir, const char *name,
                        enum gptjt_weights weights, enum gptjt_compute compute)
{
    struct run run;
    if (!open_run(&run, dir, weights, compute)) return false;
    struct quality q = measure(&run, texts, n);
    print_row(name ? name : run.info.weights, &run, &q);
    free(q.kl);
    close_run(&run);
    return true;
}

static void measure_ways(const struct text *texts, size_t n, const char *dir, const char *name,
                         enum gptjt_weights weights)
{
    for (int c = GPTJT_COMPUTE_FP32; c <= GPTJT_COMPUTE_INT8; c++)
        if (!measure_row(texts, n, dir, name, weights, (enum gptjt_compute)c)) break;
}

static void measure_all(const char *model, const char *path, char *const *others, int n_others)
{
    static const enum gptjt_weights weights[] = {GPTJT_WEIGHTS_FP32, GPTJT_WEIGHTS_FP16, GPTJT_WEIGHTS_BF16,
                                                 GPTJT_WEIGHTS_Q8, GPTJT_WEIGHTS_Q4};
    struct run reference;
    open_run(&reference, model, GPTJT_WEIGHTS_FP32, GPTJT_COMPUTE_FP32);
    struct text *texts;
    const size_t n = read_texts(&texts, &reference, path);
    size_t positions = 0, classified = 0;
    for (size_t i = 0; i < n; i++) {
        positions += texts[i].n_label;
        classified += texts[i].choose;
        texts[i].logits = allocate(texts[i].n_label * (size_t)reference.info.vocab_size, sizeof *texts[i].logits);
        texts[i].log_sum = allocate(texts[i].n_label, sizeof *texts[i].log_sum);
        each_row(&reference, &texts[i], keep_row, NULL);
        if (texts[i].choose) texts[i].choice = choose(&reference, texts, n, i);
    }
    printf("%s, %zu texts, %zu positions, %zu classified, %s kernels\n\n", reference.info.name, n, positions,
           classified, reference.info.cpu);
    printf(
        "| weights | compute | bits | KL mean | KL 99 %% | KL max | same top | perplexity | labels right | labels as "
        "fp32 |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < n_others; i++)
        measure_ways(texts, n, others[i], others[i], GPTJT_WEIGHTS_AUTO);
    for (size_t w = 0; !n_others && w < COUNT_OF(weights); w++)
        measure_ways(texts, n, model, NULL, weights[w]);
    free_texts(texts, n);
    close_run(&reference);
}

int main(int argc, char **argv)
{
    char *places[MAX_OTHERS];
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--cpu") && i + 1 < argc)
            cpu = argv[++i];
        else if (n < MAX_OTHERS)
            places[n++] = argv[i];
    }
    if (n < 2) {
        fprintf(stderr, "usage: quality MODEL TEXTS.jsonl [--cpu ISA] [OTHER ...]\n");
        return 2;
    }
    measure_all(places[0], places[1], places + 2, n - 2);
    return 0;
}

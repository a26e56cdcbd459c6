// SPDX-License-Identifier: Apache-2.0
/* What it brings to hand several requests over at once:
 *
 *     many MODEL [WEIGHTS [THREADS [ROUNDS]]]
 *
 * Short prompts (20 to 100 random tokens), 64 of them: one call each, and 8, 32 and 64 a call; a row for scoring (four
 * continuations of four tokens) and one for generating (32 tokens). Speeds are all rows that went through the model by
 * time, and beside them stands that of one prompt as long as the window allows up to 1024, which is what prefill can
 * do. Rounds of all sizes take turns; the best of each counts. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "gptjt.h"

enum { N = 64, LONGEST = 100, CONTINUATIONS = 4, CONTINUATION = 4, NEW = 32 };

static const size_t sizes[] = {1, 8, 32, N};

static _Noreturn void give_up(const char *message)
{
    fprintf(stderr, "many: %s\n", message);
    exit(1);
}

static void must(enum gptjt_status s)
{
    if (s != GPTJT_OK) give_up(gptjt_error());
}

struct work {
    int32_t ids[N][LONGEST], ends[N][CONTINUATIONS][CONTINUATION];
    struct gptjt_span spans[N][CONTINUATIONS];
    struct gptjt_score_request score[N];
    struct gptjt_generate_request generate[N];
    size_t score_rows, generate_rows;
};

static int32_t draw(uint64_t stream, uint64_t i, int n)
{
    return (int32_t)(rng_u64(1, stream, i) % (uint64_t)n);
}

static void fill(struct work *w, int V)
{
    for (unsigned i = 0; i < N; i++) {
        const size_t n = 20 + (size_t)draw(0, i, LONGEST - 19);
        for (size_t k = 0; k < n; k++)
            w->ids[i][k] = draw(1 + i, k, V);
        for (unsigned c = 0; c < CONTINUATIONS; c++) {
            for (unsigned k = 0; k < CONTINUATION; k++)
                w->ends[i][c][k] = draw(1000 + i, c * CONTINUATION + k, V);
            w->spans[i][c] = (struct gptjt_span){w->ends[i][c], CONTINUATION};
        }
        w->score[i] = (struct gptjt_score_request){{w->ids[i], n}, GPTJT_MASK_AUTO, w->spans[i], CONTINUATIONS};
        gptjt_generate_init(&w->generate[i]);
        w->generate[i].prompt = w->ids[i];
        w->generate[i].n_prompt = n;
        w->generate[i].max_new_tokens = NEW;
        w->score_rows += n + CONTINUATIONS * (CONTINUATION - 1);
    }
}

/* All prompts, size of them a call; seconds. */
static double score(struct gptjt_session *s, const struct work *w, size_t size)
{
    struct gptjt_score scores[N * CONTINUATIONS];
    const int64_t start = clock_ns();
    for (size_t i = 0; i < N; i += size) {
        must(gptjt_score_many(s, w->score + i, size, scores));
        gptjt_scores_free(scores, size * CONTINUATIONS);
    }
    return clock_seconds(start, clock_ns());
}

static double generate(struct gptjt_session *s, struct work *w, size_t size)
{
    struct gptjt_generation g[N];
    size_t rows = 0;
    const int64_t start = clock_ns();
    for (size_t i = 0; i < N; i += size) {
        must(gptjt_generate_many(s, w->generate + i, size, g));
        for (size_t k = 0; k < size; k++) {
            rows += w->generate[i + k].n_prompt + g[k].completions[0].n_tokens - 1;
            gptjt_generation_free(&g[k]);
        }
    }
    w->generate_rows = rows;
    return clock_seconds(start, clock_ns());
}

/* One prompt of n tokens, another one each round. */
static double prefill(struct gptjt_session *s, int round, size_t n, int V)
{
    int32_t *ids = calloc(n, sizeof *ids);
    struct gptjt_score out;
    if (!ids) give_up("out of memory");
    for (size_t k = 0; k < n; k++)
        ids[k] = draw(5000 + (uint64_t)round, k, V);
    const struct gptjt_span prompt = {ids, n}, one = {ids, 1};
    const int64_t start = clock_ns();
    must(gptjt_score(s, prompt, GPTJT_MASK_AUTO, &one, 1, &out));
    const double seconds = clock_seconds(start, clock_ns());
    gptjt_scores_free(&out, 1);
    free(ids);
    return seconds;
}

static void keep_best(double *best, double seconds)
{
    if (*best == 0 || seconds < *best) *best = seconds;
}

static struct gptjt_engine *open_engine(int argc, char **argv)
{
    static const char *const names[] = {"auto", "fp32", "fp16", "bf16", "q8", "q4"};
    struct gptjt_engine_options o;
    struct gptjt_engine *e;
    gptjt_engine_options_init(&o);
    for (size_t i = 0; argc > 2 && i < COUNT_OF(names); i++)
        if (!strcmp(argv[2], names[i])) o.weights = (enum gptjt_weights)i;
    if (argc > 3) o.threads = atoi(argv[3]);
    must(gptjt_engine_open(&e, argv[1], &o));
    return e;
}

int main(int argc, char **argv)
{
    if (argc < 2) give_up("usage: many MODEL [WEIGHTS [THREADS [ROUNDS]]]");
    struct gptjt_engine *e = open_engine(argc, argv);
    struct gptjt_info info;
    gptjt_engine_info(e, &info);
    struct work *w = calloc(1, sizeof *w);
    struct gptjt_session *s;
    if (!w) give_up("out of memory");
    fill(w, info.vocab_size);
    must(gptjt_session_create(&s, e, N * gptjt_tokens_needed(LONGEST, CONTINUATIONS, NEW)));

    const size_t whole = info.n_positions > 1024 ? 1024 : (size_t)info.n_positions - 1;
    double scored[COUNT_OF(sizes)] = {0}, generated[COUNT_OF(sizes)] = {0}, prefilled = 0;
    const int rounds = argc > 4 ? atoi(argv[4]) : 3;
    for (int round = 0; round < rounds; round++) {
        keep_best(&prefilled, prefill(s, round, whole, info.vocab_size));
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            keep_best(&scored[i], score(s, w, sizes[i]));
            keep_best(&generated[i], generate(s, w, sizes[i]));
        }
    }
    printf("%s, %s weights, %s products, %s, %d threads; one prompt of %zu: %.0f tokens/s\n\n", info.name, info.weights,
           info.compute, info.cpu, info.threads, whole, (double)whole / prefilled);
    printf("| requests a call | score, rows/s | times one | of prefill | generate, rows/s | times one |\n");
    printf("|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const double rate = (double)w->score_rows / scored[i];
        printf("| %zu | %.0f | %.2f | %.0f %% | %.0f | %.2f |\n", sizes[i], rate, scored[0] / scored[i],
               100 * rate * prefilled / (double)whole, (double)w->generate_rows / generated[i],
               generated[0] / generated[i]);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);
    free(w);
    return 0;
}

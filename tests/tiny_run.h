// SPDX-License-Identifier: Apache-2.0
/* Training runs of a model so small that they take no time, alone or on ranks that are threads, in a directory that
 * goes away: tiny_make() and tiny_remove() are cmocka's group set-up and tear-down. */
#ifndef GPTJT_TESTS_TINY_RUN_H
#define GPTJT_TESTS_TINY_RUN_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/file.h"
#include "base/pool.h"
#include "dist/grid.h"
#include "model/model_files.h"
#include "model/synth.h"
#include "net/local.h"
#include "tokenizer/tokenizer.h"
#include "train/trainer.h"

#define TINY_TOKENIZER "models/gpt-jt-tiny"

enum { TINY_LAYERS = 4, TINY_WIDTH = 16, TINY_SEQ_LEN = 16, TINY_BATCH = 8, TINY_MAX_RANKS = 8 };

static char tiny_directory[] = P_tmpdir "/gptjt-test-XXXXXX";
static char tiny_recipe[64];

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static bool tiny_go_on(void *user, uint64_t bytes)
{
    (void)user;
    (void)bytes;
    return true;
}

static void tiny_model(const char *dir, int width, bool tied)
{
    struct tokenizer *t = NULL;
    struct pool *pool = NULL;
    must(file_make_dirs(dir));
    must(tokenizer_open(&t, TINY_TOKENIZER));
    struct synth s = {.config = {.V = tokenizer_size(t),
                                 .P = 2 * TINY_SEQ_LEN,
                                 .D = width,
                                 .L = TINY_LAYERS,
                                 .H = 2,
                                 .R = 4,
                                 .tied = tied,
                                 .eos = 0},
                      .dtype = DTYPE_F32,
                      .seed = 3,
                      .init = true,
                      .initializer_range = 0.1};
    tokenizer_close(t);
    must(synth_complete(&s.config));
    must(pool_create(&pool, 1));
    must(synth_write(&s, dir, pool, tiny_go_on, NULL));
    pool_free(pool);
    must(model_files_copy_tokenizer(&(struct model_files){.from = TINY_TOKENIZER, .dir = dir}));
}

/* model/, tied/, text.jsonl and recipe.yaml. */
static int tiny_make(void **state)
{
    (void)state;
    char path[64], text[64];
    if (!mkdtemp(tiny_directory)) return -1;
    snprintf(path, sizeof path, "%s/tied", tiny_directory);
    tiny_model(path, TINY_WIDTH, true);
    snprintf(path, sizeof path, "%s/model", tiny_directory);
    tiny_model(path, TINY_WIDTH, false);
    snprintf(text, sizeof text, "%s/text.jsonl", tiny_directory);
    FILE *f = fopen(text, "w");
    if (!f) return -1;
    for (int i = 0; i < 64; i++)
        fprintf(f, "{\"text\": \"Row %d has the number %d, which is followed by %d and many other words.\"}\n", i,
                7 * i, 7 * i + 1);
    if (fclose(f)) return -1;
    snprintf(tiny_recipe, sizeof tiny_recipe, "%s/recipe.yaml", tiny_directory);
    f = fopen(tiny_recipe, "w");
    if (!f) return -1;
    fprintf(f,
            "model: %s\nsteps: 3\nbatch_size: %d\nmicro_batch_size: 1\nseq_len: %d\nobjective: causal\n"
            "precision: fp32\ndocuments: join\nrecompute: false\nlearning_rate: 0.05\nschedule: constant\n"
            "warmup_steps: 0\nadam_epsilon: 0.01\nmax_grad_norm: 0\ndata_shards: 4\ndata_workers: 0\nsave_steps: 0\n"
            "eval_steps: 0\neval_sequences: 5\nsave_total_limit: 0\nseed: 5\n"
            "sources:\n  - {name: text, format: pile, paths: %s}\n"
            "validation:\n  - {name: held, format: pile, paths: %s}\n",
            path, TINY_BATCH, TINY_SEQ_LEN, text, text);
    return fclose(f);
}

static int tiny_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int tiny_remove(void **state)
{
    (void)state;
    return nftw(tiny_directory, tiny_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* On every rank behind a run, while its team is there. */
struct tiny_run;
typedef void tiny_look_fn(struct tiny_run *r, struct transport *t, struct team *team);

struct tiny_run {
    struct recipe recipe;
    char output[128];
    bool resume;
    bool stop;               /* it is told to end from its first step on */
    const char *trace_steps; /* NULL: no trace; else it is in OUTPUT.trace */
    tiny_look_fn *look;      /* NULL: nobody does */
    uint64_t sent[TINY_MAX_RANKS][NET_PURPOSES];
};

static void tiny_begin(struct tiny_run *r, const char *name)
{
    option_given given = 0;
    *r = (struct tiny_run){0};
    must(recipe_read(&r->recipe, tiny_recipe, &given));
    snprintf(r->output, sizeof r->output, "%s/%s", tiny_directory, name);
    r->recipe.output = r->output;
}

static void tiny_end(struct tiny_run *r)
{
    recipe_free(&r->recipe);
}

static void tiny_trace_path(char *out, size_t bytes, const struct tiny_run *r)
{
    snprintf(out, bytes, "%s.trace", r->output);
}

static bool tiny_always(void)
{
    return true;
}

/* t NULL: alone. */
static enum status tiny_rank(struct transport *t, void *user)
{
    struct tiny_run *r = user;
    struct trace trace = {0};
    char path[160];
    struct trainer_options o = {.level = kernels_best_level(),
                                .threads = 1,
                                .quiet = true,
                                .resume = r->resume,
                                .stop = r->stop ? tiny_always : NULL};
    if (t) TRY(grid_open(&o.team, t, &r->recipe));
    if (r->trace_steps) {
        must(trace_open(&trace, r->trace_steps));
        o.trace = &trace;
    }
    tiny_trace_path(path, sizeof path, r);
    enum status s = trainer_run(&r->recipe, &o);
    for (enum net_purpose p = 0; t && p < NET_PURPOSES; p++)
        r->sent[t->rank][p] = net_sent(t, p).bytes;
    if (s == E_CANCELLED && r->stop) s = OK;
    if (s == OK && r->look) r->look(r, t, o.team);
    if (s == OK && o.trace) s = t ? grid_trace(o.team, path) : trace_write(&trace, path);
    if (t && s != OK) net_fail(t, s);
    grid_close(o.team);
    trace_close(&trace);
    return s;
}

/* ranks 0: alone. */
static void tiny_train(struct tiny_run *r, int ranks)
{
    if ((ranks ? local_run(ranks, tiny_rank, r) : tiny_rank(NULL, r)) != OK)
        fail_msg("%s, %d ranks: %s", r->output, ranks, status_message());
}

#endif

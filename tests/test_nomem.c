// SPDX-License-Identifier: Apache-2.0
/* Out of memory, everywhere: a job is done again and again while its first, second, third, ... allocation fails, until
 * it succeeds. Each failure must come back as a status with a message, never as a crash, and (under the address
 * sanitizer) leave nothing allocated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "alloc_fail.h"
#include "data/data.h"
#include "dist/schedule_picture.h"
#include "dist/sync.h"
#include "engine/engine.h"
#include "eval/classify.h"
#include "eval/rows.h"
#include "eval/task_page.h"
#include "eval/task_results.h"
#include "gptjt.h"
#include "hub/choose.h"
#include "model/export.h"
#include "model/quantize.h"
#include "net/collectives.h"
#include "net/shaped.h"
#include "scratch.h"
#include "tokenizer/bpe_train.h"
#include "tokenizer/vocabfile_write.h"
#include "train/recipe.h"
#include "train/trainee.h"

#define MICRO "tests/data/goldens/micro-a/"
#define TINY  "models/gpt-jt-tiny"

typedef enum status job_fn(const void *user);

static enum status failed(enum gptjt_status s)
{
    return (enum status)s;
}

static int for_good; /* whether all allocations after the one that fails fail, too */

/* stride: look at every so-manieth allocation only, where there are thousands. */
static void walk(job_fn *job, const void *user, enum alloc_scope scope, long stride)
{
    for (for_good = 0; for_good < 2; for_good++) {
        for (long n = 1;; n += stride) {
            alloc_fail_at(n, for_good, scope);
            const enum status s = job(user);
            const bool happened = alloc_failed();
            const long count = alloc_count();
            alloc_fail_at(0, false, ALLOC_OURS);
            if (!happened) {
                if (s != OK) fail_msg("%s", gptjt_error());
                assert_true(n > 3); /* or nothing was wrapped */
                break;
            }
            if (scope == ALLOC_AND_JSON) continue; /* jansson takes it for a syntax error, or for a shorter text */
            const bool thread = s == E_IO && strstr(gptjt_error(), "cannot start thread");
            if (s != E_NOMEM && !thread)
                fail_msg("allocation %ld of %ld failed: status %d, %s", n, count, (int)s, gptjt_error());
            assert_non_null(strstr(gptjt_error(), thread ? "thread" : "memory"));
        }
    }
}

static enum status open_and_close(const void *dir)
{
    struct gptjt_engine_options o;
    struct gptjt_engine *e;
    gptjt_engine_options_init(&o);
    o.threads = 2;
    const enum gptjt_status s = gptjt_engine_open(&e, dir, &o);
    if (s == GPTJT_OK) gptjt_engine_close(e);
    return failed(s);
}

static void opening_a_checkpoint(void **state)
{
    (void)state;
    static const char *const layouts[] = {MICRO "bin-fp16-prefix", MICRO "bin-fp16-legacy",
                                          MICRO "bin-fp32-prefix-sharded", MICRO "safetensors-fp16-sharded"};
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        walk(open_and_close, layouts[i], ALLOC_OURS, 1);
        walk(open_and_close, layouts[i], ALLOC_AND_JSON, 61);
    }
}

static enum status open_tokenizer(const void *dir)
{
    struct gptjt_tokenizer *t;
    const enum gptjt_status s = gptjt_tokenizer_open(&t, dir);
    if (s == GPTJT_OK) gptjt_tokenizer_close(t);
    return failed(s);
}

static void opening_a_tokenizer(void **state)
{
    (void)state;
    walk(open_tokenizer, TINY, ALLOC_OURS, 1);
    walk(open_tokenizer, TINY, ALLOC_AND_JSON, 1999);
    walk(open_tokenizer, "tests/data/tokenizer", ALLOC_AND_JSON, 4999);
}

static enum status encode_and_decode(const void *tokenizer)
{
    static const char text[] = "Input: <|endoftext|> w\xc3\xb6rter, 1234\n\n  \xff und so weiter";
    int32_t *ids;
    size_t n, len;
    char *back;
    enum gptjt_status s = gptjt_encode(tokenizer, text, sizeof text - 1, true, &ids, &n);
    if (s != GPTJT_OK) return failed(s);
    s = gptjt_decode(tokenizer, ids, n, &back, &len);
    gptjt_free(ids);
    if (s == GPTJT_OK) gptjt_free(back);
    return failed(s);
}

static bool more(void *user, const struct gptjt_token *t)
{
    (void)user;
    assert_non_null(t->text);
    return true;
}

static bool look(void *user, size_t position, const float *logits)
{
    (void)user, (void)position, (void)logits;
    return true;
}

static const int32_t ids[] = {11, 12, 13, 14, 15};
static const struct gptjt_span row = {ids, 5}, spans[] = {{ids, 3}, {ids + 1, 1}, {ids + 2, 2}};

static enum status generate_on(struct gptjt_session *s)
{
    static const char *const stop[] = {"never", "ever"};
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = 5;
    r.do_sample = true;
    r.num_return_sequences = 2;
    r.top_k = 5;
    r.stop = stop;
    r.n_stop = 2;
    r.on_token = more;
    for (int max = 0; max <= 40; max += 40) { /* without new tokens there is an empty text */
        r.max_new_tokens = max;
        const enum gptjt_status st = gptjt_generate(s, &r, &g);
        if (st != GPTJT_OK) return failed(st);
        for (int i = 0; i < g.n; i++)
            assert_non_null(g.completions[i].text);
        gptjt_generation_free(&g);
    }
    return OK;
}

static enum status use_session(const void *engine)
{
    struct gptjt_session *s;
    struct gptjt_score scores[3];
    enum gptjt_status st = gptjt_session_create(&s, (struct gptjt_engine *)(uintptr_t)engine, 0);
    if (st != GPTJT_OK) return failed(st);
    st = gptjt_score(s, row, GPTJT_MASK_AUTO, spans, 3, scores);
    if (st == GPTJT_OK) gptjt_scores_free(scores, 3);
    if (st == GPTJT_OK) st = gptjt_logits(s, row, 2, look, NULL);
    const enum status both = st == GPTJT_OK ? generate_on(s) : failed(st);
    gptjt_session_close(s);
    return both;
}

/* The same on one session: what failed before must not be in the way. */
static enum status reuse_session(const void *session)
{
    struct gptjt_session *s = (struct gptjt_session *)(uintptr_t)session;
    struct gptjt_score scores[3];
    const enum gptjt_status st = gptjt_score(s, row, GPTJT_MASK_AUTO, spans, 3, scores);
    if (st == GPTJT_OK) gptjt_scores_free(scores, 3);
    return st == GPTJT_OK ? generate_on(s) : failed(st);
}

/* Several at once, of which only some fit side by side. */
static enum status use_many(const void *session)
{
    struct gptjt_session *s = (struct gptjt_session *)(uintptr_t)session;
    enum { N = 4 };
    struct gptjt_score_request scored[N];
    struct gptjt_generate_request r[N];
    struct gptjt_generation g[N];
    struct gptjt_score scores[3 * N];
    for (int i = 0; i < N; i++) {
        scored[i] = (struct gptjt_score_request){{ids, 2 + (size_t)i}, GPTJT_MASK_AUTO, spans, 3};
        gptjt_generate_init(&r[i]);
        r[i].prompt = ids;
        r[i].n_prompt = 5 - (size_t)i;
        r[i].max_new_tokens = 90;
    }
    enum gptjt_status st = gptjt_score_many(s, scored, N, scores);
    if (st != GPTJT_OK) return failed(st);
    gptjt_scores_free(scores, 3 * N);
    st = gptjt_generate_many(s, r, N, g);
    for (int i = 0; st == GPTJT_OK && i < N; i++)
        gptjt_generation_free(&g[i]);
    return failed(st);
}

/* How requests of a batch ended. What they point to is not what it was afterwards, and when one fails, another one is
 * cancelled. */
struct ends {
    struct gptjt_batch *b;
    int32_t ids[12][5]; /* by number */
    int n_done, n_failed;
};

static void note_end(struct ends *e, uint64_t id, enum gptjt_status status)
{
    e->n_done++;
    e->n_failed += status == GPTJT_E_NOMEM;
    assert_true(status == GPTJT_OK || status == GPTJT_E_NOMEM || status == GPTJT_E_CANCELLED);
    memset(e->ids[id], 0x7f, sizeof e->ids[id]);
    if (status != GPTJT_E_NOMEM) return;
    assert_non_null(strstr(gptjt_error(), "memory"));
    gptjt_batch_cancel(e->b, id % 2 ? id + 1 : id - 1);
}

static void generated(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g)
{
    note_end(user, id, status);
    if (g) gptjt_generation_free(g);
}

static void scored(void *user, uint64_t id, enum gptjt_status status, struct gptjt_score *scores, size_t n)
{
    note_end(user, id, status);
    gptjt_scores_free(scores, n);
}

/* Every pass is put down after every block. A request that finds no memory fails alone: one allocation, one failure. */
static enum status use_batch(const void *session)
{
    const struct gptjt_batch_options o = {1e-9};
    struct gptjt_generate_request r;
    struct ends e = {0};
    int n_added = 0;
    enum gptjt_status st = gptjt_batch_open(&e.b, (struct gptjt_session *)(uintptr_t)session, &o);
    if (st != GPTJT_OK) return failed(st);
    gptjt_generate_init(&r);
    r.n_top = 3;
    for (int i = 0; i < 6; i++) {
        int32_t *mine = memcpy(e.ids[n_added + 1], ids, sizeof ids);
        const struct gptjt_score_request score = {{mine, 5}, GPTJT_MASK_AUTO, spans, 3, 2};
        r.prompt = mine;
        r.n_prompt = 5 - (size_t)i / 2;
        r.n_scored = (size_t)i / 2;
        r.max_new_tokens = 40;
        st = i % 2 ? gptjt_batch_score(e.b, &score, scored, &e, NULL)
                   : gptjt_batch_generate(e.b, &r, generated, &e, NULL);
        n_added += st == GPTJT_OK;
    }
    while (gptjt_batch_step(e.b))
        continue;
    gptjt_batch_close(e.b);
    assert_int_equal(e.n_done, n_added);
    e.n_failed += 6 - n_added;
    if (!for_good) assert_true(e.n_failed <= 1);
    return e.n_failed ? fail(E_NOMEM, "out of memory for %d requests", e.n_failed) : OK;
}

static enum status classify_text(const void *engine)
{
    static const char *const labels[] = {"yes", "no"}, *const names[] = {"Text"}, *const values[] = {"A lovely day."};
    const struct fewshot_shot shot = {values, "yes"};
    const struct fewshot_spec spec = {.labels = labels,
                                      .n_labels = 2,
                                      .list_labels = true,
                                      .label_name = "Label",
                                      .names = names,
                                      .n_fields = 1,
                                      .shots = &shot,
                                      .n_shots = 1};
    const struct classify_options o = {.calibrate = true};
    struct classify *c;
    struct classify_result r;
    enum status s = classify_create(&c, (struct gptjt_engine *)(uintptr_t)engine, &spec, &o);
    if (s != OK) return s;
    s = classify_run(c, values, &r);
    classify_free(c);
    return s;
}

static void using_an_engine(void **state)
{
    (void)state;
    struct gptjt_engine *e;
    struct gptjt_session *s, *small;
    assert_int_equal(gptjt_engine_open(&e, TINY, NULL), GPTJT_OK);
    assert_int_equal(gptjt_session_create(&s, e, 0), GPTJT_OK);
    assert_int_equal(gptjt_session_create(&small, e, 2 * gptjt_tokens_needed(5, 1, 90)), GPTJT_OK);
    walk(encode_and_decode, gptjt_engine_tokenizer(e), ALLOC_OURS, 1);
    walk(use_session, e, ALLOC_OURS, 1);
    walk(reuse_session, s, ALLOC_OURS, 1);
    walk(use_many, small, ALLOC_OURS, 1);
    walk(use_batch, small, ALLOC_OURS, 1);
    walk(classify_text, e, ALLOC_OURS, 1);
    gptjt_session_close(small);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

struct table {
    const char *text;
    enum rows_format format;
};

static enum status read_table(const void *user)
{
    const struct table *t = user;
    FILE *f = fmemopen((void *)(uintptr_t)t->text, strlen(t->text), "rb");
    assert_non_null(f);
    struct rows *rows;
    enum status s = rows_open_stream(&rows, f, "table", t->format);
    if (s != OK) return s;
    const struct row *r;
    do
        s = rows_next(rows, &r);
    while (s == OK && r);
    rows_close(rows);
    return s;
}

static void reading_a_table(void **state)
{
    (void)state;
    static const struct table tables[] = {
        {"id,text\n1,one\n2,\"two\nlines and more than a cell of sixty-four bytes, so that the buffer has to grow\"\n",
         ROWS_CSV},
        {"{\"id\": 1, \"text\": \"one\"}\n{\"id\": 2.5, \"text\": [null, {}], \"more\": \"\"}\n", ROWS_JSONL}};
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        walk(read_table, &tables[i], ALLOC_OURS, 1);
        walk(read_table, &tables[i], ALLOC_AND_JSON, 1);
    }
}

static enum status list_files(const void *text)
{
    struct hub_listing l;
    TRY(hub_listing_parse(&l, text, strlen(text), "o/n"));
    const enum status s = hub_choose(&l, &(struct hub_choice){0}, "o/n");
    hub_listing_free(&l);
    return s;
}

static void reading_the_list_of_a_hub(void **state)
{
    (void)state;
    static const char text[] =
        "{\"sha\": \"0123456789abcdef0123456789abcdef01234567\", \"siblings\": ["
        "{\"rfilename\": \"model.safetensors\", \"size\": 7, \"blobId\": \"0123456789abcdef0123456789abcdef01234567\"},"
        "{\"rfilename\": \"config.json\", \"size\": 7, \"blobId\": \"0123456789abcdef0123456789abcdef01234567\"}]}";
    walk(list_files, text, ALLOC_OURS, 1);
    walk(list_files, text, ALLOC_AND_JSON, 1);
}

static bool go_on(void *user, uint64_t bytes)
{
    (void)user, (void)bytes;
    return true;
}

static enum status quantise(const void *dir)
{
    struct gptjt_engine *e = calloc(1, sizeof *e);
    struct pool *pool = NULL;
    struct kernels k;
    if (!e) return fail(E_NOMEM, "out of memory");
    kernels_init(&k, kernels_best_level());
    enum status s = engine_read_checkpoint(e, MICRO "bin-fp16-prefix", GPTJT_MASK_AUTO);
    const struct quantize q = {.config = &e->config.model,
                               .src = e->source,
                               .from = MICRO "bin-fp16-prefix",
                               .prompt_mask = CONFIG_MASK_PREFIX,
                               .type = WEIGHT_Q4};
    if (s == OK) s = pool_create(&pool, 2);
    if (s == OK) s = quantize_write(&q, dir, &k, pool, go_on, NULL);
    pool_free(pool);
    gptjt_engine_close(e);
    return s;
}

static void quantising_a_checkpoint(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/gptjt-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    walk(quantise, dir, ALLOC_OURS, 1);
    walk(open_and_close, dir, ALLOC_OURS, 1);
    scratch_drop(dir, "config.json");
    scratch_drop(dir, "model.safetensors");
    assert_int_equal(rmdir(dir), 0); /* no temporary files */
}

static enum status export_it(const void *dir)
{
    struct gptjt_engine *e = calloc(1, sizeof *e);
    struct pool *pool = NULL;
    struct kernels k;
    static float zeros[2 * 80];
    struct peft_target target = {
        .module = PEFT_Q_PROJ, .a = {zeros, DTYPE_F32, 2, {2, 80}}, .b = {zeros, DTYPE_F32, 2, {80, 2}}};
    const struct peft adapter = {.config = {.r = 2, .alpha = 1}, .targets = &target, .n_targets = 1};
    if (!e) return fail(E_NOMEM, "out of memory");
    kernels_init(&k, kernels_best_level());
    enum status s = engine_read_checkpoint(e, MICRO "safetensors-fp32", GPTJT_MASK_AUTO);
    const struct export x = {.config = &e->config.model,
                             .src = e->source,
                             .from = MICRO "safetensors-fp32",
                             .prompt_mask = CONFIG_MASK_PREFIX,
                             .type = WEIGHT_F16,
                             .max_shard_bytes = 300000,
                             .adapter = &adapter};
    if (s == OK) s = pool_create(&pool, 2);
    if (s == OK) s = export_write(&x, dir, &k, pool, go_on, NULL);
    pool_free(pool);
    gptjt_engine_close(e);
    return s;
}

static void exporting_a_checkpoint(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/gptjt-test-XXXXXX", name[64];
    assert_non_null(mkdtemp(dir));
    walk(export_it, dir, ALLOC_OURS, 1);
    walk(open_and_close, dir, ALLOC_OURS, 1);
    scratch_drop(dir, "config.json");
    scratch_drop(dir, "model.safetensors.index.json");
    for (int n = 1; n < 9; n++) {
        for (int i = 1; i <= n; i++) {
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i, n);
            scratch_drop(dir, name);
        }
    }
    assert_int_equal(rmdir(dir), 0); /* no temporary files */
}

static enum status read_recipe(const void *path)
{
    struct recipe r;
    option_given given = 0;
    TRY(recipe_read(&r, path, &given));
    const enum status s = recipe_check(&r);
    recipe_free(&r);
    return s;
}

static void reading_a_recipe(void **state)
{
    (void)state;
    walk(read_recipe, "recipes/gpt-jt-6b-stage2.yaml", ALLOC_OURS, 1);
    walk(read_recipe, "recipes/gpt-jt-6b-stage2.yaml", ALLOC_AND_JSON, 1);
}

static enum status read_sequences(struct data *d)
{
    int32_t token[48], lo[48], hi[48], target[48];
    enum status s = OK;
    for (int i = 0; s == OK && i < 12; i++) {
        struct data_sequence sequence = {token, lo, hi, target, 0, 0};
        s = data_next(d, &sequence);
    }
    json_t *state = data_state(d);
    if (s == OK && state) s = data_restore(d, state);
    json_decref(state);
    return s;
}

/* Without threads: what fails in something that was read ahead and never asked for is no failure. */
static enum status train_on(const void *tokenizer)
{
    static const char *pile = "tests/data/train/documents.jsonl", *ni = "tests/data/train/ni",
                      *p3 = "tests/data/train/p3.jsonl", *cot = "tests/data/train/cot.json";
    const struct data_source sources[] = {
        {.format = DATA_PILE, .paths = {&pile, 1}, .weight = 1, .field = "text"},
        {.format = DATA_NI, .paths = {&ni, 1}, .weight = 1, .field = "text"},
        {.format = DATA_P3, .paths = {&p3, 1}, .weight = 1, .field = "text"},
        {.format = DATA_COT, .paths = {&cot, 1}, .weight = 1, .field = "text"},
    };
    const struct data_settings set = {.seq_len = 48,
                                      .objective = OBJECTIVE_UL2R,
                                      .sentinel_first = -1,
                                      .sentinels = 8,
                                      .mode_tokens = true,
                                      .sources = sources,
                                      .n_sources = COUNT_OF(sources)};
    struct data *d;
    TRY(data_open(&d, &set, tokenizer, 0, 1, 0));
    const enum status s = read_sequences(d);
    data_close(d);
    return s;
}

static void reading_training_data(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(&tokenizer, TINY), OK);
    walk(train_on, tokenizer, ALLOC_OURS, 1);
    walk(train_on, tokenizer, ALLOC_AND_JSON, 97);
    tokenizer_close(tokenizer);
}

/* A stage with all that a pipeline asks for; lora: or the adapters of one. */
static enum status open_stage(const void *lora)
{
    const struct trainee_options o = {.threads = 2,
                                      .sequences = 2,
                                      .seq_len = 16,
                                      .recompute = true,
                                      .first = 1,
                                      .slots = 3,
                                      .late = 2,
                                      .lora = *(const struct lora_shape *)lora};
    struct trainee t = {0};
    const enum status s = trainee_open(&t, MICRO "safetensors-fp32", &o);
    trainee_close(&t);
    return s;
}

static void opening_a_stage_for_training(void **state)
{
    (void)state;
    static const struct lora_shape none, adapters = {.r = 2, .modules = 1u << PEFT_Q_PROJ, .scale = 1};
    walk(open_stage, &none, ALLOC_OURS, 1);
    walk(open_stage, &adapters, ALLOC_OURS, 1);
}

static enum status learn(const void *dir)
{
    static const char text[] = "Input: w\xc3\xb6rter, 1234\n\n w\xc3\xb6rter und so weiter \xff 1234";
    const struct bpe_train_options options = {.n_tokens = 270, .min_frequency = 1};
    struct bpe_trainer *t;
    struct bpe_trained learned = {0};
    TRY(bpe_trainer_create(&t, &options));
    enum status s = bpe_trainer_add(t, text, sizeof text - 1);
    if (s == OK) s = bpe_trainer_run(&learned, t, NULL, NULL);
    bpe_trainer_free(t);
    const struct vocabfile_new files = {&learned, "<|endoftext|>", 2};
    if (s == OK) s = vocabfile_write(dir, &files);
    bpe_trained_free(&learned);
    return s;
}

static void learning_a_vocabulary(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/gptjt-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    walk(learn, dir, ALLOC_OURS, 1);
    walk(learn, dir, ALLOC_AND_JSON, 37);
    for (int i = 0; vocabfile_names[i]; i++)
        scratch_drop(dir, vocabfile_names[i]);
    assert_int_equal(rmdir(dir), 0);
}

struct evaluation {
    struct gptjt_engine *engine;
    const char *task;
};

static bool keep_asking(void *user, size_t n_done)
{
    (void)user;
    (void)n_done;
    return true;
}

static enum status make_page(const struct task_run *run)
{
    json_t *results;
    struct buf page = {0};
    enum status s = task_results(&results, run, 1, 5);
    if (s != OK) return s;
    s = task_page(&page, results);
    buf_free(&page);
    json_decref(results);
    return s;
}

static enum status evaluate(const void *user)
{
    const struct evaluation *e = user;
    struct task task = {0};
    struct task_data data = {0};
    enum status s = task_read(&task, e->task);
    if (s != OK) return s;
    s = task_load(&data, &task, 0);
    struct task_run run = {
        .task = &task, .data = &data, .masks = {GPTJT_MASK_PREFIX, GPTJT_MASK_CAUSAL}, .n_masks = 2, .settings = ""};
    if (s == OK) {
        s = task_run_open(&run);
        if (s == OK) s = task_run_all(&run, e->engine, keep_asking, NULL);
        if (s == OK) s = make_page(&run);
        task_run_free(&run);
    }
    task_data_free(&data);
    task_free(&task);
    return s;
}

static void evaluating_a_task(void **state)
{
    (void)state;
    struct evaluation e[2] = {{.task = "tests/data/eval/mood.yaml"}, {.task = "tests/data/eval/mood-said.yaml"}};
    struct gptjt_engine *engine;
    assert_int_equal(gptjt_engine_open(&engine, TINY, NULL), GPTJT_OK);
    for (size_t i = 0; i < COUNT_OF(e); i++) {
        e[i].engine = engine;
        walk(evaluate, &e[i], ALLOC_OURS, 5);
        walk(evaluate, &e[i], ALLOC_AND_JSON, 41);
    }
    gptjt_engine_close(engine);
}

static enum status share_a_sum(struct transport *t, void *user)
{
    const bool opens_groups = user != NULL;
    struct group g = {0};
    struct net_request r = {0};
    char data[4] = "";
    if (opens_groups) TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size}));
    enum status s = OK;
    if (t->size > 1) {
        s = t->rank ? net_send(t, &r, 0, NET_SYNC, 0, data, sizeof data)
                    : net_recv(t, &r, 1, NET_SYNC, 0, data, sizeof data);
        if (s == OK) s = net_wait(t, &r);
    }
    group_close(&g);
    return s;
}

/* Ranks other than the first ask for memory under the simulation's lock only. */
static enum status run_ranks(const void *user)
{
    struct shaped_link links[4];
    const struct shaped_net net = {.n = 2, .links = links};
    bool opens_groups = true;
    shaped_fill(links, 2, 1, 1);
    TRY(local_run(1, share_a_sum, &opens_groups));
    TRY(local_run(2, share_a_sum, NULL));
    return shaped_run(&net, share_a_sum, NULL, (void *)user);
}

static void running_ranks(void **state)
{
    (void)state;
    walk(run_ranks, NULL, ALLOC_OURS, 1);
}

static enum status draw(struct buf *out, const struct schedule *s)
{
    struct schedule_timeline t;
    TRY(schedule_check(s, NULL));
    TRY(schedule_timeline_create(&t, s));
    schedule_simulate(&t, s, &(struct schedule_times){.stage = {1, 1, 1}});
    schedule_text(out, s, &t, 100, true);
    schedule_svg(out, s, &t, "1F1B");
    schedule_timeline_free(&t);
    return buf_status(out);
}

static enum status draw_schedule(const void *user)
{
    (void)user;
    struct schedule s;
    struct buf out = {0};
    TRY(schedule_create(&s, SCHEDULE_1F1B, 3, 4));
    const enum status status = draw(&out, &s);
    buf_free(&out);
    schedule_free(&s);
    return status;
}

static void drawing_a_schedule(void **state)
{
    (void)state;
    walk(draw_schedule, NULL, ALLOC_OURS, 1);
}

/* Of a replica that sends to nobody yet: an embedding that is not its, and two layers. */
static size_t bytes_of_sync(const struct recipe *r, const struct sync_shape *shape)
{
    struct group peers = {.n = shape->n, .me = shape->me};
    static char names[3][32] = {"transformer.wte.weight", "transformer.h.0.x", "transformer.h.1.x"};
    const size_t begin = shape->all - shape->values, half = shape->values / 2;
    struct param all[] = {{.name = names[0], .n = begin},
                          {.name = names[1], .at = begin, .n = half},
                          {.name = names[2], .at = begin + half, .n = half}};
    struct params params = {.all = all, .n = 3, .n_values = shape->all};
    struct optimizer optimizer = {.params = &params};
    const struct sync_context c = {
        .recipe = r, .peers = &peers, .params = &params, .optimizer = &optimizer, .begin = begin, .end = shape->all};
    struct sync *s = NULL;
    params.value = calloc(params.n_values, sizeof *params.value);
    params.grad = calloc(params.n_values, sizeof *params.grad);
    assert_true(params.value && params.grad);
    alloc_fail_at(0, false, ALLOC_OURS);
    assert_int_equal(sync_create(&s, &c), OK);
    const size_t bytes = alloc_bytes();
    sync_free(s);
    free(params.value);
    free(params.grad);
    return bytes;
}

/* But for structures and lists of bounds. */
static void synchronisation_takes_what_the_formulas_say(void **state)
{
    (void)state;
    enum { SMALL = 2048 };
    static const struct {
        int sync, proxskip, wire, positions;
    } cases[] = {{SYNC_ALLREDUCE, 0, 0, 0},
                 {SYNC_SHARDED, 0, 0, 0},
                 {SYNC_PROXSKIP, PROXSKIP_LOCAL, 0, 0},
                 {SYNC_PROXSKIP, PROXSKIP_SHIFTED, 0, 0},
                 {SYNC_DILOCO, 0, TRAIN_WIRE_FP32, 0},
                 {SYNC_DILOCO, 0, TRAIN_WIRE_FP16, 0},
                 {SYNC_DILOCO, 0, TRAIN_WIRE_INT4, 0},
                 {SYNC_STREAMING, 0, TRAIN_WIRE_FP32, 0},
                 {SYNC_STREAMING, 0, TRAIN_WIRE_INT4, 0},
                 {SYNC_SPARSE, 0, 0, 0},
                 {SYNC_COCKTAIL, 0, 0, TRAIN_POSITIONS_BITMASK},
                 {SYNC_COCKTAIL, 0, 0, TRAIN_POSITIONS_GOLOMB}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recipe r = recipe_defaults;
        r.sync = cases[i].sync;
        r.proxskip = cases[i].proxskip;
        r.sync_wire = cases[i].wire;
        r.cocktail_positions = cases[i].positions;
        r.sync_fragments = 2;
        const struct sync_shape shape = {.recipe = &r, .n = 3, .me = 1, .values = 90000, .all = 100000};
        const size_t took = bytes_of_sync(&r, &shape), said = sync_shape_memory(&shape);
        if (took < said || took > said + SMALL) fail_msg("case %zu takes %zu bytes, not %zu", i, took, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_a_checkpoint),
        cmocka_unit_test(opening_a_tokenizer),
        cmocka_unit_test(using_an_engine),
        cmocka_unit_test(reading_a_table),
        cmocka_unit_test(reading_the_list_of_a_hub),
        cmocka_unit_test(quantising_a_checkpoint),
        cmocka_unit_test(exporting_a_checkpoint),
        cmocka_unit_test(reading_a_recipe),
        cmocka_unit_test(quantising_a_checkpoint),
        cmocka_unit_test(reading_training_data),
        cmocka_unit_test(learning_a_vocabulary),
        cmocka_unit_test(evaluating_a_task),
        cmocka_unit_test(running_ranks),
        cmocka_unit_test(opening_a_stage_for_training),
        cmocka_unit_test(drawing_a_schedule),
        cmocka_unit_test(synchronisation_takes_what_the_formulas_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

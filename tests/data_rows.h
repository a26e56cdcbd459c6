// SPDX-License-Identifier: Apache-2.0
/* Sequences as the trainer gets them, of one small source of each format, for the tests of src/data. */
#ifndef GPTJT_TESTS_DATA_ROWS_H
#define GPTJT_TESTS_DATA_ROWS_H

#include <math.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "data/data.h"

#define HERE "tests/data/train/"

enum { SEQ_MAX = 512 };

static struct tokenizer *tokenizer;
static int32_t end_of_text;

static inline int open_tokenizer(void **state)
{
    (void)state;
    if (tokenizer_open(&tokenizer, "models/gpt-jt-tiny") != OK) return -1;
    end_of_text = tokenizer_find(tokenizer, "<|endoftext|>");
    return end_of_text < 0;
}

static inline int close_tokenizer(void **state)
{
    (void)state;
    tokenizer_close(tokenizer);
    return 0;
}

static const char *document_path[] = {HERE "documents.jsonl"}, *ni_path[] = {HERE "ni"}, *p3_path[] = {HERE "p3.jsonl"},
                  *cot_path[] = {HERE "cot.json"}, *prompt_path[] = {HERE "prompt.jsonl"};

#define PATHS(array)                                                                                                   \
    {                                                                                                                  \
        .items = (array), .n = (int)COUNT_OF(array)                                                                    \
    }

static const struct data_source card[] = {
    {.format = DATA_COT, .paths = PATHS(cot_path), .weight = .05, .field = "text"},
    {.format = DATA_P3, .paths = PATHS(p3_path), .weight = .20, .field = "text"},
    {.format = DATA_NI, .paths = PATHS(ni_path), .weight = .20, .field = "text"},
    {.format = DATA_PILE, .paths = PATHS(document_path), .weight = .55, .field = "text"},
    {.format = DATA_PROMPT, .paths = PATHS(prompt_path), .weight = .10, .field = "text"},
};

static const struct data_settings plain = {.seq_len = 48,
                                           .documents = DOCUMENTS_JOIN,
                                           .objective = OBJECTIVE_CAUSAL,
                                           .seed = 3,
                                           .sentinel_first = -1,
                                           .sentinels = 100,
                                           .mode_tokens = true,
                                           .sources = card,
                                           .n_sources = COUNT_OF(card)};

struct row {
    int32_t token[SEQ_MAX], lo[SEQ_MAX], hi[SEQ_MAX], target[SEQ_MAX];
    int source, n_targets;
};

static inline struct data *open_data(const struct data_settings *set, int rank, int n_ranks, int n_workers)
{
    struct data *d;
    if (data_open(&d, set, tokenizer, rank, n_ranks, n_workers) != OK) fail_msg("%s", status_message());
    return d;
}

static inline void next(struct data *d, struct row *r)
{
    struct data_sequence s = {r->token, r->lo, r->hi, r->target, -1, -1};
    memset(r, 0x55, sizeof *r);
    if (data_next(d, &s) != OK) fail_msg("%s", status_message());
    r->source = s.source;
    r->n_targets = s.n_targets;
}

static inline struct data_settings one_source(const struct data_source *source, int documents, int objective)
{
    struct data_settings set = plain;
    set.sources = source;
    set.n_sources = 1;
    set.documents = documents;
    set.objective = objective;
    return set;
}

/* k of n is a share of p, within five standard errors. */
static inline void assert_share(int k, int n, double p)
{
    if (fabs(k - n * p) > 5 * sqrt(n * p * (1 - p))) fail_msg("%d of %d, expected a share of %g", k, n, p);
}

#endif

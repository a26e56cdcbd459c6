// SPDX-License-Identifier: Apache-2.0
/* Training data: from files of text to packed sequences of tokens with their visible intervals and targets.
 *
 *     files -> stream (records) -> format (examples of text) -> tokens -> pack / UL2 -> struct data_sequence
 *
 * What sequence i of step s of rank r is depends on the settings, the files, the seed and (s, i, r) alone; not on how
 * many threads load it, nor on how often the run was stopped and resumed. */
#ifndef GPTJT_DATA_DATA_H
#define GPTJT_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

enum data_format { DATA_PILE, DATA_NI, DATA_P3, DATA_COT, DATA_PROMPT, DATA_TOKENS, DATA_FORMATS };
#define DATA_FORMAT_NAMES "pile|ni|p3|cot|prompt|tokens"

/* What a sequence is trained to predict.
 *   CAUSAL  every token from those before it
 *   PREFIX  a random split: tokens behind it from those before it, which see each other (GPT-JT's second stage)
 *   UL2R    50 % S (the same), 25 % R, 25 % X denoising (Tay et al. 2022, arXiv:2210.11399; ul2.h)
 * Sources of format `prompt` know what is to be predicted, and of this take only whether prompts see all of themselves:
 * unless it is CAUSAL. */
enum data_objective { OBJECTIVE_CAUSAL, OBJECTIVE_PREFIX, OBJECTIVE_UL2R };
#define DATA_OBJECTIVE_NAMES "causal|prefix|ul2r"

/* Documents packed into one sequence do not see each other, or do (as in GPT-JT). */
enum data_documents { DOCUMENTS_ISOLATE, DOCUMENTS_JOIN };
#define DATA_DOCUMENTS_NAMES "isolate|join"

/* One entry of a recipe's `sources` or `validation`. The option table data_source_options describes it. */
struct data_source {
    const char *name; /* of reports; the format's name unless given */
    int format;
    struct option_strings paths; /* files, directories or globs: .jsonl, .json, .csv, .txt, each also .gz or .zst */
    double weight;               /* share of sequences, relative to the others' */
    const char *field;           /* pile: the member of a record that is its text ("text") */
    bool end_of_text;            /* pile, prompt: <|endoftext|> behind every document */
    const char *prompt,
        *completion; /* prompt: texts with {member}s of a record in them; NULL: its "prompt", "completion" */
};
extern const struct option data_source_options[];
extern const struct data_source data_source_defaults;
const char *data_source_name(const struct data_source *s);

struct data_settings {
    int64_t seq_len;
    int documents, objective; /* enum data_documents, enum data_objective */
    uint64_t seed;
    int64_t sentinel_first; /* the first sentinel's id, ascending from there: -1: the tokenizer's <|extratoken_1|> */
    int64_t sentinels;      /* how many there are at most */
    bool mode_tokens;       /* UL2R: [S2S], [NLU], [NLG] in front, as text */
    const struct data_source *sources; /* [n_sources], borrowed */
    int n_sources;
};

/* One packed row of seq_len tokens: row t sees lo[t] <= s < hi[t] and should predict target[t], unless that is
 * DATA_NO_TARGET. Padding, where a sequence could not be filled, sees itself only and is never a target. */
enum { DATA_NO_TARGET = -100 };
struct data_sequence {
    int32_t *token, *lo, *hi, *target; /* [seq_len] */
    int source;                        /* index into settings.sources */
    int n_targets;
};

struct data;

/* Opens all sources (every glob must match something) for rank `rank` of n_ranks, whose documents are different ones.
 * settings, its sources and tokenizer are borrowed until data_close(). n_workers threads read ahead (0: none; the
 * caller does the work in data_next()). */
enum status data_open(struct data **out, const struct data_settings *settings, const struct tokenizer *tokenizer,
                      int rank, int n_ranks, int n_workers);
void data_close(struct data *d); /* accepts NULL */

/* The next sequence into out's arrays. Sources cycle for ever. Errors name file and line. */
enum status data_next(struct data *d, struct data_sequence *out);

/* All that the next sequences depend on, as after the last data_next(): cursors, shuffles, partial buffers. New
 * reference, NULL without memory. restore: of a data opened with the same settings, at any time; E_FORMAT when the
 * state is not one or belongs to other sources, and then there are no more sequences. */
json_t *data_state(const struct data *d);
enum status data_restore(struct data *d, const json_t *state);

/* Documents without text that a source has passed over, as after the last data_next(). */
int64_t data_skipped(const struct data *d, int source);

#endif

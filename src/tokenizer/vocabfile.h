// SPDX-License-Identifier: Apache-2.0
/* Reads a tokenizer's files, from memory, into its tables. Two forms hold the same facts: vocab.json and merges.txt,
 * as GPT-2 was published, with added tokens in files of their own, and Hugging Face's tokenizer.json. */
#ifndef GPTJT_TOKENIZER_VOCABFILE_H
#define GPTJT_TOKENIZER_VOCABFILE_H

#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

/* Hugging Face first takes out the added tokens that are to be matched in the raw text, then, in what is left, those
 * to be matched in normalized text. There is no normalizer here, but the order remains. */
enum { TABLES_RAW, TABLES_NORMALIZED, TABLES_ADDED };

struct tables {
    struct vocab vocab;
    struct bpe bpe;
    struct added added[TABLES_ADDED];
};

/* Both fill tables that are zero, and leave whatever they hold on an error to tables_free(). */
enum status vocabfile_read_json(struct tables *t, const struct tokenizer_sources *sources);
enum status vocabfile_read_separate(struct tables *t, const struct tokenizer_sources *sources);

void tables_free(struct tables *t);

#endif

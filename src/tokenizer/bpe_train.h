// SPDX-License-Identifier: Apache-2.0
/* Learns a byte-level BPE vocabulary: from texts, the merges that GPT-2's tokenizer will make.
 *
 * Texts are cut into pieces as for encoding (pretok.h) and the different pieces counted, so memory grows with those and
 * not with the text. Then, starting from single bytes, the most frequent pair of neighbours becomes a token, again and
 * again; of pairs that are equally frequent, the one of the smaller ids. That is Hugging Face's BpeTrainer with all 256
 * bytes as its alphabet, and what is learned is what it learns, merge by merge. */
#ifndef GPTJT_TOKENIZER_BPE_TRAIN_H
#define GPTJT_TOKENIZER_BPE_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "tokenizer/vocab.h"

enum { BPE_TRAIN_BYTES = 256 }; /* tokens of one byte, the first ids */

struct bpe_train_options {
    int32_t n_tokens;       /* to stop at, at least BPE_TRAIN_BYTES                                        */
    uint64_t min_frequency; /* of a pair: rarer ones are not merged                                    */
    bool digits_apart;      /* no token has a digit (0 to 9) and anything else in it                   */
    bool by_line;           /* no token goes over a line's end, as when Hugging Face's train() reads files */
};

struct bpe_trainer;

/* *out is owned: bpe_trainer_free(). */
enum status bpe_trainer_create(struct bpe_trainer **out, const struct bpe_train_options *o);
void bpe_trainer_free(struct bpe_trainer *t); /* accepts NULL */

/* Takes in one text: nothing is merged over the end of one. Bytes that are no UTF-8 stand alone, as in encoding. */
enum status bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t len);

struct bpe_trained_merge {
    int32_t left, right;
};

struct bpe_trained {
    struct vocab vocab;               /* the bytes in the order of their characters, then what was merged, in order */
    struct bpe_trained_merge *merges; /* [vocab.n_ids - BPE_TRAIN_BYTES]: merge i makes token BPE_TRAIN_BYTES + i */

    uint64_t n_texts, n_bytes, n_words; /* what it was learned from; n_words: different pieces */
    uint64_t n_tokens;                  /* that the texts are now                              */
    uint64_t last_frequency;            /* of the last pair that was merged; 0: none           */
};
void bpe_trained_free(struct bpe_trained *b);

/* Called now and then with the size the vocabulary has; false stops: E_CANCELLED. */
typedef bool bpe_train_progress_fn(void *user, int32_t n_tokens);

/* Learns from what was added, which is used up. *out is owned. progress may be NULL. */
enum status bpe_trainer_run(struct bpe_trained *out, struct bpe_trainer *t, bpe_train_progress_fn *progress,
                            void *user);

#endif

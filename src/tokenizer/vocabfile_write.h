// SPDX-License-Identifier: Apache-2.0
/* Writes a vocabulary that was learned as a Hugging Face directory: vocab.json and merges.txt with the three files of
 * added tokens beside them, and the same as tokenizer.json. Ids are GPT-J's way: what was learned, the token that ends
 * texts, extra tokens. */
#ifndef GPTJT_TOKENIZER_VOCABFILE_WRITE_H
#define GPTJT_TOKENIZER_VOCABFILE_WRITE_H

#include "tokenizer/bpe_train.h"

struct vocabfile_new {
    const struct bpe_trained *learned;
    const char *end_of_text; /* "<|endoftext|>" */
    int n_extra;             /* <|extratoken_1|> and so on, added tokens that are free for any use */
};

/* Their names, NULL at the end; tokenizer.json, which readers prefer, is written last. */
extern const char *const vocabfile_names[];

/* Files appear whole, one after the other. E_ARG where end_of_text is a token already. */
enum status vocabfile_write(const char *dir, const struct vocabfile_new *v);

#endif

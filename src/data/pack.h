// SPDX-License-Identifier: Apache-2.0
/* From documents to rows: what is prefix, what is target, who sees whom (docs/DATA.md). */
#ifndef GPTJT_DATA_PACK_H
#define GPTJT_DATA_PACK_H

#include "data/data.h"
#include "data/feed.h"
#include "data/ul2.h"

struct packer {
    int seq_len;
    bool join;
    int objective; /* enum data_objective */
    int32_t padding;
    int32_t sentinel_first;
    int n_sentinels;
    struct token_list mode[UL2_MODES]; /* tokens of the mode, none where they are off */
};

/* Room for one row's work; one a thread that packs. */
struct pack_scratch {
    int32_t *text;    /* [seq_len] */
    int *begin, *len; /* [seq_len] spans */
};

/* E_ARG where the objective wants tokens that the tokenizer does not have. Owned: pack_close(), also after an error. */
enum status pack_open(struct packer *p, const struct data_settings *settings, const struct tokenizer *t);
void pack_close(struct packer *p);
enum status pack_scratch_open(struct pack_scratch *s, int seq_len);
void pack_scratch_close(struct pack_scratch *s);

/* The next row of a feed into out's arrays; d decides prefixes and spans. */
enum status pack_row(const struct packer *p, const struct pack_scratch *s, struct feed *f, struct draws *d,
                     struct data_sequence *out);

#endif

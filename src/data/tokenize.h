// SPDX-License-Identifier: Apache-2.0
/* A source's documents, each once and in the order of its files, as a tokens file (tokens_file.h). */
#ifndef GPTJT_DATA_TOKENIZE_H
#define GPTJT_DATA_TOKENIZE_H

#include "data/data.h"

/* Why a source cannot be written so, or NULL: those that make their texts anew for every sequence. */
const char *tokenize_obstacle(const struct data_source *source);

struct tokenize_job {
    const struct data_source *source;
    const struct tokenizer *tokenizer;
    int documents; /* enum data_documents: whether chains of thought begin with a blank line or end with a line break */

    /* Called now and then with the bytes of files (as they lie on the disk) that have been read, and their sum. False
     * stops: E_CANCELLED. May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};

struct tokenize_result {
    uint64_t n_documents, n_tokens, n_skipped; /* skipped: without text */
};

/* The file appears whole or not at all. */
enum status tokenize_write(struct tokenize_result *out, const struct tokenize_job *job, const char *path);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Which files of a repository to download. A repository often has the same weights several times, for several
 * frameworks; what this program and transformers need to run a model is one of them, config.json and the tokenizer. */
#ifndef GPTJT_HUB_CHOOSE_H
#define GPTJT_HUB_CHOOSE_H

#include "hub/listing.h"

/* Patterns are those of Python's fnmatch, as huggingface_hub's allow_patterns and ignore_patterns: '*' also matches
 * '/', and one that ends in '/' means all that is below. */
struct hub_choice {
    bool all;                   /* every file; else, without include, what is needed to run the model */
    const char *const *include; /* [n_include], borrowed: these instead of that */
    int n_include;
    const char *const *exclude; /* [n_exclude], borrowed: but none of these */
    int n_exclude;
};

/* Sets wanted in every file. What is needed: config.json, generation_config.json, the tokenizer's files, and the first
 * there is of model.safetensors, its shards with their index, pytorch_model.bin, its shards with their index; or
 * adapter_config.json with the weights of an adapter. E_UNSUPPORTED where there are no such weights, and E_ARG when
 * nothing is left to download. where is for messages. */
enum status hub_choose(struct hub_listing *l, const struct hub_choice *c, const char *where);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Added tokens as the files write them: an object of text and flags wherever transformers saves one, and beside
 * vocab.json and merges.txt three more files that each know a part. */
#ifndef GPTJT_TOKENIZER_ADDEDFILE_H
#define GPTJT_TOKENIZER_ADDEDFILE_H

#include "base/json.h"
#include "tokenizer/vocabfile.h"

/* {"content": TEXT, "normalized": ..., "lstrip": ...}; name is the file, for messages. */
enum status addedfile_entry(struct tables *t, const char *name, int64_t id, const json_t *entry);

/* The added tokens of added_tokens.json, special_tokens_map.json and tokenizer_config.json, to go with the vocabulary
 * that t has. */
enum status addedfile_read(struct tables *t, const struct tokenizer_sources *sources);

/* E_UNSUPPORTED if tokenizer_config.json asks for ids that the other files do not lead to. */
enum status addedfile_check_config(const struct tokenizer_source *config);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What lies beside the weights in a model's directory: config.json, rewritten, and small files taken along. They are
 * written before the weights appear, and go again if something fails. */
#ifndef GPTJT_MODEL_MODEL_FILES_H
#define GPTJT_MODEL_MODEL_FILES_H

#include <stdint.h>

#include "base/json.h"
#include "formats/gptj_config.h"

struct model_files {
    const char *from; /* the directory they come from: config.json, and what there is of generation_config.json and the
                       * tokenizer's files */
    const char *dir;  /* the directory they go to                    */
    uint32_t there;   /* model_files_begin(): what was there before  */
};

void model_files_begin(struct model_files *f);

/* The source's config.json with the mask recorded and torch_dtype, unless that is NULL, for the caller to change.
 * *out is owned. */
enum status model_files_config(json_t **out, const struct model_files *f, enum config_mask mask,
                               const char *torch_dtype);

/* config becomes config.json, the others are copied. */
enum status model_files_write(const struct model_files *f, const json_t *config);

/* The tokenizer's files alone. */
enum status model_files_copy_tokenizer(const struct model_files *f);

/* Removes those that were not there before. */
void model_files_undo(const struct model_files *f);

#endif

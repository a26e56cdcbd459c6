// SPDX-License-Identifier: Apache-2.0
/* config.json of a gptj checkpoint, and what generation_config.json asks for. */
#ifndef GPTJT_FORMATS_GPTJ_CONFIG_H
#define GPTJT_FORMATS_GPTJ_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"

/* The model's sizes under the letters of the whole project; Hugging Face's names beside them. */
struct gptj_config {
    int V;            /* vocab_size                             */
    int P;            /* n_positions: the window                */
    int D;            /* n_embd                                 */
    int L;            /* n_layer                                */
    int H;            /* n_head                                 */
    int K;            /* D / H: head size                       */
    int R;            /* rotary_dim: even, <= K                 */
    int F;            /* n_inner, or 4 D where it is null       */
    double eps;       /* layer_norm_epsilon                     */
    bool tied;        /* tie_word_embeddings                    */
    int32_t bos, eos; /* bos_token_id, eos_token_id; -1: none */
};

/* How our own exports record the mask: "prompt_mask": "prefix" or "causal". */
enum config_mask { CONFIG_MASK_NONE, CONFIG_MASK_PREFIX, CONFIG_MASK_CAUSAL };

/* Generation settings a checkpoint brings along; the ones it does not name keep transformers' own defaults. */
struct generation_config {
    const char *origin; /* "generation_config.json", "task_specific_params", or NULL: there are none; static */
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    int top_k, max_length, max_new_tokens;
};

struct checkpoint_config {
    struct gptj_config model;
    enum config_mask prompt_mask;
    char name_or_path[256]; /* "_name_or_path", "" where absent or longer */
    char torch_dtype[32];   /* "" where absent                            */
    struct generation_config generation;
};

/* From dir/config.json, and dir/generation_config.json if it is there. */
enum status checkpoint_config_read(struct checkpoint_config *out, const char *dir);

/* The same from parsed JSON; where names the file in errors. generation may be NULL. */
enum status checkpoint_config_parse(struct checkpoint_config *out, const json_t *config, const json_t *generation,
                                    const char *where);

/* config.json for these sizes, as transformers would write it. *out is owned: json_decref(). */
enum status checkpoint_config_json(json_t **out, const struct gptj_config *c, const char *torch_dtype,
                                   enum config_mask prompt_mask);

/* Parameters of the model, a tied head counted once. */
int64_t gptj_config_parameters(const struct gptj_config *c);

#endif

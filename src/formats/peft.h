// SPDX-License-Identifier: Apache-2.0
/* LoRA adapters as PEFT lays them out: a directory with adapter_config.json and adapter_model.safetensors. A linear map
 * W [O][I] becomes W + scale B A with A [r][I] and B [O][r]; scale is alpha / r, or alpha / sqrt(r) where use_rslora.
 *
 * What the tensors are decides which matrices are adapted, not target_modules. Whatever would change the result and is
 * not done here (DoRA, ranks that differ, trained biases or whole modules, ...) is refused by name. */
#ifndef GPTJT_FORMATS_PEFT_H
#define GPTJT_FORMATS_PEFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "formats/gptj_config.h"
#include "formats/source.h"
#include "tensor/tensor.h"

/* The linear maps of a block. */
enum peft_module { PEFT_Q_PROJ, PEFT_K_PROJ, PEFT_V_PROJ, PEFT_OUT_PROJ, PEFT_FC_IN, PEFT_FC_OUT, PEFT_MODULES };

const char *peft_module_name(enum peft_module m); /* "q_proj"; static */
bool peft_module_from_name(enum peft_module *out, const char *name);

/* A module's matrix is [O][I]. */
void peft_module_sizes(const struct gptj_config *model, enum peft_module m, int *O, int *I);

/* "base_model.model.transformer.h.3.attn.q_proj.lora_A.weight", or its lora_B. */
enum { PEFT_NAME_BYTES = 160 };
void peft_tensor_name(char *name, size_t bytes, int layer, enum peft_module m, bool is_b);

struct peft_config {
    int r;
    double alpha;
    bool use_rslora;
    char base_model[256]; /* base_model_name_or_path, "" where absent or longer */
};

double peft_scale(const struct peft_config *c);

/* One adapted matrix. Both tensors are of the same float type; borrowed. */
struct peft_target {
    int layer;
    enum peft_module module;
    struct tensor a, b; /* [r][I], [O][r] */
};

struct peft {
    struct peft_config config;
    struct source *source;       /* owned; the tensors lie in it */
    struct peft_target *targets; /* owned, [n_targets], by layer and module, each once */
    int n_targets;
};

/* Reads dir for a model of these sizes: every tensor is one of a target's two and has the shape that model and rank ask
 * for. *out is owned. */
enum status peft_open(struct peft **out, const char *dir, const struct gptj_config *model);
void peft_close(struct peft *p); /* accepts NULL */

/* The target that adapts this matrix, or NULL: by place, or by the parameter's name
 * ("transformer.h.0.attn.q_proj.weight"). */
const struct peft_target *peft_find(const struct peft *p, int layer, enum peft_module module);
const struct peft_target *peft_find_parameter(const struct peft *p, const char *name);

/* adapter_config.json alone. where names it in errors. */
enum status peft_config_parse(struct peft_config *out, const json_t *json, const char *where);

/* Writes both files into dir, which exists; the weights appear last. targets are of one rank, c->r. */
enum status peft_write(const char *dir, const struct peft_config *c, const struct peft_target *targets, int n_targets);

#endif

// SPDX-License-Identifier: Apache-2.0
/* GPT-J's weights: what they are, how they are found in a checkpoint, and which mask the checkpoint was made for.
 * docs/MODEL.md has the forward pass as formulas; forward.c has it as code. */
#ifndef GPTJT_MODEL_GPTJ_H
#define GPTJT_MODEL_GPTJ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "formats/gptj_config.h"
#include "formats/peft.h"
#include "formats/source.h"
#include "ops/ops.h"

/* A low-rank addition to a matrix [O][I] (Hu et al. 2021, arXiv:2106.09685): y = w x + b (a x). */
struct lora {
    struct weight a, b; /* [r][I], [O][r]; a.O is r, and 0 where there is none */
};

struct gptj_layer {
    struct weight ln_w, ln_b;       /* [D]; one norm feeds both attention and MLP */
    struct weight q, k, v, o;       /* [D][D] out x in, no bias                   */
    struct weight fc_in, fc_in_b;   /* [F][D], [F]                                */
    struct weight fc_out, fc_out_b; /* [D][F], [D]                                */
    struct lora lora[PEFT_MODULES]; /* of q, k, v, o, fc_in, fc_out               */
};

/* Layers [first, last) of a model; the embedding comes with first == 0, norm and head with last == L. A tied head
 * brings the embedding along: then two stages of a model have it. */
struct gptj {
    struct gptj_config cfg;
    struct ops *ops; /* borrowed */
    int first, last;
    struct gptj_layer *layers; /* [last - first] */
    struct weight wte;         /* [V][D] */
    struct weight ln_f_w, ln_f_b;
    struct weight head, head_b; /* [V][D], [V]; head is wte where tied */
    float *sin, *cos;           /* [P][R/2] on the device */
};

/* Matrices are held in the type asked for, or as the file has them. Vectors are always fp32 (they are 0.03 % of a 6 B
 * model). */
#define WEIGHT_AS_STORED WEIGHT_TYPES

/* Checks names, shapes and dtypes of every tensor of the whole checkpoint against cfg: missing, extra and misshapen
 * ones are E_FORMAT, several named in one line. Known buffers (attn.bias, attn.masked_bias) are allowed. Matrices are
 * F32, F16 or BF16 in the shape that cfg says, or quantised. */
enum status gptj_check(const struct gptj_config *cfg, const struct source *src);

/* ---- How a checkpoint stores its tensors ----
 *
 * A quantised matrix is a U8 tensor [strips][bytes of a strip] under its usual name (kernels/quant.h, docs/FORMATS.md);
 * the file's metadata says which type they are. */
#define GPTJ_NOTE_TYPE   "quantization"        /* "q8" or "q4", of all of them ...  */
#define GPTJ_NOTE_HEAD   "quantization_head"   /* ... but embedding and head, if there */
#define GPTJ_NOTE_LAYOUT "quantization_layout" /* GPTJ_LAYOUT                       */
#define GPTJ_LAYOUT      "gptjt-2"

struct gptj_tensor_spec;

/* Matrices but for those with one input, which are held like vectors. */
bool gptj_can_quantise(const struct gptj_tensor_spec *spec);
bool gptj_is_quantised(const struct tensor *t, const struct gptj_tensor_spec *spec);

/* Embedding and head. */
bool gptj_is_head(const struct gptj_tensor_spec *spec);

/* What a matrix becomes where a type is asked for: embedding and head of a q4 model are q8, because in q4 they do four
 * times the harm of all other matrices together and are 7 % of a model (docs/QUALITY.md). */
enum weight_type gptj_type_for(const struct gptj_tensor_spec *spec, enum weight_type asked);

/* The tensor of a checked source as it lies in memory; false: it is missing. */
bool gptj_stored_weight(struct weight *out, const struct source *src, const struct gptj_tensor_spec *spec);

/* E_FORMAT or E_UNSUPPORTED when there are quantised matrices and the metadata does not say how, or says what this
 * program does not know. */
enum status gptj_check_quantised(const struct gptj_config *cfg, const struct source *src);

/* The type of the quantised matrices of a checked source, embedding and head aside; WEIGHT_TYPES: there are none. */
enum weight_type gptj_quantised_type(const struct gptj_config *cfg, const struct source *src);

/* The shape of a matrix as a tensor of a file. */
void gptj_stored_shape(int64_t shape[2], const struct gptj_tensor_spec *spec, enum weight_type type);

/* The type the matrices of a checked checkpoint will be held in, going by the first layer's. */
enum weight_type gptj_held_type(const struct gptj_config *cfg, const struct source *src, enum weight_type asked);

/* ---- Loading ---- */

/* Binds layers [first, last). src must outlive the model unless everything was converted. *out is owned. */
enum status gptj_load(struct gptj **out, const struct gptj_config *cfg, const struct source *src, struct ops *ops,
                      int first, int last, enum weight_type type);
void gptj_free(struct gptj *m); /* accepts NULL */

/* Parameter bytes of matrices and vectors as held. */
int64_t gptj_weight_bytes(const struct gptj_config *c, enum weight_type matrices);

/* Memory a whole model, or layers [first, last), take once loaded by the CPU backend. Mapped bytes are pages of the
 * file, which the system reads on first use and may drop again; heap bytes are converted copies and the rotary table.
 * src is a checked one. */
struct gptj_memory {
    int64_t mapped, heap;
};
struct gptj_memory gptj_memory(const struct gptj_config *cfg, const struct source *src, enum weight_type type);
struct gptj_memory gptj_memory_in(const struct gptj_config *cfg, int first, int last, const struct source *src,
                                  enum weight_type type);

/* One tensor of the checkpoint, as gptj_each_tensor() lists them. */
struct gptj_tensor_spec {
    const char *name; /* "transformer.h.3.attn.q_proj.weight"; valid during the call */
    int n_dims;
    int64_t shape[2];
};
typedef enum status gptj_tensor_fn(void *user, const struct gptj_tensor_spec *spec);

/* Calls each for every parameter, or those that a model of layers [first, last) has, in checkpoint order; stops at the
 * first failure and returns it. */
enum status gptj_each_tensor(const struct gptj_config *cfg, gptj_tensor_fn *each, void *user);
enum status gptj_each_tensor_in(const struct gptj_config *cfg, int first, int last, gptj_tensor_fn *each, void *user);

/* Calls each for every weight of the model's layer range in checkpoint order; stops at the first failure and returns
 * it. */
typedef enum status gptj_weight_fn(void *user, const struct gptj_tensor_spec *spec, struct weight *w);
enum status gptj_each_weight(struct gptj *m, gptj_weight_fn *each, void *user);

/* The matrix of a layer that a PEFT module is. */
struct weight *gptj_module(struct gptj_layer *l, enum peft_module m);

/* Binds an adapter for this model to it: copies in fp32, its scale multiplied into b. Its layers outside the model's
 * range are left out. */
enum status gptj_adapt(struct gptj *m, const struct peft *adapter);

/* The mask the checkpoint's attn.bias buffers record. */
enum stored_mask { STORED_MASK_ABSENT, STORED_MASK_PREFIX, STORED_MASK_CAUSAL, STORED_MASK_OTHER };
enum stored_mask gptj_stored_mask(const struct gptj_config *cfg, const struct source *src);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The parameters that training changes, as one vector: fp32 masters and their gradients, tensor after tensor in
 * checkpoint order. The model computes with the masters themselves, or with copies of the matrices in a narrow type.
 *
 * A model of some layers, a pipeline's stage, has the parameters of those under the whole checkpoint's names, with the
 * values they would have there. Where a head is tied, the last stage has a "transformer.wte.weight" of its own beside
 * the first one's: the gradients of both have to be summed before an update, and the sum counts once in a norm of all
 * gradients; then both remain equal. */
#ifndef GPTJT_MODEL_PARAMS_H
#define GPTJT_MODEL_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/source.h"
#include "model/gptj.h"

struct param {
    char *name; /* owned: "transformer.h.3.attn.q_proj.weight" */
    int n_dims;
    int64_t shape[2];
    size_t at, n;          /* the vector's elements [at, at + n); at is a multiple of PARAMS_ALIGN */
    bool decays;           /* matrices do; norms and biases do not */
    struct weight *weight; /* of the model */
};

enum { PARAMS_ALIGN = 16 };

struct params {
    struct ops *ops; /* borrowed */
    struct param *all;
    int n;
    size_t n_values;     /* with what fills up to PARAMS_ALIGN, which is 0 */
    float *value, *grad; /* [n_values] on the device */
};

/* The parameter called name, or NULL. Borrowed. */
const struct param *params_find(const struct params *p, const char *name);

/* Takes every weight of the model over: masters are read from src, which m was loaded from and which may be closed
 * then; matrices are computed with in the given type (F32, F16 or BF16). m must not outlive *out. *out is owned. */
enum status params_create(struct params **out, struct gptj *m, const struct source *src, enum weight_type matrices);
void params_free(struct params *p); /* accepts NULL */

/* The matrices of an adapter: of rank r beside each module whose bit is set (1 << enum peft_module), times scale. */
struct lora_shape {
    int r; /* 0: no adapter, the model itself is trained */
    unsigned modules;
    float scale;
};

/* Adds fresh adapters to m, the only ones that are trained: a uniform in +-1/sqrt(inputs) as PEFT has it, drawn by
 * seed, b zero. The model's own weights stay as they are and are not copied. Names are PEFT's. */
enum status params_create_lora(struct params **out, struct gptj *m, const struct lora_shape *shape, uint64_t seed);
size_t params_lora_values(const struct gptj_config *c, int first, int last, const struct lora_shape *shape);

/* What create allocates for layers [first, last): n_values, of which masters and gradients each take four bytes, and
 * the bytes of the narrow copies. */
size_t params_values(const struct gptj_config *c, int first, int last);
size_t params_copy_bytes(const struct gptj_config *c, int first, int last, enum weight_type matrices);

/* After the masters, or those of parameters [first, last), have changed: the narrow copies again. */
void params_changed(struct params *p);
void params_copy(struct params *p, int first, int last);

#endif

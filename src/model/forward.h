// SPDX-License-Identifier: Apache-2.0
/* The forward pass over the rows of a batch, in steps that can be interleaved with other work.
 *
 * A prompt under the prefix mask cannot be cut along its length: every row of layer l needs the K/V of all rows of
 * layer l. So a pass is cut along (layer, phase, block of rows) instead: in phase 1 each block of rows gets its norm,
 * MLP, Q, K and V, and stores K and V; in phase 2, when all K/V of the layer are there, attention and its output
 * projection. A server runs one block, does something else, and comes back. */
#ifndef GPTJT_MODEL_FORWARD_H
#define GPTJT_MODEL_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "model/gptj.h"
#include "model/kvcache.h"

/* Activations on the device, for up to max_rows rows. One pass at a time. */
struct workspace {
    struct ops *ops; /* borrowed */
    bool beside;     /* all but x and q are another workspace's */
    int max_rows, D, F;
    int block_rows;   /* of the backend */
    float *x;         /* [max_rows][D] the residual stream               */
    float *q;         /* [max_rows][D] = [max_rows][H][K]                */
    float *a, *k, *v; /* [block_rows][D] norm (later attention), K, V    */
    float *h;         /* [block_rows][F] the MLP's hidden layer          */
    float *z;         /* [LOGITS_BLOCK][V]                               */
    int V;
};

enum { LOGITS_BLOCK = 64 };

enum status workspace_create(struct workspace **out, const struct gptj *m, int max_rows);
void workspace_free(struct workspace *w); /* accepts NULL */
size_t workspace_bytes(const struct gptj_config *c, int max_rows, int block_rows);

/* A workspace for a second pass, while the one in w is put down: what a pass needs within a block only is w's. Closed
 * before w is. */
enum status workspace_create_beside(struct workspace **out, const struct workspace *w, int max_rows);
size_t workspace_bytes_beside(const struct gptj_config *c, int max_rows);

/* A pass in progress. The batch must stay as it is until the pass is done. */
struct forward {
    const struct gptj *m;
    struct workspace *w;
    const struct kvcache *kv;
    const struct batch *batch; /* T <= max_rows */
    int layer, phase, row;     /* what the next step computes */
};

/* Begins a pass over all of m's layers: rows' tokens are embedded into w->x (for a model without the embedding w->x
 * already holds the activations of the layer before). */
void forward_begin(struct forward *f, const struct gptj *m, struct workspace *w, const struct kvcache *kv,
                   const struct batch *batch);

/* Computes one block; false when the pass was done already. */
bool forward_step(struct forward *f);

/* How many times forward_step() returns true for a batch. */
size_t forward_steps(const struct gptj *m, const struct batch *batch);

/* Final norm and head for n <= LOGITS_BLOCK rows of w->x, none before first_wanted: logits[n][V] on the host. */
void forward_logits(const struct gptj *m, struct workspace *w, const int32_t *rows, int n, float *logits);

#endif

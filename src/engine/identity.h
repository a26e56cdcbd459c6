// SPDX-License-Identifier: Apache-2.0
/* What has to be the same on ranks that share a model's work, so that results do not depend on who did what. */
#ifndef GPTJT_ENGINE_IDENTITY_H
#define GPTJT_ENGINE_IDENTITY_H

#include "engine/engine.h"

/* Appends lines: version, shape, types, kernels, mask, and a hash of a few small tensors of the checkpoint. */
enum status identity_put(struct buf *out, const struct gptjt_engine *e);

/* Appends a NUL and the bits of a few scores, which e's sessions must be able to compute. */
enum status identity_put_scores(struct buf *out, struct gptjt_engine *e);

/* E_ARG unless both are the same; names the first line that is not. theirs [n] is the other rank's. */
enum status identity_compare(const struct buf *mine, const char *theirs, size_t n);

#endif

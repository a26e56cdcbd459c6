// SPDX-License-Identifier: Apache-2.0
/* How numbers travel, by the names that recipes have for it, as codecs of dense.h: rows are tokens between stages, and
 * a vector in groups between replicas. int4 and int8 between stages keep zeros zero; deltas, which have none, use all
 * codes, with the scale that fits best. */
#ifndef GPTJT_DIST_WIRE_H
#define GPTJT_DIST_WIRE_H

#include "dist/dense.h"
#include "train/recipe.h"

/* Of activations and their gradients, a scale a row. Of aq-*: of activations that travel whole. */
struct dense wire_of_rows(enum train_wire wire);

/* Whether activations travel as differences from what both sides remember (delta_cache.h), and how these do. */
bool wire_is_remembered(enum train_wire wire);
struct dense wire_of_moves(enum train_wire wire);

/* Of a vector's deltas, a scale for every 128. */
struct dense wire_of_deltas(enum train_wire wire);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Inference with a model whose layers lie on several ranks, so that no machine needs to hold all of it.
 *
 *     stage         0            1          ...      n - 1
 *     layers     first ones    the next               last     (an equal share each)
 *     rank       first + 1    first + 2               first
 *
 * Rank `first`, the head, has the last stage, and with it the logits: it chooses tokens, keeps the page tables of all
 * sequences, and makes steps of their rows (engine/session.h). The others know nothing of sequences. A step goes from
 * the head to all stages as what struct batch has, with the page copies that the head has made since the last one, so
 * that every stage's K/V pages hold the same positions under the same numbers; activations, [T][D] in fp32, go from
 * stage to stage and arrive at the head. Every row passes the same kernels in the same order as on one rank, and gets
 * the same bits.
 *
 * A lane is a K/V store that all stages have a share of, and one step at a time. With as many lanes as stages, each
 * with its own sequences, all stages have something to do: while one lane's step is at the head, another's is at the
 * stage before it. Steps come out in the order in which they were started.
 *
 * Steps are NET_CONTROL, activations NET_ACTIVATIONS: (n - 1) x 4 D bytes a row, 48 KB for three boundaries of 4096. */
#ifndef GPTJT_STAGE_STAGE_H
#define GPTJT_STAGE_STAGE_H

#include "base/buf.h"
#include "model/forward.h"
#include "model/kvcache.h"
#include "net/transport.h"

enum { STAGE_MAX_LANES = 64 };

/* Ranks first .. first + n - 1 of t, n >= 2. */
struct stage_ranks {
    struct transport *t; /* borrowed */
    int first, n;
};

/* The stage of a rank; the layers [*first, *last) of a stage. */
int stage_of_rank(const struct stage_ranks *r, int rank);
void stage_layers(const struct stage_ranks *r, int stage, int L, int *first, int *last);

/* ---- The head ---- */

struct stage_head;

/* On rank r->first, while the others are in stage_serve(). Owned: stage_head_close(). */
enum status stage_head_open(struct stage_head **out, const struct stage_ranks *r);

const struct stage_ranks *stage_head_ranks(const struct stage_head *h); /* borrowed */

/* Has the others open their layers, which they do if what they compute with has the same identity (any bytes). m, the
 * head's layers, is borrowed. */
enum status stage_head_form(struct stage_head *h, const struct gptj *m, const struct buf *identity);

/* Sends the others home; accepts NULL. */
enum status stage_head_close(struct stage_head *h);

/* A lane for steps of up to max_rows rows of sequences in n_pages pages. E_LIMIT beyond STAGE_MAX_LANES. */
enum status stage_lane_open(int *lane, struct stage_head *h, int n_pages, int max_rows);
void stage_lane_close(struct stage_head *h, int lane); /* no step is under way */

/* Starts a step. copies: pairs of int32, to and from, of the pages that were copied since the last one (struct
 * kvcache.copies); it is emptied. The batch is not needed any more when this returns. */
enum status stage_lane_start(struct stage_head *h, int lane, const struct batch *batch, int n_sequences,
                             struct buf *copies);

/* Waits for the step, the oldest of those under way, to arrive, and puts its activations into w->x, or nowhere if w is
 * NULL. */
enum status stage_lane_finish(struct stage_head *h, int lane, struct workspace *w);

/* ---- The others ---- */

/* Opens the layers [first, last), if identity [n] is right. *out is borrowed until stage_serve() returns. */
typedef enum status stage_open_fn(const struct gptj **out, enum dtype *kv_dtype, void *user, const char *identity,
                                  size_t n);

/* Runs steps until the head sends it home; OK also if it never had a model to open. */
enum status stage_serve(const struct stage_ranks *r, stage_open_fn *open, void *user);

#endif

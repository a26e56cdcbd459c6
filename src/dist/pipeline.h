// SPDX-License-Identifier: Apache-2.0
/* One stage of a pipeline at work: carries out its list of a schedule, with activations coming from the stage before
 * and gradients from the one behind.
 *
 * A message is the residual stream of a micro-batch, [rows][D], or its gradient. Receives are started two ahead of
 * where they are used, sends end whenever they do, so that messages travel while stages compute; what is sent is copied
 * first, into as many buffers as can be under way (schedule.h says why that many are enough). */
#ifndef GPTJT_DIST_PIPELINE_H
#define GPTJT_DIST_PIPELINE_H

#include "dist/schedule.h"
#include "dist/wire.h"
#include "net/transport.h"
#include "train/team.h"

struct pipeline_options {
    struct transport *transport;
    int first_rank; /* of the first stage; the others follow */
    int stage, n_stages;
    enum schedule_kind schedule;
    int n_micro_batches;
    int sequences, seq_len, width; /* of a micro-batch; of the model */
    enum train_wire activations, gradients;
    int64_t epoch_steps; /* steps until the same micro-batches come again, for activations that are remembered */
    struct trace *trace; /* NULL: none. Borrowed */
};

/* Of a stage of a run by this recipe on so many replicas; transport, first_rank and trace are not in it. */
struct pipeline_options pipeline_options_of(const struct recipe *r, int stage, int n_stages, int replicas, int width);

struct pipeline;

/* What pipeline_create() takes for messages, and to remember activations. */
size_t pipeline_bytes(const struct pipeline_options *o);

/* What this stage sends in one step, activations and gradients; and one message of either, of what is remembered (aq-*)
 * not the first time. */
size_t pipeline_sent_bytes(const struct pipeline_options *o);
size_t pipeline_message_bytes(const struct pipeline_options *o, enum train_wire wire);

enum status pipeline_create(struct pipeline **out, const struct pipeline_options *o);
void pipeline_free(struct pipeline *p); /* accepts NULL; after net_fail() if messages may be under way */

/* The slots and late micro-batches that the schedule wants of this stage's train_pass. */
void pipeline_slots(const struct pipeline_options *o, int *slots, int *late);

/* The batch that the first stage has comes to the others. It must stay as it is until pipeline_run() has returned. */
enum status pipeline_share(struct pipeline *p, struct train_batch *b);

/* One step's list; step 0 is the first. Losses are added to *out by the last stage; loss [rows of a micro-batch] is
 * room. */
enum status pipeline_run(struct pipeline *p, int64_t step, struct train_pass *pass, const struct train_batch *b,
                         double unit, const struct team_losses *out, double *loss);

/* Layers whose gradient is complete, from the stage's last one down: to be asked between blocks. */
int pipeline_ready(const struct pipeline *p);

/* To be called behind each block: moves messages on. */
void pipeline_progress(struct pipeline *p);

/* Sequences [0, n) of b forward only, for their losses. */
enum status pipeline_losses(struct pipeline *p, struct train_pass *pass, const struct train_batch *b, int n,
                            const struct team_losses *out, double *loss);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Pipeline schedules as data: what each stage of a pipeline does, in which order.
 *
 * A model's layers are divided among P stages, a batch into M micro-batches. A schedule gives every stage a list of
 * actions, each of which is one pass over one micro-batch. Stage s hands activations of micro-batch i to s + 1 after
 * its forward pass, and gradients of its inputs to s - 1 after its backward pass. Executors carry the lists out,
 * planners simulate them (dist/schedule_time.h), people look at them (dist/schedule_picture.h): nothing here knows
 * ranks, tensors or clocks.
 *
 * The law of order. On every stage forward passes go through the micro-batches in the order 0 .. M - 1; so do gradients
 * of inputs, and so do gradients of weights, whatever lies between them. A pass depends on its micro-batch and on the
 * parameters only, and a stage adds gradients of weights up in the order in which it makes them, so all schedules that
 * keep the law give the same bits. All of ours do; schedule_check() refuses any that does not. (GPipe's authors draw
 * backward passes from M - 1 down to 0; here they go up, which takes as long and as much.)
 *
 * Costs, of equal stages whose passes take F, I and W (B: I + W), where messages take no time:
 *
 *            idle time of every stage                 micro-batches held by stage s at most (F to W)
 *   GPipe    (P - 1)(F + I + W)                       M
 *   1F1B     (P - 1)(F + I + W)                       min(P - s, M)
 *   ZB-H1    (P - 1) max(F, I, F + I - W) for M >= P  min(P, M), of which only min(P - s, M) are whole (below)
 *
 * Messages that take long cost 1F1B and ZB-H1 more than GPipe, which has all its forward passes to do meanwhile. */
#ifndef GPTJT_DIST_SCHEDULE_H
#define GPTJT_DIST_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SCHEDULE_MAX_STAGES = 1 << 12,
    SCHEDULE_MAX_MICRO_BATCHES = 1 << 20, /* so that each can be the tag of a message: NET_MAX_TAG */
};

/* ---- Actions ---- */

/* PyTorch's letters. The zero-bubble paper calls B what is I here. */
enum schedule_pass {
    PASS_FORWARD,  /* F */
    PASS_BACKWARD, /* B: gradients of inputs and of weights at once     */
    PASS_INPUTS,   /* I: gradients of inputs only; W has to follow      */
    PASS_WEIGHTS,  /* W: gradients of weights, from what I has left over */
    PASSES
};

struct schedule_action {
    enum schedule_pass pass;
    int micro_batch; /* 0 .. M - 1 */
};

struct schedule_action_text {
    char text[16];
};

/* "F3", "B0", "I12", "W7", and back; E_ARG for anything else, also for leading zeros. */
struct schedule_action_text schedule_action_text(struct schedule_action a);
enum status schedule_action_parse(struct schedule_action *out, const char *text);

const char *schedule_pass_name(enum schedule_pass pass); /* static: "forward", "backward", ... */

/* What must have been done before a, apart from what stands before it in its list:
 *   schedule_receives  the stage that sends what a works on: activations (F) or gradients (B, I) of a.micro_batch,
 * which that stage makes by its F, or its B or I, of the same micro-batch. -1: none does. The first stage reads its
 * inputs itself, the last one computes the loss, W needs nothing from others. schedule_sends     the stage that
 * receives what a makes; -1: none schedule_needs_own whether a goes on from another action of its own stage, *own: B
 * and I from F, W from I */
int schedule_receives(struct schedule_action a, int stage, int n_stages);
int schedule_sends(struct schedule_action a, int stage, int n_stages);
bool schedule_needs_own(struct schedule_action a, struct schedule_action *own);

/* ---- Schedules ---- */

struct schedule_list {
    const struct schedule_action *actions; /* [n] */
    int n;
};

struct schedule {
    int n_stages, n_micro_batches;
    const struct schedule_list *lists; /* [n_stages] */
};

enum schedule_kind {
    SCHEDULE_GPIPE, /* all forward, then all backward: Huang et al. 2019, arXiv:1811.06965 */
    SCHEDULE_1F1B,  /* as few forward passes ahead as keep all stages busy, then one forward, one backward: DAPPLE, Fan
                       et al. 2021, arXiv:2007.01045; PipeDream-Flush, Narayanan et al. 2021, arXiv:2006.09503 */
    SCHEDULE_ZB_H1, /* 1F1B with backward passes split; gradients of weights come s micro-batches later on stage s,
                       where 1F1B would wait: Qi et al. 2023, arXiv:2401.10241, section 2.1 */
    SCHEDULE_KINDS
};

#define SCHEDULE_NAMES "gpipe|1f1b|zb-h1" /* of an option table, in the enum's order */

const char *schedule_name(enum schedule_kind kind); /* static */

/* The length of each stage's list, and the list of one stage into actions [schedule_length()]. The numbers must be
 * within 1 .. SCHEDULE_MAX_*. */
int schedule_length(enum schedule_kind kind, int n_micro_batches);
void schedule_fill(struct schedule_action *actions, enum schedule_kind kind, int n_stages, int n_micro_batches,
                   int stage);

/* All lists of a schedule, owned: schedule_free(). E_ARG for numbers out of range, E_NOMEM. */
enum status schedule_create(struct schedule *out, enum schedule_kind kind, int n_stages, int n_micro_batches);
void schedule_free(struct schedule *s); /* of schedule_create(); accepts a zeroed one */

/* ---- Memory ---- */

/* What a stage holds at most, in micro-batches. An action holds what it makes from its beginning on, and what it uses
 * up until its end. */
struct schedule_memory {
    int activations; /* from F to the end of B or W */
    int whole;       /* from F to the end of B or I: all that a backward pass needs */
    int waiting;     /* from I to the end of W: gradients and inputs of layers that W needs */
};

/* Of a list that schedule_check() has accepted. */
struct schedule_memory schedule_memory(const struct schedule_list *list);

/* The same in bytes, where a micro-batch takes whole_bytes from F to the end of B or I, and waiting_bytes from I to the
 * end of W: the exact peak of their sum, less than what the peaks of both would give. */
uint64_t schedule_peak_bytes(const struct schedule_list *list, uint64_t whole_bytes, uint64_t waiting_bytes);

/* ---- Check ---- */

/* Whether the lists, which may come from anywhere, can be carried out and mean the same as GPipe:
 *   - each stage does F of all micro-batches, and of each either B, or I and W; each once;
 *   - the law of order holds; B and I come after F of the same micro-batch, W after I;
 *   - no stage holds more than most[stage] allows, unless most [n_stages] is NULL; INT_MAX in a field: no limit;
 *   - all lists come to their ends, in this model: A stage carries out its list in order. An action begins when the one
 *     before it has ended and the message that it works on has been received; a receive may be started as late as
 *     then, and only the stage that receives waits for it. What an action made is sent without waiting: the stage goes
 *     on, the send ends some time after its receive was started, and until then its bytes stay with the sender. So
 *     nothing is buffered by the transport. Stages that wait for a send to end before their next action are not
 * covered: with them, 1F1B's neighbours, which send to each other, would stop. Unfinished sends of stage s: of
 * activations never more than its own `whole`, as B or I of a micro-batch says that the next stage has had its
 * activations; of gradients never more than the `whole` of stage s - 1.
 *
 * E_FORMAT, E_LIMIT for memory, naming stage, position in its list (from 0) and action, as in "stage 1, action 1 (F1):
 * waits forever for activations of micro-batch 1: stage 0 stops before action 1 (B0), which waits for ..."; E_ARG for
 * numbers of stages or micro-batches out of range; E_NOMEM. */
enum status schedule_check(const struct schedule *s, const struct schedule_memory *most);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "train/team.h"

#include "ops/train.h"

/* ---- The table's calls ---- */

void team_layers(const struct team *t, const struct gptj_config *c, int stage, int *first, int *last)
{
    *first = 0;
    *last = c->L;
    if (t->ops->layers) t->ops->layers(t, c, stage, first, last);
}

void team_slots(const struct team *t, int n_micro_batches, int *slots, int *late)
{
    *slots = 1;
    *late = 0;
    if (t->ops->slots) t->ops->slots(t, n_micro_batches, slots, late);
}

void team_updates(const struct team *t, const struct params *p, int *begin, int *end)
{
    *begin = 0;
    *end = p->n;
    if (t->ops->updates) t->ops->updates(t, p, begin, end);
}

enum status team_begin(struct team *t, const struct team_parts *parts)
{
    return t->ops->begin(t, parts);
}

enum status team_share(struct team *t, int64_t step, struct train_batch *b)
{
    return t->ops->share ? t->ops->share(t, step, b) : OK;
}

enum status team_gradient(struct team *t, const struct train_batch *b, double unit, const struct team_losses *out)
{
    return t->ops->gradient(t, b, unit, out);
}

void team_progress(struct team *t)
{
    if (t->ops->progress) t->ops->progress(t);
}

enum status team_combine(struct team *t, double *squares)
{
    return t->ops->combine(t, squares);
}

enum status team_before_update(struct team *t, double *scale)
{
    return t->ops->before_update ? t->ops->before_update(t, scale) : OK;
}

enum status team_after_update(struct team *t, double learning_rate)
{
    return t->ops->after_update ? t->ops->after_update(t, learning_rate) : OK;
}

enum status team_losses(struct team *t, const struct train_batch *b, int n, const struct team_losses *out)
{
    return t->ops->losses(t, b, n, out);
}

enum status team_sum(struct team *t, enum team_scope scope, double *values, int n)
{
    return t->ops->sum ? t->ops->sum(t, scope, values, n) : OK;
}

enum status team_stop(struct team *t, bool *wanted)
{
    return t->ops->stop ? t->ops->stop(t, wanted) : OK;
}

enum status team_meet(struct team *t)
{
    return t->ops->meet ? t->ops->meet(t) : OK;
}

enum status team_least(struct team *t, int64_t *value)
{
    return t->ops->least ? t->ops->least(t, value) : OK;
}

enum status team_model(struct team *t, float **values)
{
    return t->ops->model(t, values);
}

int team_vectors(struct team *t, struct team_vector *vectors)
{
    return t->ops->vectors ? t->ops->vectors(t, vectors) : 0;
}

json_t *team_state(const struct team *t)
{
    return t->ops->state ? t->ops->state(t) : json_object();
}

enum status team_restore(struct team *t, const json_t *state)
{
    return t->ops->restore ? t->ops->restore(t, state) : OK;
}

/* ---- A team of one ---- */

static struct team_parts *parts_of(struct team *t)
{
    return &((struct team_alone *)t)->parts;
}

static enum status begin(struct team *t, const struct team_parts *parts)
{
    *parts_of(t) = *parts;
    return OK;
}

static enum status gradient(struct team *t, const struct train_batch *b, double unit, const struct team_losses *out)
{
    const struct team_parts *p = parts_of(t);
    struct train_pass *pass = p->trainee->pass;
    const int micro = (int)p->recipe->micro_batch_size;
    for (int first = 0; first < b->sequences; first += micro) {
        const struct train_rows rows = train_batch_rows(b, first, micro);
        int64_t since = trace_now(p->trace);
        train_pass_forward(pass, &rows);
        since = trace_next(p->trace, since, (struct trace_event){.kind = TRACE_FORWARD, .micro_batch = first / micro});
        train_pass_head(pass, (float)unit, p->loss);
        since = trace_next(p->trace, since, (struct trace_event){.kind = TRACE_HEAD, .micro_batch = first / micro});
        train_pass_backward(pass);
        trace_add(p->trace, since, (struct trace_event){.kind = TRACE_BACKWARD, .micro_batch = first / micro});
        train_batch_add_losses(b, first, micro, p->loss, out->all, out->by_source);
    }
    return OK;
}

static enum status squares(struct team *t, double *out)
{
    const struct params *p = parts_of(t)->trainee->params;
    *out = p->ops->train->sum_squares(p->ops, p->grad, p->n_values);
    return OK;
}

static enum status losses(struct team *t, const struct train_batch *b, int n, const struct team_losses *out)
{
    const struct team_parts *p = parts_of(t);
    const struct train_rows rows = train_batch_rows(b, 0, n);
    const int64_t since = trace_now(p->trace);
    train_pass_forward(p->trainee->pass, &rows);
    train_pass_loss(p->trainee->pass, p->loss);
    trace_add(p->trace, since, (struct trace_event){.kind = TRACE_LOSSES});
    train_batch_add_losses(b, 0, n, p->loss, out->all, out->by_source);
    return OK;
}

static enum status own_model(struct team *t, float **values)
{
    *values = parts_of(t)->trainee->params->value;
    return OK;
}

static const struct team_ops alone = {
    .begin = begin, .gradient = gradient, .combine = squares, .losses = losses, .model = own_model};

struct team *team_alone(struct team_alone *t)
{
    *t = (struct team_alone){
        .team = {
            .ops = &alone, .n_replicas = 1, .n_stages = 1, .n_updaters = 1, .owns_output = true, .writes_stage = true}};
    return &t->team;
}

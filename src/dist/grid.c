// SPDX-License-Identifier: Apache-2.0
#include "dist/grid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/compiler.h"
#include "base/half.h"
#include "base/log.h"
#include "dist/output_owner.h"
#include "dist/pipeline.h"
#include "dist/sync.h"
#include "dist/trace_ranks.h"
#include "dist/traffic.h"
#include "ops/train.h"

static_assert((int)PIPELINE_GPIPE == (int)SCHEDULE_GPIPE && (int)PIPELINE_1F1B == (int)SCHEDULE_1F1B &&
                  (int)PIPELINE_ZB_H1 == (int)SCHEDULE_ZB_H1,
              "the recipe's names are the schedules'");

/* Groups of this rank, and messages that are not theirs, are told apart by tags. */
enum { TAG_PIPE = 16, TAG_PEERS, TAG_ALL, TAG_TIED_TO_FIRST, TAG_TIED_TO_LAST, TAG_TRACE };

struct grid {
    struct team team;
    struct transport *t;
    const struct recipe *recipe;
    struct group pipe, peers, all; /* the stages of this replica, the replicas of this stage, all ranks */
    struct team_parts parts;
    struct pipeline *pipeline;
    struct sync *sync;
    size_t *layer_begins; /* [layers of the stage]: where each begins in the vector of parameters */
    int n_layers;
    const struct param *tied; /* an embedding that the first stage and the last have both; NULL: there is none */
    float *other;             /* [tied->n], on the first stage: its gradient on the last */
    int64_t step, steps;      /* the step under way; how many there were */
    bool updated;             /* the optimizer has been at work in it */
    float *shown;             /* the model behind it; NULL: nobody has asked yet */
    bool stop_wanted;
    struct trace_ranks *trace; /* NULL: there is none */
    size_t seen;               /* of what is sent for synchronisation: what events of the trace tell of */
};

static struct grid *grid_of(struct team *t)
{
    return (struct grid *)t;
}

static const struct grid *const_grid_of(const struct team *t)
{
    return (const struct grid *)t;
}

/* ---- Layout ---- */

static void layers(const struct team *t, const struct gptj_config *c, int stage, int *first, int *last)
{
    traffic_layers(c, stage, t->n_stages, first, last);
}

static struct pipeline_options pipeline_options(const struct grid *g, int width)
{
    const struct team *t = &g->team;
    struct pipeline_options o = pipeline_options_of(g->recipe, t->stage, t->n_stages, t->n_replicas, width);
    o.transport = g->t;
    o.first_rank = t->replica * t->n_stages;
    o.trace = g->parts.trace;
    return o;
}

static void slots(const struct team *t, int n_micro_batches, int *n_slots, int *late)
{
    (void)n_micro_batches;
    const struct pipeline_options o = pipeline_options(const_grid_of(t), 0);
    pipeline_slots(&o, n_slots, late);
}

static void updates(const struct team *t, const struct params *p, int *begin, int *end)
{
    const struct grid *g = const_grid_of(t);
    const struct sync_ops *ops = sync_ops((enum train_sync)g->recipe->sync);
    if (ops->updates) ops->updates(p, &g->peers, begin, end);
}

static enum status check_streaming(const struct recipe *r, int64_t layers)
{
    if (r->sync_fragments > layers || r->sync_fragments > r->sync_steps)
        return fail(E_ARG,
                    "\"sync_fragments\" is %" PRId64 ", more than the model's %" PRId64 " layers, or than "
                    "\"sync_steps\", %" PRId64,
                    r->sync_fragments, layers, r->sync_steps);
    if (r->sync_overlap > r->sync_steps / r->sync_fragments)
        return fail(E_ARG,
                    "\"sync_overlap\" is %" PRId64 ", more than the %" PRId64 " steps from one of %" PRId64
                    " \"sync_fragments\" to the next in %" PRId64 " \"sync_steps\"",
                    r->sync_overlap, r->sync_steps / r->sync_fragments, r->sync_fragments, r->sync_steps);
    return OK;
}

static enum status check_sync(const struct recipe *r, int64_t layers)
{
    const bool sparse = r->sync == SYNC_SPARSE;
    const int64_t bits = sparse ? r->sparse_bits : r->cocktail_bits;
    if ((sparse || r->sync == SYNC_COCKTAIL) && bits > 8 && bits != 32)
        return fail(E_ARG, "\"%s_bits\" is %" PRId64 ", neither 1 to 8 nor 32", sparse ? "sparse" : "cocktail", bits);
    if (r->sync == SYNC_PROXSKIP && r->proxskip == PROXSKIP_FROZEN && !r->sync_warmup_steps)
        return fail(E_ARG, "\"proxskip\": frozen needs \"sync_warmup_steps\", in which it learns what it freezes");
    return r->sync == SYNC_STREAMING ? check_streaming(r, layers) : OK;
}

/* Of the stage with the most neighbours. Doubles do not overflow. */
static enum status check_cache(const struct recipe *r, int n_ranks, bool says, int width)
{
    const int64_t stages = r->pipeline_stages;
    if (!wire_is_remembered((enum train_wire)r->wire_activations) || stages == 1) return OK;
    const double sequences = (double)r->epoch_steps * (double)r->batch_size * (double)stages / n_ranks;
    const double gb = (stages > 2 ? 2 : 1) * sequences * (double)r->data.seq_len * width * sizeof(f16) * 1e-9;
    if (gb > r->aq_cache)
        return fail(
            E_ARG,
            "\"wire_activations\": to remember %.0f sequences of an epoch a rank takes %.3g GB, and \"aq_cache\" "
            "is %.3g; shorter epochs or more replicas take less",
            sequences, gb, r->aq_cache);
    if (says)
        log_line(LOG_INFO, "activations of %.0f sequences are remembered, in up to %.3g GB a rank", sequences, gb);
    return OK;
}

/* says: to the log what is remembered. */
static enum status check_layout(const struct recipe *r, int n_ranks, bool says)
{
    const int64_t stages = r->pipeline_stages, replicas = n_ranks / stages, shards = r->data_shards;
    if (n_ranks % stages)
        return fail(E_ARG, "%d ranks cannot be divided into replicas of %" PRId64 " \"pipeline_stages\"", n_ranks,
                    stages);
    if (r->batch_size % (replicas * r->micro_batch_size))
        return fail(E_ARG,
                    "\"batch_size\" is %" PRId64 ", not a multiple of %" PRId64 " replicas times \"micro_batch_size\", "
                    "%" PRId64,
                    r->batch_size, replicas, r->micro_batch_size);
    if (shards && (shards % replicas || r->batch_size % shards))
        return fail(E_ARG,
                    "\"data_shards\" is %" PRId64 ", which %" PRId64
                    " replicas do not divide, or which does not divide "
                    "\"batch_size\", %" PRId64,
                    shards, replicas, r->batch_size);
    struct checkpoint_config config;
    TRY(checkpoint_config_read(&config, r->model));
    if (stages > config.model.L)
        return fail(E_ARG, "%s has %d layers, too few for %" PRId64 " \"pipeline_stages\"", r->model, config.model.L,
                    stages);
    if (r->adapter != ADAPTER_NONE && stages > 1)
        return fail(E_UNSUPPORTED, "\"adapter\": adapters are trained without \"pipeline_stages\"");
    TRY(check_sync(r, config.model.L));
    return check_cache(r, n_ranks, says, config.model.D);
}

/* ---- Opening ---- */

static enum status open_groups(struct grid *g)
{
    const struct team *t = &g->team;
    const int P = t->n_stages, D = t->n_replicas;
    TRY(group_open(&g->all, g->t, &(struct group_shape){.stride = 1, .n = D * P, .tag = TAG_ALL}));
    TRY(group_open(&g->pipe, g->t,
                   &(struct group_shape){.first = t->replica * P, .stride = 1, .n = P, .tag = TAG_PIPE}));
    return group_open(&g->peers, g->t, &(struct group_shape){.first = t->stage, .stride = P, .n = D, .tag = TAG_PEERS});
}

static enum status find_layers(struct grid *g, const struct gptj *m, const struct params *p)
{
    g->n_layers = m->last - m->first;
    g->layer_begins = calloc((size_t)g->n_layers, sizeof *g->layer_begins);
    if (!g->layer_begins) return fail(E_NOMEM, "training: out of memory");
    int next = 0;
    for (int i = 0; i < p->n && next < g->n_layers; i++) {
        char part[32];
        snprintf(part, sizeof part, ".h.%d.", m->first + next);
        if (strstr(p->all[i].name, part)) g->layer_begins[next++] = p->all[i].at;
    }
    return OK;
}

static enum status find_tied(struct grid *g, const struct gptj *m, const struct params *p)
{
    const struct team *t = &g->team;
    if (!m->cfg.tied || t->n_stages == 1 || (t->stage > 0 && t->stage < t->n_stages - 1)) return OK;
    if (g->recipe->sync == SYNC_SHARDED)
        return fail(E_UNSUPPORTED,
                    "\"sync\": sharded is not for a head tied to the embedding over \"pipeline_stages\"");
    g->tied = params_find(p, "transformer.wte.weight");
    g->other = t->stage == 0 ? malloc(g->tied->n * sizeof *g->other) : NULL;
    return t->stage > 0 || g->other ? OK : fail(E_NOMEM, "training: out of memory for an embedding's gradient");
}

static enum status begin(struct team *t, const struct team_parts *parts)
{
    struct grid *g = grid_of(t);
    const struct gptj *m = parts->trainee->model;
    struct params *p = parts->trainee->params;
    g->parts = *parts;
    const struct pipeline_options o = pipeline_options(g, m->cfg.D);
    TRY(find_layers(g, m, p));
    TRY(find_tied(g, m, p));
    TRY(pipeline_create(&g->pipeline, &o));
    const bool borrowed = g->tied && t->stage > 0; /* the embedding is the first of its vector */
    const struct sync_context c = {.recipe = g->recipe,
                                   .peers = &g->peers,
                                   .params = p,
                                   .optimizer = parts->optimizer,
                                   .trace = parts->trace,
                                   .begin = borrowed ? p->all[1].at : 0,
                                   .end = p->n_values};
    TRY(sync_create(&g->sync, &c));
    return parts->trace ? trace_ranks_open(&g->trace, &g->all, TAG_TRACE, t, parts->trace) : OK;
}

/* ---- Traces ---- */

static void traced(const struct grid *g, int64_t since, enum trace_kind kind)
{
    trace_add(g->parts.trace, since, (struct trace_event){.kind = kind});
}

/* What has been sent for synchronisation since the last one is this event's. */
static void traced_sync(struct grid *g, int64_t since, enum trace_kind kind)
{
    if (!since) return;
    const size_t sent = net_sent(g->t, NET_SYNC).bytes;
    trace_add(g->parts.trace, since, (struct trace_event){.kind = kind, .bytes = sent - g->seen});
    g->seen = sent;
}

static void traced_tied(struct grid *g, int64_t since, enum trace_kind kind, int peer, enum net_purpose purpose)
{
    const size_t bytes = g->tied->n * sizeof(float);
    if (!since) return;
    trace_add(g->parts.trace, since,
              (struct trace_event){.kind = kind, .bytes = bytes, .micro_batch = -1, .peer = peer});
    if (kind == TRACE_SEND_EMBEDDING && purpose == NET_SYNC) g->seen += bytes;
}

/* ---- A step ---- */

static enum status begin_sync(struct grid *g)
{
    if (!g->sync->ops->begin) return OK;
    const int64_t since = trace_now(g->parts.trace);
    TRY(g->sync->ops->begin(g->sync, g->step));
    traced_sync(g, since, TRACE_SYNC_BEGIN);
    return OK;
}

static enum status share(struct team *t, int64_t step, struct train_batch *b)
{
    struct grid *g = grid_of(t);
    const int64_t since = trace_now(g->parts.trace);
    g->step = step;
    g->steps++;
    g->updated = false;
    g->shown = NULL;
    g->seen = net_sent(g->t, NET_SYNC).bytes;
    if (t->n_stages > 1) {
        TRY(pipeline_share(g->pipeline, b));
        traced(g, since, TRACE_SHARE);
    }
    return begin_sync(g);
}

static enum status gradient(struct team *t, const struct train_batch *b, double unit, const struct team_losses *out)
{
    struct grid *g = grid_of(t);
    return pipeline_run(g->pipeline, g->step, g->parts.trainee->pass, b, unit, out, g->parts.loss);
}

static void progress(struct team *t)
{
    struct grid *g = grid_of(t);
    pipeline_progress(g->pipeline);
    const int ready = pipeline_ready(g->pipeline);
    const size_t from = ready ? g->layer_begins[g->n_layers - ready] : g->parts.trainee->params->n_values;
    sync_progress(g->sync, g->step, from);
}

/* From rank to rank of this pipeline, in a message of its own. */
static enum status send_tied(struct grid *g, int to_stage, int tag, enum net_purpose purpose, const float *x)
{
    const int to = g->team.replica * g->team.n_stages + to_stage;
    const int64_t since = trace_now(g->parts.trace);
    TRY(net_send_wait(g->t, to, purpose, tag, x, g->tied->n * sizeof *x));
    traced_tied(g, since, TRACE_SEND_EMBEDDING, to, purpose);
    return OK;
}

static enum status receive_tied(struct grid *g, int from_stage, int tag, enum net_purpose purpose, float *x)
{
    const int from = g->team.replica * g->team.n_stages + from_stage;
    const int64_t since = trace_now(g->parts.trace);
    TRY(net_recv_wait(g->t, from, purpose, tag, x, g->tied->n * sizeof *x));
    traced_tied(g, since, TRACE_RECEIVE_EMBEDDING, from, purpose);
    return OK;
}

/* The first stage's embedding gets the gradient of both, before replicas are summed. */
static enum status add_tied(struct grid *g)
{
    const int last = g->team.n_stages - 1;
    if (!g->tied) return OK;
    float *own = g->parts.trainee->params->grad + g->tied->at;
    if (g->team.stage > 0) return send_tied(g, 0, TAG_TIED_TO_FIRST, NET_GRADIENTS, own);
    TRY(receive_tied(g, last, TAG_TIED_TO_FIRST, NET_GRADIENTS, g->other));
    for (size_t i = 0; i < g->tied->n; i++)
        own[i] += g->other[i];
    return OK;
}

/* The last stage's copy of something, gradient or parameters, becomes the first one's. */
static enum status copy_tied(struct grid *g, enum net_purpose purpose, float *vector)
{
    if (!g->tied) return OK;
    float *own = vector + g->tied->at;
    if (g->team.stage == 0) return send_tied(g, g->team.n_stages - 1, TAG_TIED_TO_LAST, purpose, own);
    return receive_tied(g, 0, TAG_TIED_TO_LAST, purpose, own);
}

/* Each value of the whole model counts once. */
static enum status sum_squares(struct grid *g, double *squares)
{
    const struct params *p = g->parts.trainee->params;
    const struct optimizer *o = g->parts.optimizer;
    size_t begin = g->sync->c.begin, end = g->sync->c.end;
    const bool divided = g->sync->ops->updates != NULL;
    if (divided) {
        begin = o->begin;
        end = o->begin + o->n_values;
    }
    const int64_t since = trace_now(g->parts.trace);
    *squares = end > begin ? p->ops->train->sum_squares(p->ops, p->grad + begin, end - begin) : 0;
    TRY(group_sum(divided ? &g->all : &g->pipe, squares, 1));
    traced(g, since, TRACE_NORM);
    return OK;
}

static enum status combine(struct team *t, double *squares)
{
    struct grid *g = grid_of(t);
    TRY(add_tied(g));
    const int64_t since = trace_now(g->parts.trace);
    TRY(sync_combine(g->sync, g->step));
    traced_sync(g, since, TRACE_SYNC_GRADIENTS);
    TRY(copy_tied(g, NET_GRADIENTS, g->parts.trainee->params->grad));
    return sum_squares(g, squares);
}

static enum status before_update(struct team *t, double *scale)
{
    struct grid *g = grid_of(t);
    const struct sync_ops *ops = g->sync->ops;
    g->updated = true;
    return ops->before_update && !sync_shares(g->recipe, g->step) ? ops->before_update(g->sync, scale) : OK;
}

/* Copies of parameters follow when synchronisation has moved them: the other stage's, and the model's, which the
 * optimizer has seen to if it came behind that. */
static enum status after_update(struct team *t, double learning_rate)
{
    struct grid *g = grid_of(t);
    struct sync *s = g->sync;
    struct params *p = g->parts.trainee->params;
    const bool before = s->moved;
    s->moved = false;
    const int64_t since = trace_now(g->parts.trace);
    if (s->ops->after_update) {
        TRY(s->ops->after_update(s, g->step, learning_rate));
        traced_sync(g, since, TRACE_SYNC_PARAMETERS);
    }
    bool stale = s->moved || (before && !g->updated);
    if (g->tied && (before || s->moved)) {
        TRY(copy_tied(g, NET_SYNC, p->value));
        stale = true;
    }
    s->moved = false;
    if (stale) params_changed(p);
    return OK;
}

static enum status losses(struct team *t, const struct train_batch *b, int n, const struct team_losses *out)
{
    struct grid *g = grid_of(t);
    return pipeline_losses(g->pipeline, g->parts.trainee->pass, b, n, out, g->parts.loss);
}

/* ---- Agreement ---- */

static enum status sum(struct team *t, enum team_scope scope, double *values, int n)
{
    struct grid *g = grid_of(t);
    const bool everybody = scope == TEAM_ALL || sync_shares(g->recipe, g->step);
    const int64_t since = trace_now(g->parts.trace);
    TRY(group_sum(everybody ? &g->all : &g->pipe, values, n));
    traced(g, since, TRACE_AGREE);
    return OK;
}

static enum status stop(struct team *t, bool *wanted)
{
    struct grid *g = grid_of(t);
    g->stop_wanted |= *wanted;
    *wanted = false;
    if (!sync_meets(g->recipe, g->step)) return OK;
    double any = g->stop_wanted;
    const int64_t since = trace_now(g->parts.trace);
    TRY(group_max(&g->all, &any, 1));
    traced(g, since, TRACE_AGREE);
    *wanted = any > 0;
    return OK;
}

static enum status meet(struct team *t)
{
    return group_barrier(&grid_of(t)->all);
}

static enum status least(struct team *t, int64_t *value)
{
    double negative = -(double)*value;
    TRY(group_max(&grid_of(t)->all, &negative, 1));
    *value = -(int64_t)negative;
    return OK;
}

/* ---- State ---- */

static enum status agree(struct grid *g, float **values)
{
    *values = g->parts.trainee->params->value;
    if (!g->sync->ops->model) return OK;
    const int64_t since = trace_now(g->parts.trace);
    TRY(g->sync->ops->model(g->sync, values));
    traced_sync(g, since, TRACE_SYNC_MODEL);
    return copy_tied(g, NET_SYNC, *values);
}

/* Once a step, as it may be a mean of all parameters: validation and checkpoint have the same. */
static enum status model(struct team *t, float **values)
{
    struct grid *g = grid_of(t);
    if (!g->shown) TRY(agree(g, &g->shown));
    *values = g->shown;
    return OK;
}

static int vectors(struct team *t, struct team_vector *out)
{
    struct grid *g = grid_of(t);
    return g->sync->ops->vectors ? g->sync->ops->vectors(g->sync, out) : 0;
}

static enum status restore(struct team *t, const json_t *state)
{
    struct grid *g = grid_of(t);
    return g->sync->ops->restore ? g->sync->ops->restore(g->sync, state != NULL) : OK;
}

static const struct team_ops operations = {.layers = layers,
                                           .slots = slots,
                                           .updates = updates,
                                           .begin = begin,
                                           .share = share,
                                           .gradient = gradient,
                                           .progress = progress,
                                           .combine = combine,
                                           .before_update = before_update,
                                           .after_update = after_update,
                                           .losses = losses,
                                           .sum = sum,
                                           .stop = stop,
                                           .meet = meet,
                                           .least = least,
                                           .model = model,
                                           .vectors = vectors,
                                           .restore = restore};

static struct grid *new_grid(const struct recipe *recipe, struct transport *t, int n_ranks, int rank)
{
    struct grid *g = calloc(1, sizeof *g);
    const struct sync_ops *ops = sync_ops((enum train_sync)recipe->sync);
    const int P = (int)recipe->pipeline_stages;
    if (!g) return NULL;
    g->team = (struct team){.ops = &operations,
                            .replica = rank / P,
                            .n_replicas = n_ranks / P,
                            .stage = rank % P,
                            .n_stages = P,
                            .own_steps = ops->own_steps,
                            .n_updaters = ops->updates ? n_ranks / P : 1};
    g->t = t;
    g->recipe = recipe;
    return g;
}

enum status grid_open(struct team **out, struct transport *t, const struct recipe *recipe)
{
    TRY(check_layout(recipe, t->size, t->rank == 0));
    struct grid *g = new_grid(recipe, t, t->size, t->rank);
    if (!g) return fail(E_NOMEM, "training: out of memory");
    enum status s = open_groups(g);
    if (s == OK) s = output_owner_find(&g->team, &g->all, recipe->output);
    if (s != OK) {
        grid_close(&g->team);
        return s;
    }
    *out = &g->team;
    return OK;
}

enum status grid_sketch(struct team **out, const struct recipe *recipe, int n_ranks, int rank)
{
    TRY(check_layout(recipe, n_ranks, false));
    struct grid *g = new_grid(recipe, NULL, n_ranks, rank);
    if (!g) return fail(E_NOMEM, "training: out of memory");
    *out = &g->team;
    return OK;
}

struct grid_memory grid_memory(const struct team *team, const struct gptj_config *c)
{
    const struct grid *g = const_grid_of(team);
    const struct pipeline_options o = pipeline_options(g, c->D);
    const struct traffic_layout l = {g->recipe, c, team->n_stages, team->n_replicas};
    const struct sync_shape shape = traffic_shape(&l, team->stage, team->replica);
    return (struct grid_memory){pipeline_bytes(&o), sync_shape_memory(&shape)};
}

void grid_close(struct team *team)
{
    if (!team) return;
    struct grid *g = grid_of(team);
    trace_ranks_close(g->trace);
    sync_free(g->sync);
    pipeline_free(g->pipeline);
    group_close(&g->peers);
    group_close(&g->pipe);
    group_close(&g->all);
    free(g->layer_begins);
    free(g->other);
    free(g);
}

/* ---- Reports ---- */

enum status grid_trace(struct team *team, const char *path)
{
    return trace_ranks_write(grid_of(team)->trace, path);
}

enum status grid_report(struct team *team, struct buf *out)
{
    struct grid *g = grid_of(team);
    double sent[NET_PURPOSES], most[NET_PURPOSES];
    for (enum net_purpose p = 0; p < NET_PURPOSES; p++)
        sent[p] = most[p] = (double)net_sent(g->t, p).bytes;
    TRY(group_sum(&g->all, sent, NET_PURPOSES));
    TRY(group_max(&g->all, most, NET_PURPOSES));
    if (!team_leads(team)) return OK;
    for (enum net_purpose p = 0; p < NET_PURPOSES; p++) {
        const double steps = g->steps ? (double)g->steps : 1;
        buf_printf(out, "sent for %s: %s by a rank and step", net_purpose_name(p),
                   amount_bytes((size_t)(sent[p] / g->all.n / steps)).text);
        buf_printf(out, ", %s B in all, %s by one rank at most\n", amount_count((int64_t)sent[p]).text,
                   amount_bytes((size_t)most[p]).text);
    }
    return buf_status(out);
}

size_t grid_sync_bytes(const struct team *team, int64_t step)
{
    const struct sync_shape shape = sync_shape_of(const_grid_of(team)->sync);
    return sync_shape_bytes(&shape, step);
}

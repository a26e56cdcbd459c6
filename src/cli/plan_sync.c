// SPDX-License-Identifier: Apache-2.0
/* gptjt plan's table of synchronisations: the same run with each of them. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/amount.h"
#include "base/compiler.h"
#include "cli/plan.h"
#include "dist/sync.h"

/* What is compared, each with the recipe's own settings. A row of the recipe's own comes before them where none is it.
 */
static const struct {
    enum train_sync sync;
    enum train_wire wire; /* of diloco and streaming */
} usual[] = {{SYNC_ALLREDUCE, 0},
             {SYNC_SHARDED, 0},
             {SYNC_PROXSKIP, 0},
             {SYNC_COCKTAIL, 0},
             {SYNC_DILOCO, TRAIN_WIRE_FP16},
             {SYNC_DILOCO, TRAIN_WIRE_INT4},
             {SYNC_STREAMING, TRAIN_WIRE_INT4},
             {SYNC_SPARSE, 0}};
static_assert(COUNT_OF(usual) + 1 == PLAN_SYNCS, "rows");

static bool has_wire(const struct recipe *r)
{
    return r->sync == SYNC_DILOCO || r->sync == SYNC_STREAMING;
}

static void write_name(char *name, size_t size, const struct recipe *r)
{
    char wire[8];
    options_choice(wire, sizeof wire, TRAIN_WIRE_NAMES, r->sync_wire);
    switch ((enum train_sync)r->sync) {
    case SYNC_ALLREDUCE: snprintf(name, size, "allreduce"); break;
    case SYNC_SHARDED: snprintf(name, size, "sharded"); break;
    case SYNC_PROXSKIP: snprintf(name, size, "proxskip, p %g", r->sync_probability); break;
    case SYNC_DILOCO: snprintf(name, size, "diloco %s, H %" PRId64, wire, r->sync_steps); break;
    case SYNC_STREAMING:
        snprintf(name, size, "streaming %s, H %" PRId64 " / %" PRId64, wire, r->sync_steps, r->sync_fragments);
        break;
    case SYNC_SPARSE:
        snprintf(name, size, "sparse %.3g/%" PRId64 " bits, H %" PRId64, r->sparse_keep, r->sparse_bits, r->sync_steps);
        break;
    case SYNC_COCKTAIL:
        snprintf(name, size, "cocktail %g/%g/%" PRId64 " bits", r->cocktail_sample, r->cocktail_keep, r->cocktail_bits);
        break;
    }
}

static uint64_t most_memory(const struct placement_step_model *m, int stages)
{
    const struct step_memory *memory = placement_step_model_memory(m);
    uint64_t most = 0;
    for (int s = 0; s < stages; s++)
        if (step_memory_bytes(&memory[s]) > most) most = step_memory_bytes(&memory[s]);
    return most;
}

static enum status fill_row(struct plan_sync *row, const struct step_task *task, const struct placement *p,
                            enum schedule_kind kind, const struct cluster *c)
{
    struct placement_step_model *m;
    TRY(placement_step_model_create(&m, task, p->stages, p->replicas, kind, c));
    write_name(row->name, sizeof row->name, task->recipe);
    const enum status s = placement_step_simulate(&row->step, m, p);
    row->traffic = *placement_step_model_traffic(m);
    row->steps = task->recipe->steps ? task->recipe->steps : STEP_TASK_STEPS;
    row->memory_bytes = most_memory(m, p->stages);
    placement_step_model_free(m);
    return s;
}

static bool is_own(const struct recipe *own, const struct recipe *r)
{
    return own->sync == r->sync && (!has_wire(r) || own->sync_wire == r->sync_wire);
}

/* So many that a run would take them. */
static void fit_fragments(struct recipe *r, int layers)
{
    const int64_t most = layers < r->sync_steps ? layers : r->sync_steps;
    if (r->sync_fragments > most) r->sync_fragments = most;
    if (r->sync_overlap > r->sync_steps / r->sync_fragments) r->sync_overlap = r->sync_steps / r->sync_fragments;
}

enum status plan_syncs(struct plan_sync *rows, int *n, const struct step_task *task, const struct placement *p,
                       enum schedule_kind kind, const struct cluster *c)
{
    bool found = false;
    *n = 1; /* the first is left free for now */
    for (size_t i = 0; i < COUNT_OF(usual); i++) {
        struct recipe r = *task->recipe;
        r.sync = (int)usual[i].sync;
        if (has_wire(&r)) r.sync_wire = (int)usual[i].wire;
        fit_fragments(&r, task->config->L);
        rows[*n] = (struct plan_sync){.own = is_own(task->recipe, &r)};
        found |= rows[*n].own;
        TRY(fill_row(&rows[(*n)++], &(struct step_task){task->config, &r}, p, kind, c));
    }
    rows[0] = (struct plan_sync){.own = true};
    if (!found) return fill_row(&rows[0], task, p, kind, c);
    for (int i = 1; i < *n; i++)
        rows[i - 1] = rows[i];
    --*n;
    return OK;
}

/* Not amount_bytes(), so that columns can be compared. */
static void put_bytes(struct buf *out, double bytes)
{
    buf_printf(out,
               bytes < 1e9    ? "  %7.4g MB"
               : bytes < 1e12 ? "  %7.4g GB"
                              : "  %7.4g TB",
               bytes / (bytes < 1e9    ? 1e6
                        : bytes < 1e12 ? 1e9
                                       : 1e12));
}

void plan_syncs_text(struct buf *out, const struct plan_sync *rows, int n)
{
    const double steps = (double)rows[0].steps;
    buf_printf(out, "\nto keep replicas together, on average over %s steps\n", amount_count(rows[0].steps).text);
    buf_puts(out,
             "                                   step   busy    a rank sends: a step      in all  counted as copies"
             "    memory\n");
    for (int i = 0; i < n; i++) {
        const struct plan_sync *s = &rows[i];
        buf_printf(out, "%-28s %8.4g s  %4.1f%%          ", s->name, s->step.step_s, 100 * s->step.busy);
        put_bytes(out, s->traffic.rank_bytes / steps);
        put_bytes(out, s->traffic.rank_bytes);
        buf_puts(out, "       ");
        put_bytes(out, s->traffic.copies_bytes);
        buf_printf(out, "  %8s%s%s\n", amount_bytes(s->memory_bytes).text, s->step.short_rank < 0 ? "" : ", too much",
                   s->own ? "  <- the recipe" : "");
    }
}

json_t *plan_syncs_json(const struct plan_sync *rows, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        const struct plan_sync *s = &rows[i];
        json_append(&list,
                    json_pack("{s:s, s:b, s:o, s:o, s:I, s:o, s:o, s:I, s:b}", "name", s->name, "recipe", s->own,
                              "step_s", cli_json_number(s->step.step_s), "busy", cli_json_number(s->step.busy), "steps",
                              (json_int_t)s->steps, "rank_bytes", cli_json_number(s->traffic.rank_bytes),
                              "copies_bytes", cli_json_number(s->traffic.copies_bytes), "memory_bytes",
                              (json_int_t)s->memory_bytes, "fits", s->step.short_rank < 0));
    }
    return list;
}

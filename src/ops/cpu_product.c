// SPDX-License-Identifier: Apache-2.0
/* Matrix products by panels, for the forward pass and, with factors that lie the other way round, for the backward. */
#include <assert.h>
#include <string.h>

#include "kernels/quant.h"
#include "ops/cpu.h"

struct product {
    struct ops_cpu *c;
    const struct linear_kernels *k;
    const struct back_kernels *back; /* NULL: k's are used, and factors that lie across are turned */
    k_multiply_fn *multiply;
    struct product_map maps[LINEAR_GROUP];
    int n_maps;
    struct operand x;
    int T, I;
    int panel, depth;
    int pass, stretch;                 /* rows, and inputs of them, that pass all panels before others do, at most */
    size_t panel_bytes, group_x_bytes; /* of a packed block of w, and of a group of rows of x */
    char *panels; /* all of them, packed beforehand: [panel][block]; NULL: each task packs its own */
    bool far;     /* they are more than caches hold */
    int from, to; /* the stretch */
    float *sums;  /* of those before it, [panel][T][panel outputs]; NULL: all inputs are one stretch */
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* How many pieces of at most so many there are. */
static int pieces_of(int n, int most)
{
    return (n + most - 1) / most;
}

/* ---- Output ---- */

enum { LINE_FLOATS = 16, ROWS_AHEAD = 8 };

static void add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

static bool bends(enum epilogue e)
{
    return e == EPILOGUE_GELU || e == EPILOGUE_ADD_GELU;
}

/* Rows of y lie pages apart, where no processor looks ahead by itself. */
static void ask(const float *y, int n)
{
    for (int i = 0; i < n; i += LINE_FLOATS)
        __builtin_prefetch(y + i, 1);
}

static void ask_rows(const float *y, size_t stride, int T, struct output_pieces p)
{
    for (int t = 0; t < T; t++)
        for (int i = 0; i < p.n; i++)
            ask(y + (size_t)t * stride + (size_t)(i * p.apart), p.length);
}

/* Bias and activation of a few rows of z, and what is added in front of the latter. */
static void bend(const struct ops_cpu *c, const struct product_output *y, const float *yt, const float *bias, float *z,
                 size_t z_stride, int T, struct output_pieces p)
{
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < p.n; i++) {
            float *piece = z + (size_t)t * z_stride + (size_t)(i * p.length);
            if (bias) add(piece, bias + i * p.apart, p.length);
            if (y->epilogue == EPILOGUE_ADD_GELU) add(piece, yt + (size_t)t * y->stride + i * p.apart, p.length);
        }
    }
    if (bends(y->epilogue)) c->kernels.gelu(z, (size_t)T * z_stride);
}

/* A few rows of ops_cpu_output(). */
static void put_rows(const struct ops_cpu *c, const struct product_output *y, float *yt, const float *bias, float *z,
                     size_t z_stride, int T, struct output_pieces p)
{
    if (bias || bends(y->epilogue)) bend(c, y, yt, bias, z, z_stride, T, p);
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < p.n; i++) {
            const float *piece = z + (size_t)t * z_stride + (size_t)(i * p.length);
            float *to = yt + (size_t)t * y->stride + i * p.apart;
            if (y->epilogue == EPILOGUE_ADD)
                add(to, piece, p.length);
            else
                memcpy(to, piece, (size_t)p.length * sizeof *to);
        }
    }
}

void ops_cpu_output(const struct ops_cpu *c, const struct product_output *y, float *z, size_t z_stride, int T, int o,
                    struct output_pieces p)
{
    float *yt = y->at + o;
    const float *bias = y->bias ? y->bias + o : NULL;
    for (int t = 0; t < T; t += ROWS_AHEAD, z += ROWS_AHEAD * z_stride, yt += ROWS_AHEAD * y->stride) {
        const int rows = least(ROWS_AHEAD, T - t);
        ask_rows(yt + ROWS_AHEAD * y->stride, y->stride, least(ROWS_AHEAD, T - t - rows), p);
        put_rows(c, y, yt, bias, z, z_stride, rows, p);
    }
}

/* ---- Rows ---- */

/* Rows are packed PACK_ROWS at a time, each a block of inputs, in the order of their use: [block][group of rows], or,
 * where panels are packed beforehand, [group][block]. */
static int row_groups(int T)
{
    return pieces_of(T, PACK_ROWS);
}

size_t ops_cpu_packed_x_bytes(const struct linear_kernels *k, int T, int I)
{
    return round_up(k->packed_x_bytes(PACK_ROWS, k->depth), 64) * (size_t)row_groups(T) *
           (size_t)pieces_of(I, k->depth);
}

static void *packed_x(const struct product *p, int at, int group)
{
    const int block = at / p->depth;
    const int n = p->panels ? group * pieces_of(p->I, p->depth) + block : block * row_groups(p->T) + group;
    return (char *)p->c->x + (size_t)n * p->group_x_bytes;
}

static int rows_of(const struct product *p, int group)
{
    return least(PACK_ROWS, p->T - group * PACK_ROWS);
}

/* A task packs one block of inputs of a group of rows. */
static void pack_task(void *user, int task, int thread)
{
    (void)thread;
    const struct product *p = user;
    const int groups = row_groups(p->T), group = task % groups, at = task / groups * p->depth;
    const size_t row = (size_t)group * PACK_ROWS, input = (size_t)at;
    const float *x = p->x.data;
    x += p->x.across ? input * p->x.stride + row : row * p->x.stride + input;
    k_pack_x_fn *pack = !p->back ? p->k->pack_x : p->x.across ? p->back->pack_x_across : p->back->pack_x;
    pack(packed_x(p, at, group), x, p->x.stride, rows_of(p, group), least(p->depth, p->I - at));
}

enum { TURN_INPUTS = 64 };

/* A task turns some inputs of all rows. */
static void turn_task(void *user, int task, int thread)
{
    (void)thread;
    const struct product *p = user;
    const int at = task * TURN_INPUTS;
    p->c->kernels.transpose_32(p->c->turned + at, BACK_INPUTS, (const float *)p->x.data + (size_t)at * p->x.stride,
                               p->x.stride, least(TURN_INPUTS, p->I - at), p->T);
}

static void pack_rows(struct product *p)
{
    if (p->x.across && !p->back) {
        pool_run(p->c->pool, pieces_of(p->I, TURN_INPUTS), turn_task, p);
        p->x = (struct operand){p->c->turned, WEIGHT_F32, BACK_INPUTS, false};
    }
    pool_run(p->c->pool, pieces_of(p->I, p->depth) * row_groups(p->T), pack_task, p);
}

/* ---- Panels ---- */

/* Outputs [o, o + n) of a map; no map: there is no such panel. */
struct panel {
    const struct product_map *map;
    int o, n;
};

static int panels_of(const struct product *p, const struct product_map *m)
{
    return pieces_of(m->O, p->panel);
}

/* Panels are counted through all maps. */
static int count_panels(const struct product *p)
{
    int panels = 0;
    for (int i = 0; i < p->n_maps; i++)
        panels += panels_of(p, &p->maps[i]);
    return panels;
}

static struct panel panel_at(const struct product *p, int i)
{
    for (const struct product_map *m = p->maps; m < p->maps + p->n_maps; i -= panels_of(p, m), m++)
        if (i < panels_of(p, m)) return (struct panel){m, i * p->panel, least(p->panel, m->O - i * p->panel)};
    return (struct panel){.map = NULL};
}

static const char *weight_at(const struct product *p, const struct panel *a)
{
    return (const char *)a->map->w.data + weight_bytes(a->map->w.type, a->o, p->I);
}

/* Where a panel's input `at` is in a matrix that lies across. */
static const char *across_at(const struct panel *a, int at)
{
    const struct operand *w = &a->map->w;
    return (const char *)w->data + ((size_t)at * w->stride + (size_t)a->o) * weight_bytes(w->type, 1, 1);
}

/* What a panel is packed from for inputs [at, at + inputs): rows, or strips of blocks; pieces of rows if it lies
 * across. */
static struct ahead panel_source(const struct product *p, const struct panel *a, int at, int inputs)
{
    const struct operand *w = &a->map->w;
    if (w->across)
        return (struct ahead){.at = across_at(a, at),
                              .apart = w->stride * weight_bytes(w->type, 1, 1),
                              .bytes = weight_bytes(w->type, 1, a->n),
                              .pieces = inputs};
    const int unit = weight_quantised(w->type) ? QUANT_STRIP : 1;
    return (struct ahead){.at = weight_at(p, a) + weight_bytes(w->type, unit, at),
                          .apart = weight_bytes(w->type, unit, p->I),
                          .bytes = weight_bytes(w->type, unit, inputs),
                          .pieces = (a->n + unit - 1) / unit};
}

/* Inputs [at, at + inputs) of a panel whose matrix lies across: turned into rows, then packed. */
static void pack_across(const struct product *p, char *to, char *room, const struct panel *a, int at, int inputs)
{
    const struct operand *w = &a->map->w;
    const size_t bytes = weight_bytes(w->type, 1, 1);
    k_transpose_fn *transpose = bytes == sizeof(float) ? p->c->kernels.transpose_32 : p->c->kernels.transpose_16;
    transpose(room, (size_t)inputs, across_at(a, at), w->stride, inputs, a->n);
    p->k->pack_w(to, room, a->n, inputs, 0, inputs);
}

static void pack_panel(const struct product *p, char *to, char *room, const struct panel *a, int at)
{
    const int inputs = least(p->depth, p->I - at);
    const struct operand *w = &a->map->w;
    if (p->back) {
        p->back->pack_w_across[w->type](to, across_at(a, at), w->stride, a->n, inputs, p->far);
    } else if (w->across) {
        pack_across(p, to, room, a, at, inputs);
    } else {
        p->k->pack_w(to, weight_at(p, a), a->n, p->I, at, inputs);
    }
}

/* What the thread will probably pack after this block: the panel's next, or the first of the panel that it gets if
 * threads take turns. No pieces if there is none. */
static struct ahead packed_next(const struct product *p, int i, const struct panel *a, int at)
{
    const int next = at + p->depth;
    if (next < p->to) return panel_source(p, a, next, least(p->depth, p->I - next));
    const struct panel far = panel_at(p, i + pool_threads(p->c->pool));
    return far.map ? panel_source(p, &far, p->from, least(p->depth, p->I - p->from)) : (struct ahead){.pieces = 0};
}

/* The share of it that is asked for while this group of rows is multiplied. */
static struct ahead share(struct ahead a, int group, int groups)
{
    const int from = a.pieces * group / groups, to = a.pieces * (group + 1) / groups;
    return (struct ahead){.at = a.at + (size_t)from * a.apart, .apart = a.apart, .bytes = a.bytes, .pieces = to - from};
}

/* Where the results of a group of rows go. */
static struct product_output output_of(const struct panel *a, int group)
{
    struct product_output y = a->map->y;
    y.at += (size_t)group * PACK_ROWS * y.stride;
    return y;
}

static struct ahead output_ahead(const struct product_output *y, const struct panel *a, int rows)
{
    return (struct ahead){.at = (const char *)(y->at + a->o),
                          .apart = y->stride * sizeof *y->at,
                          .bytes = (size_t)a->n * sizeof *y->at,
                          .pieces = rows};
}

/* One block of inputs of a panel, which is packed already, by a group of rows. next: what is asked for meanwhile. With
 * the last block results leave, and where they go is asked for, too. */
static void multiply_group(const struct product *p, float *z, const struct panel *a, const char *packed, int at,
                           int group, struct ahead next)
{
    const int inputs = least(p->depth, p->I - at), rows = rows_of(p, group);
    const bool last = at + inputs == p->I;
    const struct product_output y = output_of(a, group);
    const struct ahead out = output_ahead(&y, a, rows);
    if (last) next.then = &out;
    p->multiply(z, packed_x(p, at, group), packed, rows, inputs, &next);
    if (last) ops_cpu_output(p->c, &y, z, (size_t)p->panel, rows, a->o, (struct output_pieces){1, a->n, 0});
}

static char *packed_before(const struct product *p, int panel, int at)
{
    return p->panels + (size_t)(panel * pieces_of(p->I, p->depth) + at / p->depth) * p->panel_bytes;
}

/* A task packs one block of a panel. */
static void panel_pack_task(void *user, int task, int thread)
{
    const struct product *p = user;
    const int blocks = pieces_of(p->I, p->depth), panel = task / blocks, at = task % blocks * p->depth;
    const struct panel a = panel_at(p, panel);
    pack_panel(p, packed_before(p, panel, at), ops_cpu_scratch(p->c, thread), &a, at);
}

/* A panel, and the groups of rows that pass it. */
struct task {
    int panel, first, end;
};

/* All blocks of the panel are there: a group's sums stay in the cache. */
static void by_groups(const struct product *p, const struct task *task, const struct panel *a, float *z)
{
    const struct ahead none = {.pieces = 0};
    for (int group = task->first; group < task->end; group++) {
        memset(z, 0, (size_t)rows_of(p, group) * (size_t)p->panel * sizeof *z);
        for (int at = 0; at < p->I; at += p->depth)
            multiply_group(p, z, a, packed_before(p, task->panel, at), at, group, none);
    }
}

/* A block is packed, and multiplied by all rows while it is in the cache. */
static void by_blocks(const struct product *p, int i, const struct panel *a, float *scratch)
{
    const int groups = row_groups(p->T);
    const size_t n = (size_t)p->T * (size_t)p->panel;
    char *packed = (char *)scratch + (size_t)PRODUCT_ROWS * (size_t)p->panel * sizeof *scratch;
    float *z = p->sums ? p->sums + (size_t)i * n : scratch;
    if (p->from == 0) memset(z, 0, n * sizeof *z);
    for (int at = p->from; at < p->to; at += p->depth) {
        const struct ahead next = packed_next(p, i, a, at);
        pack_panel(p, packed, packed + p->panel_bytes, a, at);
        for (int group = 0; group < groups; group++)
            multiply_group(p, z + (size_t)group * PACK_ROWS * (size_t)p->panel, a, packed, at, group,
                           share(next, group, groups));
    }
}

/* A task is a panel. Of those that are packed beforehand, the last are cut into SHARES of the rows: where one core is
 * slower than another, the faster need not wait for a whole one. */
enum { SHARES = 4 };

static int shared_panels(const struct product *p)
{
    return p->panels ? least(count_panels(p), pool_threads(p->c->pool)) : 0;
}

static int count_tasks(const struct product *p)
{
    return count_panels(p) + shared_panels(p) * (SHARES - 1);
}

static struct task task_at(const struct product *p, int i)
{
    const int groups = row_groups(p->T), whole = count_panels(p) - shared_panels(p);
    if (i < whole) return (struct task){i, 0, groups};
    const int at = (i - whole) % SHARES;
    return (struct task){whole + (i - whole) / SHARES, groups * at / SHARES, groups * (at + 1) / SHARES};
}

static void panel_task(void *user, int i, int thread)
{
    const struct product *p = user;
    const struct task task = task_at(p, i);
    const struct panel a = panel_at(p, task.panel);
    float *scratch = ops_cpu_scratch(p->c, thread);
    if (p->panels)
        by_groups(p, &task, &a, scratch);
    else
        by_blocks(p, task.panel, &a, scratch);
}

size_t ops_cpu_product_scratch_bytes(const struct linear_kernels *k, bool across)
{
    const size_t panel = PRODUCT_ROWS * (size_t)k->panel * sizeof(float) + round_up(k->panel_bytes, 64);
    return panel + (across ? (size_t)k->panel * (size_t)k->depth * sizeof(float) : 0);
}

/* ---- Without panels ---- */

/* The reference table has no panels: a task is one row, each output a sum in double of factors as k's compute type has
 * them. */
static double element(const struct product *p, const struct operand *x, int row, int i)
{
    const size_t at = x->across ? (size_t)i * x->stride + (size_t)row : (size_t)row * x->stride + (size_t)i;
    const size_t bytes = weight_bytes(x->type, 1, 1);
    const char *from = (const char *)x->data + at * bytes;
    float value;
    if (x->type == WEIGHT_F16)
        p->c->kernels.widen_f16(&value, from, 1);
    else if (x->type == WEIGHT_BF16)
        p->c->kernels.widen_bf16(&value, from, 1);
    else
        memcpy(&value, from, sizeof value);
    if (p->c->compute == COMPUTE_BF16) p->c->kernels.round_bf16(&value, 1);
    return (double)value;
}

/* Row t of one map. */
static void plain_row(const struct product *p, const struct product_map *m, int t)
{
    for (int o = 0; o < m->O; o++) {
        double sum = 0;
        for (int i = 0; i < p->I; i++)
            sum += element(p, &p->x, t, i) * element(p, &m->w, o, i);
        float z = (float)sum;
        const struct product_output y = {m->y.at + (size_t)t * m->y.stride, 0, m->y.bias, m->y.epilogue};
        ops_cpu_output(p->c, &y, &z, 1, 1, o, (struct output_pieces){1, 1, 0});
    }
}

static void plain_task(void *user, int task, int thread)
{
    (void)thread;
    const struct product *p = user;
    for (const struct product_map *m = p->maps; m < p->maps + p->n_maps; m++)
        plain_row(p, m, task);
}

/* ---- Either ---- */

/* Every panel reads the packed rows again. SHARED_BYTES stay in the last-level cache, which all threads, and whoever
 * else there is, share; more come from memory each time, a tenth slower (docs/PERFORMANCE.md). But a panel packed for
 * fewer than LEAST_ROWS costs as much, so where rows are that long, each pass is over a stretch of inputs, with the
 * sums of the stretches before it. */
enum { SHARED_BYTES = 9 << 19, LEAST_ROWS = 192, STRETCH_INPUTS = 2048 };

static void choose_pass(struct product *p, int T)
{
    const size_t row = p->group_x_bytes / PACK_ROWS; /* of one block */
    int blocks = pieces_of(p->I, p->depth);
    if (row * (size_t)blocks > SHARED_BYTES / LEAST_ROWS) blocks = least(blocks, pieces_of(STRETCH_INPUTS, p->depth));
    const int most = least(PRODUCT_ROWS, (int)(SHARED_BYTES / (row * (size_t)blocks)));
    p->pass = T ? pieces_of(T, pieces_of(T, most)) : most;
    p->stretch = blocks * p->depth;
}

/* Which kernels: the backward pass's own where there are some, else the linear maps'. */
static void choose(struct product *p, const struct linear_kernels *k, const struct back_kernels *back)
{
    const bool is_back = back && back->multiply;
    p->k = k;
    p->back = is_back ? back : NULL;
    p->multiply = is_back ? back->multiply : k->multiply;
    p->panel = is_back ? back->panel : k->panel;
    p->depth = is_back ? back->depth : k->depth;
    p->panel_bytes = round_up(is_back ? back->panel_bytes : k->panel_bytes, 64);
    if (p->panel)
        p->group_x_bytes = round_up((is_back ? back->packed_x_bytes : k->packed_x_bytes)(PACK_ROWS, p->depth), 64);
}

static size_t panels_bytes(const struct product *p)
{
    return (size_t)count_panels(p) * (size_t)pieces_of(p->I, p->depth) * p->panel_bytes;
}

size_t ops_cpu_panels_bytes(const struct kernels *k, enum compute_type compute, int max_outputs)
{
    struct product p = {.n_maps = 1, .maps = {{.O = max_outputs}}, .I = BACK_INPUTS};
    choose(&p, &k->linear[compute][WEIGHT_F32], &k->back[compute]);
    return p.panel ? panels_bytes(&p) : 0;
}

/* Panels of what lies across are packed before all rows pass them, if more do than go together: whole columns of a
 * matrix are read for them, which is dear. */
static void pack_panels(struct product *p, int rows)
{
    if (!p->maps->w.across || rows <= p->pass || panels_bytes(p) > p->c->panels_bytes) return;
    p->panels = p->c->panels;
    p->far = panels_bytes(p) > SHARED_BYTES;
    pool_run(p->c->pool, count_panels(p) * pieces_of(p->I, p->depth), panel_pack_task, p);
}

/* The sums of all panels, behind the rows. NULL: there is no room. */
static float *sums_of(const struct product *p)
{
    const size_t rows = p->group_x_bytes * (size_t)row_groups(p->T) * (size_t)pieces_of(p->I, p->depth);
    const size_t sums = sizeof(float) * (size_t)p->T * (size_t)p->panel * (size_t)count_panels(p);
    return rows + sums <= p->c->x_bytes ? (float *)((char *)p->c->x + rows) : NULL;
}

/* All rows of a pass. */
static void run_panels(struct product *p)
{
    p->sums = p->stretch < p->I && !p->panels ? sums_of(p) : NULL;
    pack_rows(p);
    for (p->from = 0; p->from < p->I; p->from = p->to) {
        p->to = p->sums ? least(p->from + p->stretch, p->I) : p->I;
        pool_run(p->c->pool, count_tasks(p), panel_task, p);
    }
}

static void advance(struct product *p)
{
    for (int i = 0; i < p->n_maps; i++)
        p->maps[i].y.at += (size_t)p->pass * p->maps[i].y.stride;
}

void ops_cpu_product(struct ops_cpu *c, const struct linear_kernels *k, const struct product_map *maps, int n,
                     const struct operand *x, int T, int I)
{
    assert(n <= LINEAR_GROUP && !(weight_quantised(maps->w.type) && maps->w.across));
    assert(!(x->across || maps->w.across) || (I <= BACK_INPUTS && c->turned));
    struct product p = {.c = c, .n_maps = n, .x = *x, .I = I};
    memcpy(p.maps, maps, (size_t)n * sizeof *maps);
    choose(&p, k, maps->w.across ? &c->kernels.back[c->compute] : NULL);
    if (!k->multiply) {
        p.T = T;
        pool_run(c->pool, T, plain_task, &p);
        return;
    }
    choose_pass(&p, T);
    pack_panels(&p, T);
    for (int t = 0; t < T; t += p.pass, advance(&p)) {
        p.T = least(p.pass, T - t);
        p.x = *x;
        p.x.data = (const float *)x->data + (size_t)t * (x->across ? 1 : x->stride);
        run_panels(&p);
    }
}

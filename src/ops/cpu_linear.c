// SPDX-License-Identifier: Apache-2.0
/* Linear maps. Few rows stream the weights once, as they are stored, each task a piece of the outputs; many rows are a
 * matrix product (cpu_product.c). Both give the same bits (kernels.h). */
#include <assert.h>
#include <string.h>

#include "kernels/quant.h"
#include "ops/cpu.h"

/* Rows that are streamed in one go, and what a task of a streamed map should read at least: small enough that threads
 * finish together, large enough that taking a task costs nothing. */
enum { MAX_ROWS = PRODUCT_ROWS, STREAM_TASK_BYTES = 1 << 16, STRIP = QUANT_STRIP };

struct linear_job {
    struct ops_cpu *c;
    const struct linear_kernels *k;
    const float *x;
    struct product_map maps[LINEAR_GROUP];
    int n_maps, T, I;
    int least_strips; /* of each band, of a task */
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- Streaming ----
 *
 * The strips of 16 outputs of a map are dealt to the kernel's stream_bands bands of equal length, of which the last may
 * end early. A task is the same strips of every band, of one map after the other: many at first, because a reader that
 * goes on and on is the fastest, fewer towards the end, so that threads finish together. */
struct bands {
    int length; /* strips of a band */
    int strips; /* of all bands     */
};

static struct bands bands_of(const struct linear_job *j, int O)
{
    const int strips = (O + STRIP - 1) / STRIP, n = j->k->stream_bands;
    return (struct bands){(strips + n - 1) / n, strips};
}

/* Strips of a band, of all maps. */
static int all_strips(const struct linear_job *j)
{
    int n = 0;
    for (int i = 0; i < j->n_maps; i++)
        n += bands_of(j, j->maps[i].O).length;
    return n;
}

/* How many strips the task takes that begins where `left` are left. */
static int task_strips(const struct linear_job *j, int left)
{
    const int n = left / (2 * pool_threads(j->c->pool));
    return n > j->least_strips ? n : least(j->least_strips, left);
}

/* Strip s of the n bands of m from band first on, `outputs` of each. */
static void stream_strips(const struct linear_job *j, const struct product_map *m, float *z, int s, int first, int n,
                          int outputs)
{
    const int length = bands_of(j, m->O).length, o = (first * length + s) * STRIP;
    const char *w = (const char *)m->w.data + weight_bytes(m->w.type, o, j->I);
    const size_t band_bytes = weight_bytes(m->w.type, length * STRIP, j->I), z_stride = (size_t)n * (size_t)outputs;
    j->k->stream(z, z_stride, j->c->x, w, band_bytes, n, j->T, outputs, j->I);
    ops_cpu_output(j->c, &m->y, z, z_stride, j->T, o, (struct output_pieces){n, outputs, length * STRIP});
}

/* Strip s of all bands of m. */
static void stream_strip(const struct linear_job *j, const struct product_map *m, float *z, int s)
{
    const struct bands bands = bands_of(j, m->O);
    int n = 0, last = STRIP; /* bands that have such a strip, and how many outputs the last of them has */
    while (n < j->k->stream_bands && n * bands.length + s < bands.strips)
        n++;
    if ((n - 1) * bands.length + s == bands.strips - 1) last = m->O - (bands.strips - 1) * STRIP;
    const int whole = last == STRIP ? n : n - 1;
    if (whole) stream_strips(j, m, z, s, 0, whole, STRIP);
    if (whole < n) stream_strips(j, m, z, s, whole, 1, last);
}

static void stream_task(void *user, int task, int thread)
{
    const struct linear_job *j = user;
    const int strips = all_strips(j);
    int from = 0;
    for (int i = 0; i < task; i++)
        from += task_strips(j, strips - from);
    int to = from + task_strips(j, strips - from);
    for (const struct product_map *m = j->maps; m < j->maps + j->n_maps; m++) {
        const int length = bands_of(j, m->O).length;
        for (int s = from; s < least(to, length); s++)
            stream_strip(j, m, ops_cpu_scratch(j->c, thread), s);
        from = from > length ? from - length : 0;
        to -= length;
    }
}

static void stream(struct linear_job *j)
{
    const size_t step_bytes = (size_t)j->k->stream_bands * weight_bytes(j->maps->w.type, STRIP, j->I);
    const int strips = all_strips(j);
    int tasks = 0;
    j->least_strips = (int)(STREAM_TASK_BYTES / (step_bytes + 1)) + 1;
    for (int first = 0; first < strips; tasks++)
        first += task_strips(j, strips - first);
    j->k->prepare(j->c->x, j->x, (size_t)j->I, j->T, j->I);
    pool_run(j->c->pool, tasks, stream_task, j);
}

/* ---- Either ---- */

const struct linear_kernels *ops_cpu_kernels_for(const struct ops_cpu *c, enum weight_type w)
{
    return &c->kernels.linear[c->compute == COMPUTE_INT8 && !weight_quantised(w) ? COMPUTE_FP32 : c->compute][w];
}

/* Maps whose weights are of one type. */
static void same_type(struct ops_cpu *c, const struct linear_map *maps, int n, const float *x, int T)
{
    const enum weight_type type = maps->w->type;
    struct linear_job j = {.c = c, .k = ops_cpu_kernels_for(c, type), .x = x, .n_maps = n, .I = maps->w->I};
    for (int i = 0; i < n; i++) {
        const struct linear_map *m = &maps[i];
        const struct product_output y = {m->y, (size_t)m->w->O, m->b ? m->b->data : NULL, m->e};
        j.maps[i] = (struct product_map){y, {m->w->data, type, (size_t)m->w->I, false}, m->w->O};
    }
    if (!j.k->stream || (j.k->multiply && T > j.k->stream_rows)) {
        const struct operand rows = {x, WEIGHT_F32, (size_t)j.I, false};
        ops_cpu_product(c, j.k, j.maps, n, &rows, T, j.I);
        return;
    }
    for (int t = 0; t < T; t += MAX_ROWS, j.x += MAX_ROWS * (size_t)j.I) {
        j.T = least(MAX_ROWS, T - t);
        stream(&j);
        for (int i = 0; i < n; i++)
            j.maps[i].y.at += MAX_ROWS * j.maps[i].y.stride;
    }
}

void ops_cpu_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T)
{
    struct ops_cpu *c = ops_cpu(o);
    pool_hold(c->pool); /* sessions share c->x */
    for (int first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && maps[end].w->type == maps[first].w->type;)
            end++;
        same_type(c, maps + first, end - first, x, T);
    }
    pool_release(c->pool);
}

void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e)
{
    ops_cpu_linear_group(o, &(struct linear_map){y, w, b, e}, 1, x, T);
}

/* ---- Memory ---- */

/* Calls nothing for the products a table does not offer. */
static size_t most(const struct kernels *k, size_t (*of)(const struct linear_kernels *l, int arg), int arg)
{
    size_t max = 0;
    for (int c = 0; c < COMPUTE_TYPES; c++) {
        for (int w = 0; w < WEIGHT_TYPES; w++) {
            const size_t bytes = of(&k->linear[c][w], arg);
            max = bytes > max ? bytes : max;
        }
    }
    return max;
}

static size_t x_bytes(const struct linear_kernels *l, int I)
{
    size_t streamed = 0, packed = 0;
    if (l->stream) streamed = l->prepared_bytes(l->multiply ? least(l->stream_rows, MAX_ROWS) : MAX_ROWS, I);
    if (l->multiply) packed = ops_cpu_packed_x_bytes(l, MAX_ROWS, I);
    return streamed > packed ? streamed : packed;
}

static size_t scratch_bytes(const struct linear_kernels *l, int across)
{
    const size_t streamed = sizeof(float) * MAX_ROWS * STREAM_BANDS * STRIP;
    const size_t panels = ops_cpu_product_scratch_bytes(l, across);
    return streamed > panels ? streamed : panels;
}

size_t ops_cpu_linear_x_bytes(const struct kernels *k, int max_inputs)
{
    return most(k, x_bytes, max_inputs);
}

size_t ops_cpu_linear_scratch_bytes(const struct kernels *k, bool trains)
{
    return most(k, scratch_bytes, trains);
}

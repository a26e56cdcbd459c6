// SPDX-License-Identifier: Apache-2.0
/* Linear maps. Few rows stream the weights once, as they are stored, each task a piece of the outputs; many rows are a
 * matrix product (cpu_product.c). Both give the same bits (kernels.h). */
#include <assert.h>
#include <string.h>

#include "kernels/quant.h"
#include "ops/cpu.h"

/* Rows of one go, and what a task of a streamed map should read at least: small enough that threads finish together,
 * large enough that taking a task costs nothing. */
enum { MAX_ROWS = PRODUCT_ROWS, STREAM_TASK_BYTES = 1 << 16, STRIP = QUANT_STRIP };

struct linear_job {
    struct ops_cpu *c;
    const struct linear_kernels *k;
    struct product_output y;
    const float *x;
    const struct weight *w;
    int T;
    int least_strips; /* of each band, of a task */
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static const char *weight_at(const struct weight *w, int o)
{
    return (const char *)w->data + weight_bytes(w->type, o, w->I);
}

/* ---- Streaming ----
 *
 * The strips of 16 outputs are dealt to STREAM_BANDS bands of equal length, of which the last may end early. A task is
 * the same strips of every band: many at first, because a reader that goes on and on is the fastest, fewer towards the
 * end, so that threads finish together. */
struct bands {
    int length; /* strips of a band */
    int strips; /* of all bands     */
};

static struct bands bands_of(int O)
{
    const int strips = (O + STRIP - 1) / STRIP;
    return (struct bands){(strips + STREAM_BANDS - 1) / STREAM_BANDS, strips};
}

/* How many strips the task takes that begins where `left` are left. */
static int task_strips(const struct linear_job *j, int left)
{
    const int n = left / (2 * pool_threads(j->c->pool));
    return n > j->least_strips ? n : least(j->least_strips, left);
}

/* Strip s of the n bands from band first on, `outputs` of each. */
static void stream_strips(const struct linear_job *j, float *z, int s, int first, int n, int outputs)
{
    const int length = bands_of(j->w->O).length, o = (first * length + s) * STRIP;
    const size_t band_bytes = weight_bytes(j->w->type, length * STRIP, j->w->I), z_stride = (size_t)n * (size_t)outputs;
    j->k->stream(z, z_stride, j->c->x, weight_at(j->w, o), band_bytes, n, j->T, outputs, j->w->I);
    ops_cpu_output(j->c, &j->y, z, z_stride, j->T, o, (struct output_pieces){n, outputs, length * STRIP});
}

static void stream_task(void *user, int task, int thread)
{
    const struct linear_job *j = user;
    const struct bands bands = bands_of(j->w->O);
    int first = 0;
    for (int i = 0; i < task; i++)
        first += task_strips(j, bands.length - first);
    const int end = first + task_strips(j, bands.length - first);
    float *z = ops_cpu_scratch(j->c, thread);
    for (int s = first; s < end; s++) {
        int n = 0, last = STRIP; /* bands that have such a strip, and how many outputs the last of them has */
        while (n < STREAM_BANDS && n * bands.length + s < bands.strips)
            n++;
        if ((n - 1) * bands.length + s == bands.strips - 1) last = j->w->O - (bands.strips - 1) * STRIP;
        const int whole = last == STRIP ? n : n - 1;
        if (whole) stream_strips(j, z, s, 0, whole, STRIP);
        if (whole < n) stream_strips(j, z, s, whole, 1, last);
    }
}

static void stream(struct linear_job *j)
{
    const size_t step_bytes = STREAM_BANDS * weight_bytes(j->w->type, STRIP, j->w->I);
    const int length = bands_of(j->w->O).length;
    int tasks = 0;
    j->least_strips = (int)(STREAM_TASK_BYTES / (step_bytes + 1)) + 1;
    for (int first = 0; first < length; tasks++)
        first += task_strips(j, length - first);
    j->k->prepare(j->c->x, j->x, (size_t)j->w->I, j->T, j->w->I);
    pool_run(j->c->pool, tasks, stream_task, j);
}

/* ---- Either ---- */

const struct linear_kernels *ops_cpu_kernels_for(const struct ops_cpu *c, enum weight_type w)
{
    return &c->kernels.linear[c->compute == COMPUTE_INT8 && !weight_quantised(w) ? COMPUTE_FP32 : c->compute][w];
}

void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e)
{
    struct ops_cpu *c = ops_cpu(o);
    const struct linear_kernels *k = ops_cpu_kernels_for(c, w->type);
    const struct operand weights = {w->data, w->type, (size_t)w->I, false};
    struct linear_job j = {.c = c, .k = k, .y = {y, (size_t)w->O, b ? b->data : NULL, e}, .x = x, .w = w};
    pool_hold(c->pool); /* sessions share c->x */
    for (int t = 0; t < T; t += MAX_ROWS, j.x += MAX_ROWS * (size_t)w->I, j.y.at += MAX_ROWS * (size_t)w->O) {
        j.T = least(MAX_ROWS, T - t);
        if (k->stream && (j.T <= k->stream_rows || !k->multiply)) {
            stream(&j);
        } else {
            const struct operand rows = {j.x, WEIGHT_F32, (size_t)w->I, false};
            ops_cpu_product(c, k, &j.y, &rows, &weights, j.T, w->O, w->I);
        }
    }
    pool_release(c->pool);
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

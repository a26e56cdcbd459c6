// SPDX-License-Identifier: Apache-2.0
/* Linear maps. Few rows stream the weights once, as they are stored, each task a piece of the outputs. Many rows are a
 * matrix product: the rows are packed once, then each task packs one panel of outputs, a block of inputs at a time, and
 * multiplies all rows by it while it is in the cache. Both give the same bits (kernels.h). */
#include <assert.h>
#include <string.h>

#include "kernels/quant.h"
#include "ops/cpu.h"

/* Rows of one go, and what a task of a streamed map should read at least: small enough that threads finish together,
 * large enough that taking a task costs nothing. */
enum { MAX_ROWS = 256, STREAM_TASK_BYTES = 1 << 16, STRIP = QUANT_STRIP };

struct linear_job {
    struct ops_cpu *c;
    const struct linear_kernels *k;
    float *y;
    const float *x, *bias; /* bias may be NULL */
    const struct weight *w;
    int T;
    int least_strips;     /* of each band, of a task */
    size_t block_x_bytes; /* of a packed block of inputs */
    enum epilogue epilogue;
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static const char *weight_at(const struct weight *w, int o)
{
    return (const char *)w->data + weight_bytes(w->type, o, w->I);
}

static void finish_row(const struct linear_job *j, float *y, float *z, const float *bias, int n)
{
    if (bias)
        for (int i = 0; i < n; i++)
            z[i] += bias[i];
    switch (j->epilogue) {
    case EPILOGUE_GELU:
        j->c->kernels.gelu(z, (size_t)n);
        memcpy(y, z, (size_t)n * sizeof *y);
        break;
    case EPILOGUE_STORE: memcpy(y, z, (size_t)n * sizeof *y); break;
    case EPILOGUE_ADD:
        for (int i = 0; i < n; i++)
            y[i] += z[i];
        break;
    }
}

/* z[T][z_stride] are outputs [o, o + n) before bias and epilogue. */
static void finish(const struct linear_job *j, float *z, size_t z_stride, int o, int n)
{
    for (int t = 0; t < j->T; t++)
        finish_row(j, j->y + (size_t)t * (size_t)j->w->O + o, z + (size_t)t * z_stride, j->bias ? j->bias + o : NULL,
                   n);
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
    for (int b = 0; b < n; b++)
        finish(j, z + b * outputs, z_stride, o + b * length * STRIP, outputs);
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

/* ---- Panels ---- */

static void *packed_x(const struct linear_job *j, int at)
{
    return (char *)j->c->x + (size_t)(at / j->k->depth) * j->block_x_bytes;
}

/* A task packs one block of inputs of all rows. */
static void pack_task(void *user, int task, int thread)
{
    (void)thread;
    const struct linear_job *j = user;
    const int at = task * j->k->depth;
    j->k->pack_x(packed_x(j, at), j->x + at, (size_t)j->w->I, j->T, least(j->k->depth, j->w->I - at));
}

/* What a panel of n outputs is packed from for inputs [at, at + inputs): rows, or strips of blocks. */
static struct ahead panel_source(const struct weight *w, int o, int n, int at, int inputs)
{
    const int quantised = weight_quantised(w->type), unit = quantised ? STRIP : 1;
    const size_t bytes = quantised ? quant_block_bytes(w->type) / QUANT_BLOCK : weight_bytes(w->type, 1, 1);
    return (struct ahead){.at = weight_at(w, o) + (size_t)at * bytes,
                          .apart = weight_bytes(w->type, unit, w->I),
                          .bytes = (size_t)inputs * bytes,
                          .pieces = (n + unit - 1) / unit};
}

static void panel_task(void *user, int task, int thread)
{
    const struct linear_job *j = user;
    const struct linear_kernels *k = j->k;
    const int I = j->w->I, o = task * k->panel, n = least(k->panel, j->w->O - o);
    float *z = ops_cpu_scratch(j->c, thread);
    char *panel = (char *)z + (size_t)MAX_ROWS * (size_t)k->panel * sizeof *z;
    memset(z, 0, (size_t)j->T * (size_t)k->panel * sizeof *z);
    for (int at = 0; at < I; at += k->depth) {
        const int inputs = least(k->depth, I - at);
        k->pack_w(panel, weight_at(j->w, o), n, I, at, inputs);
        const int left = I - at - inputs;
        const struct ahead next = panel_source(j->w, o, n, at + inputs, least(k->depth, left));
        k->multiply(z, packed_x(j, at), panel, j->T, inputs, left ? &next : NULL);
    }
    finish(j, z, (size_t)k->panel, o, n);
}

static void multiply(struct linear_job *j)
{
    const int blocks = (j->w->I + j->k->depth - 1) / j->k->depth;
    j->block_x_bytes = round_up(j->k->packed_x_bytes(j->T, j->k->depth), 64);
    pool_run(j->c->pool, blocks, pack_task, j);
    pool_run(j->c->pool, (j->w->O + j->k->panel - 1) / j->k->panel, panel_task, j);
}

/* ---- Either ---- */

static const struct linear_kernels *kernels_for(const struct ops_cpu *c, enum weight_type w)
{
    return &c->kernels.linear[c->compute == COMPUTE_INT8 && !weight_quantised(w) ? COMPUTE_FP32 : c->compute][w];
}

void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e)
{
    struct ops_cpu *c = ops_cpu(o);
    pool_hold(c->pool); /* sessions share c->x */
    for (int t = 0; t < T; t += MAX_ROWS) {
        struct linear_job j = {.c = c,
                               .k = kernels_for(c, w->type),
                               .y = y + (size_t)t * (size_t)w->O,
                               .x = x + (size_t)t * (size_t)w->I,
                               .bias = b ? b->data : NULL,
                               .w = w,
                               .T = least(MAX_ROWS, T - t),
                               .epilogue = e};
        if (j.k->stream && (j.T <= j.k->stream_rows || !j.k->multiply))
            stream(&j);
        else
            multiply(&j);
    }
    pool_release(c->pool);
}

/* ---- Memory ---- */

/* Calls nothing for the products a table does not offer. */
static size_t most(const struct kernels *k, size_t (*of)(const struct linear_kernels *l, int I), int I)
{
    size_t max = 0;
    for (int c = 0; c < COMPUTE_TYPES; c++) {
        for (int w = 0; w < WEIGHT_TYPES; w++) {
            const size_t bytes = of(&k->linear[c][w], I);
            max = bytes > max ? bytes : max;
        }
    }
    return max;
}

static size_t x_bytes(const struct linear_kernels *l, int I)
{
    size_t streamed = 0, packed = 0;
    if (l->stream) streamed = l->prepared_bytes(l->multiply ? least(l->stream_rows, MAX_ROWS) : MAX_ROWS, I);
    if (l->multiply)
        packed = round_up(l->packed_x_bytes(MAX_ROWS, l->depth), 64) * (size_t)((I + l->depth - 1) / l->depth);
    return streamed > packed ? streamed : packed;
}

static size_t scratch_bytes(const struct linear_kernels *l, int I)
{
    (void)I;
    const size_t streamed = sizeof(float) * MAX_ROWS * STREAM_BANDS * STRIP;
    const size_t panels = MAX_ROWS * (size_t)l->panel * sizeof(float) + l->panel_bytes;
    return streamed > panels ? streamed : panels;
}

size_t ops_cpu_linear_x_bytes(const struct kernels *k, int max_inputs)
{
    return most(k, x_bytes, max_inputs);
}

size_t ops_cpu_linear_scratch_bytes(const struct kernels *k)
{
    return most(k, scratch_bytes, 0);
}

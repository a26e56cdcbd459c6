// SPDX-License-Identifier: Apache-2.0
/* The CUDA backend's training table beside the CPU's reference, entry by entry: the same numbers go to both. In fp32
 * they may differ by the rounding of sums; in bf16 by the rounding of factors. Without a GPU there is nothing to show,
 * and the test counts as skipped. */
#include "backend.h"

#include "ops/train.h"

static struct ops *cpu, *gpu_of[COMPUTE_TYPES]; /* fp32 and bf16 */

/* ---- Arrays ---- */

/* n floats on the device, `off` floats behind where they would be aligned; owned. */
struct array {
    float *memory, *at;
    size_t n, off;
};

static struct array there(struct ops *o, const float *x, size_t n, size_t off)
{
    struct array a = {.n = n, .off = off, .memory = alloc(o, (n + off) * sizeof *x)};
    a.at = a.memory + off;
    o->fn->write(o, a.at, x, n * sizeof *x);
    return a;
}

/* What they are now; owned. The device's are freed. */
static float *back(struct ops *o, struct array a)
{
    float *x = malloc((a.n ? a.n : 1) * sizeof *x);
    assert_non_null(x);
    o->fn->read(o, x, a.at, a.n * sizeof *x);
    o->fn->free(o, a.memory, (a.n + a.off) * sizeof *x);
    return x;
}

static void gone(struct ops *o, struct array a)
{
    o->fn->free(o, a.memory, (a.n + a.off) * sizeof *a.at);
}

static struct weight bind(struct ops *o, const float *x, int rows, int columns, enum weight_type as)
{
    const struct weight host = {.data = x, .type = WEIGHT_F32, .O = rows, .I = columns};
    struct weight w = {0};
    if (o->fn->weight_bind(o, &w, &host, as) != OK) fail_msg("%s", status_message());
    return w;
}

static struct ops *side_of(int side)
{
    return side ? gpu_of[COMPUTE_FP32] : cpu;
}

/* ---- Element by element ---- */

enum { GELU, GELU_BACK, ADD, SCALE, ZERO, ROUND_F16, ROUND_BF16, ELEMENT_OPS };

static void element_op(struct ops *o, int op, float *y, const float *x, size_t n)
{
    const struct ops_train *train = o->train;
    switch (op) {
    case GELU: train->gelu(o, y, x, n); return;
    case GELU_BACK: train->gelu_back(o, y, x, n); return;
    case ADD: train->add(o, y, x, n); return;
    case SCALE: train->scale(o, y, n, 0.3f); return;
    case ZERO: train->zero(o, y, n); return;
    default: train->round(o, y, n, op == ROUND_F16 ? DTYPE_F16 : DTYPE_BF16); return;
    }
}

/* gelu's tanh, or exp, is off by some EPS where it is near 1; slopes are at most 1.13. */
static double element_bound(int op, float x, float y)
{
    if (op == GELU) return 16 * EPS * fabs((double)x);
    return op == GELU_BACK ? 64 * EPS * fabs((double)y) : 0;
}

static void elements_agree(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5, 1024, 1027};
    for (int op = 0; op < ELEMENT_OPS; op++)
        for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
            const size_t n = sizes[i / 2], off = i % 2;
            float *x = numbers(n, 1), *y = numbers(n, 2), *out[2];
            for (size_t k = 0; k < n; k++)
                x[k] *= 6;
            for (int side = 0; side < 2; side++) {
                struct ops *o = side_of(side);
                const struct array from = there(o, x, n, off), to = there(o, y, n, 0);
                element_op(o, op, to.at, from.at, n);
                out[side] = back(o, to);
                gone(o, from);
            }
            for (size_t k = 0; k < n; k++)
                must_be_near((double)out[1][k], (double)out[0][k], element_bound(op, x[k], y[k]), "element", op,
                             (int)k);
            free(x);
            free(y);
            free(out[0]);
            free(out[1]);
        }
}

static void adamw_agrees(void **state)
{
    (void)state;
    enum { N = 1027 };
    const struct adamw_step s = {1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 0.5};
    float *x[4], *out[2][3];
    for (int i = 0; i < 4; i++)
        x[i] = numbers(N, (uint64_t)i);
    for (int i = 0; i < N; i++)
        x[2][i] = fabsf(x[2][i]);
    for (int side = 0; side < 2; side++) {
        struct ops *o = side_of(side);
        struct array a[4];
        for (int i = 0; i < 4; i++)
            a[i] = there(o, x[i], N, 0);
        o->train->adamw(o, a[0].at, a[1].at, a[2].at, a[3].at, N, &s, NULL);
        for (int i = 0; i < 3; i++)
            out[side][i] = back(o, a[i]);
        gone(o, a[3]);
    }
    for (int i = 0; i < N; i++) {
        const double m = (double)out[0][1][i], v = (double)out[0][2][i], p = (double)out[0][0][i];
        const double step = fabs(m) / s.correction1 / (sqrt(v / s.correction2) + s.eps) + s.decay * fabs(p);
        must_be_near((double)out[1][1][i], m, 8 * EPS * (1 + fabs(m)), "adamw's m", i, 0);
        must_be_near((double)out[1][2][i], v, 8 * EPS * (1 + v), "adamw's v", i, 0);
        /* as far as m and v may be off */
        const double off = 16 * EPS * (1 + step) * (1 + 1 / (s.correction1 * sqrt(v / s.correction2) + s.eps) + 1 / v);
        must_be_near((double)out[1][0][i], p, s.lr * off + 4 * EPS * fabs(p), "adamw's p", i, 0);
    }
    for (int i = 0; i < 4; i++)
        free(x[i]);
    for (int i = 0; i < 6; i++)
        free(out[i / 3][i % 3]);
}

static void sums_of_squares_agree(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16385, 100003};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        float *x = numbers(sizes[i], 1);
        double sum[2];
        for (int side = 0; side < 2; side++) {
            struct ops *o = side_of(side);
            const struct array a = there(o, x, sizes[i], 1);
            sum[side] = o->train->sum_squares(o, a.at, sizes[i]);
            gone(o, a);
        }
        must_be_near(sum[1], sum[0], 1e-12 * sum[0], "sum of squares", (int)sizes[i], 0);
        free(x);
    }
}

static void matrices_are_written_alike(void **state)
{
    (void)state;
    enum { O = 37, I = 31 };
    static const enum weight_type types[] = {WEIGHT_F16, WEIGHT_BF16};
    float *x = numbers(O * I, 1), *zeros = calloc(O * I, sizeof *zeros);
    assert_non_null(zeros);
    for (int i = 0; i < O * I; i++)
        x[i] *= i % 7 ? 1 : 1e5f;
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        uint16_t bits[2][O * I];
        for (int side = 0; side < 2; side++) {
            struct ops *o = side_of(side);
            struct weight w = bind(o, zeros, O, I, types[t]);
            const struct array values = there(o, x, O * I, 0);
            o->train->weight_write(o, &w, values.at);
            o->fn->read(o, bits[side], w.data, sizeof bits[side]);
            o->fn->weight_free(o, &w);
            gone(o, values);
        }
        assert_memory_equal(bits[0], bits[1], sizeof bits[0]);
    }
    free(x);
    free(zeros);
}

/* ---- Rows ---- */

static void moved_rows_agree(void **state)
{
    (void)state;
    enum { T = 45, H = 3, K = 20, R = 14, P = 60, D = H * K, V = 7 };
    int32_t token[T], position[T], index[T];
    for (int t = 0; t < T; t++) {
        token[t] = t * t % V;
        position[t] = t * 7 % P;
        index[t] = T - 1 - t;
    }
    float *x = numbers(T * D, 1), *turns = numbers(P * R, 2), *table = numbers(V * D, 3), *out[2][3];
    for (int side = 0; side < 2; side++) {
        struct ops *o = side_of(side);
        const struct array rows = there(o, x, T * D, 0), turned = there(o, x, T * D, 0), to = there(o, x, T * D, 0);
        const struct array both = there(o, turns, P * R, 0), dwte = there(o, table, V * D, 0);
        o->train->rotary_back(o, turned.at, both.at, both.at + P * R / 2, position, T, H, K, R);
        o->train->embed_back(o, dwte.at, rows.at, token, T, D);
        o->train->scatter(o, to.at, rows.at, index, T, D);
        out[side][0] = back(o, turned);
        out[side][1] = back(o, dwte);
        out[side][2] = back(o, to);
        gone(o, rows);
        gone(o, both);
    }
    for (int i = 0; i < T * D; i++)
        must_be_near((double)out[1][0][i], (double)out[0][0][i], 4 * EPS * 2, "rotary", i / D, i % D);
    assert_memory_equal(out[0][1], out[1][1], sizeof(float) * V * D);
    assert_memory_equal(out[0][2], out[1][2], sizeof(float) * T * D);
    for (int i = 0; i < 6; i++)
        free(out[i / 3][i % 3]);
    free(x);
    free(turns);
    free(table);
}

/* Rows have a deviation near 0.58, so what is normed is below 2, and dx of the order of 2 (1 + 1 + 2). */
static void norms_agree(void **state)
{
    (void)state;
    enum { T = 301 };
    static const int some_D[] = {72, 129};
    for (size_t d = 0; d < COUNT_OF(some_D); d++) {
        const int D = some_D[d];
        const size_t n = (size_t)T * (size_t)D;
        float *x = numbers(n, 1), *dy = numbers(n, 2), *dx = numbers(n, 3), *w = numbers((size_t)D, 4), *out[2][3];
        for (int side = 0; side < 2; side++) {
            struct ops *o = side_of(side);
            struct weight scale = bind(o, w, D, 1, WEIGHT_F32);
            const struct array X = there(o, x, n, 0), DY = there(o, dy, n, 0), DX = there(o, dx, n, 0);
            const struct array DW = there(o, w, (size_t)D, 0), DB = there(o, w, (size_t)D, 0),
                               stats = there(o, x, 2 * T, 0);
            o->train->layer_norm_back(o, DX.at, DW.at, DB.at, DY.at, X.at, &scale, stats.at, T, 1e-5f);
            out[side][0] = back(o, DX);
            out[side][1] = back(o, DW);
            out[side][2] = back(o, DB);
            gone(o, X);
            gone(o, DY);
            gone(o, stats);
            o->fn->weight_free(o, &scale);
        }
        for (size_t i = 0; i < n; i++)
            must_be_near((double)out[1][0][i], (double)out[0][0][i], 60 * EPS * 8, "norm's dx", (int)i / D, (int)i % D);
        for (int which = 1; which < 3; which++)
            for (int i = 0; i < D; i++)
                must_be_near((double)out[1][which][i], (double)out[0][which][i], 60 * EPS * (1 + T), "norm's", which,
                             i);
        for (int i = 0; i < 6; i++)
            free(out[i / 3][i % 3]);
        free(x);
        free(dy);
        free(dx);
        free(w);
    }
}

static void losses_agree(void **state)
{
    (void)state;
    enum { T = 9 };
    static const int some_V[] = {7, 1003, 4096, 70001}; /* the last does not fit a block's memory */
    for (size_t v = 0; v < COUNT_OF(some_V); v++) {
        const int V = some_V[v];
        const size_t n = (size_t)T * (size_t)V;
        int32_t target[T];
        double loss[2][T];
        float *z = numbers(n, 1), *out[2];
        for (int t = 0; t < T; t++)
            target[t] = t * 31 % V;
        for (size_t i = 0; i < n; i++)
            z[i] *= 8;
        for (int side = 0; side < 2; side++) {
            struct ops *o = side_of(side);
            const struct array a = there(o, z, n, 0);
            o->train->cross_entropy(o, loss[side], a.at, target, T, V, 0.5f);
            out[side] = back(o, a);
        }
        for (int t = 0; t < T; t++)
            must_be_near(loss[1][t], loss[0][t], 64 * EPS * (1 + fabs(loss[0][t])), "loss", t, V);
        for (size_t i = 0; i < n; i++)
            must_be_near((double)out[1][i], (double)out[0][i], 64 * EPS, "gradient of the loss", (int)i / V,
                         (int)i % V);
        free(z);
        free(out[0]);
        free(out[1]);
    }
}

/* ---- Linear maps ----
 *
 * As a block has them: {0} of gelu(z) and {1} have their dy in common; {2}, whose dy has still to pass gelu_back, {3},
 * which is frozen, and {4} their x, and add up their dx. */

enum { MAPS = 5, RESULTS = 3 + 2 * MAPS + 1 };

struct maps_case {
    enum compute_type compute;
    enum weight_type type;
    int T, D, F;
};

/* Numbers of a stream, or their sizes. */
static struct array some(struct ops *o, size_t n, uint64_t stream, bool sizes)
{
    float *x = numbers(n, stream);
    for (size_t i = 0; i < n && sizes; i++)
        x[i] = fabsf(x[i]);
    const struct array a = there(o, x, n, 0);
    free(x);
    return a;
}

static struct weight some_weight(struct ops *o, int O, int I, enum weight_type as, uint64_t stream, bool sizes)
{
    float *x = numbers((size_t)O * (size_t)I, stream);
    for (int i = 0; i < O * I && sizes; i++)
        x[i] = fabsf(x[i]);
    const struct weight w = bind(o, x, O, I, as);
    if (w.owned_bytes) free(x); /* else it borrows x until give_back() */
    return w;
}

static void give_back(struct ops *o, struct weight *w)
{
    void *borrowed = w->owned_bytes ? NULL : (void *)(uintptr_t)w->data;
    o->fn->weight_free(o, w);
    free(borrowed);
}

/* out: dx of {0}, of {1}, of the others; dw and db of each; gelu_linear(); owned. With sizes, of numbers' sizes. */
static void maps_back(struct ops *o, const struct maps_case *s, bool sizes, float *out[RESULTS], size_t n[RESULTS])
{
    const int T = s->T, outs[MAPS] = {s->D, s->D, s->F, s->D, s->D}, ins[MAPS] = {s->F, s->D, s->D, s->D, s->D};
    const size_t narrow = (size_t)T * (size_t)s->D, wide = (size_t)T * (size_t)s->F;
    struct weight w[MAPS], b[MAPS];
    struct array dw[MAPS], db[MAPS];
    for (int i = 0; i < MAPS; i++) {
        w[i] = some_weight(o, outs[i], ins[i], s->type, 10 + (uint64_t)i, sizes);
        b[i] = some_weight(o, outs[i], 1, WEIGHT_F32, 20 + (uint64_t)i, sizes);
        dw[i] = some(o, (size_t)outs[i] * (size_t)ins[i], 30 + (uint64_t)i, sizes);
        db[i] = some(o, (size_t)outs[i], 40 + (uint64_t)i, sizes);
        w[i].grad = i == 3 ? NULL : dw[i].at;
        b[i].grad = db[i].at;
    }
    struct array dy = some(o, narrow, 1, sizes), z = some(o, wide, 2, sizes), attention = some(o, narrow, 3, sizes),
                 a = some(o, narrow, 4, sizes), dq = some(o, narrow, 5, sizes), dk = some(o, narrow, 6, sizes),
                 dz = some(o, wide, 7, sizes), g = some(o, wide, 8, sizes), dx[3], y = some(o, narrow, 9, sizes);
    for (int i = 0; i < 3; i++)
        dx[i] = some(o, i ? narrow : wide, 50, sizes);
    ops_gelu_linear(o, y.at, g.at, z.at, &w[0], &b[0], T, EPILOGUE_ADD);
    const struct linear_back_map first[] = {
        {.w = &w[0], .b = &b[0], .dx = dx[0].at, .dy = dy.at, .x = g.at, .x_gelu = z.at},
        {.w = &w[1], .dx = dx[1].at, .dy = dy.at, .x = attention.at}};
    const struct linear_back_map second[] = {
        {.w = &w[2], .b = &b[2], .dx = dx[2].at, .dy = dz.at, .x = a.at, .dy_gelu = z.at},
        {.w = &w[3], .b = &b[3], .dx = dx[2].at, .dy = dq.at, .x = a.at, .e = EPILOGUE_ADD},
        {.w = &w[4], .b = &b[4], .dx = dx[2].at, .dy = dk.at, .x = a.at, .e = EPILOGUE_ADD}};
    ops_linear_back_group(o, first, 2, T);
    ops_linear_back_group(o, second, 3, T);
    struct array results[RESULTS] = {dx[0], dx[1], dx[2], y};
    for (int i = 0; i < MAPS; i++) {
        results[4 + i] = dw[i];
        results[4 + MAPS + i] = db[i];
    }
    for (int i = 0; i < RESULTS; i++) {
        n[i] = results[i].n;
        out[i] = back(o, results[i]);
    }
    const struct array others[] = {dy, z, attention, a, dq, dk, dz, g};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        gone(o, others[i]);
    for (int i = 0; i < MAPS; i++) {
        give_back(o, &w[i]);
        give_back(o, &b[i]);
    }
}

/* What the factors of a result are rounded to: bf16 for gradients of weights, else as the weight's type says. */
static double unit_of(const struct maps_case *s, int result)
{
    if (s->compute == COMPUTE_FP32 || result >= 4 + MAPS) return 0;
    return result < 4 && s->type == WEIGHT_F16 ? 0x1p-12 : 0x1p-9;
}

static void maps_agree(const struct maps_case *s)
{
    float *want[RESULTS], *have[RESULTS], *size[RESULTS];
    size_t n[RESULTS];
    maps_back(cpu, s, false, want, n);
    maps_back(cpu, s, true, size, n);
    maps_back(gpu_of[s->compute], s, false, have, n);
    char what[96];
    snprintf(what, sizeof what, "maps, compute %d, type %d, T %d, D %d, F %d", (int)s->compute, (int)s->type, s->T,
             s->D, s->F);
    const int most = s->T > s->F ? s->T : s->F;
    for (int r = 0; r < RESULTS; r++) {
        for (size_t i = 0; i < n[r]; i++) {
            const double bound = 1.2 * (double)size[r][i] * (2 * (64 + sqrt(most)) * EPS + 2.1 * unit_of(s, r)) + EPS;
            must_be_near((double)have[r][i], (double)want[r][i], bound, what, r, (int)i);
        }
        free(want[r]);
        free(have[r]);
        free(size[r]);
    }
}

static void linear_maps_agree(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 8, 24}, {67, 72, 136}, {130, 24, 200}, {33, 41, 83}};
    static const enum compute_type computes[] = {COMPUTE_FP32, COMPUTE_BF16};
    for (size_t c = 0; c < COUNT_OF(computes); c++)
        for (int type = WEIGHT_F32; type <= WEIGHT_BF16; type++)
            for (size_t i = 0; i < COUNT_OF(shapes); i++) {
                const int T = shapes[i][0], D = shapes[i][1], F = shapes[i][2];
                if (computes[c] == COMPUTE_BF16 && (D % 8 || F % 8)) continue; /* no model has such widths */
                const struct maps_case s = {computes[c], (enum weight_type)type, T, D, F};
                maps_agree(&s);
            }
}

static void one_map_agrees_with_its_group(void **state)
{
    (void)state;
    enum { T = 40, O = 48, I = 72 };
    float *dy = numbers(T * O, 1), *x = numbers(T * I, 2), *w = numbers(O * I, 3), *out[2][3];
    for (int grouped = 0; grouped < 2; grouped++) {
        struct ops *o = gpu_of[COMPUTE_BF16];
        struct weight weight = bind(o, w, O, I, WEIGHT_BF16), bias = {0};
        const struct array DY = there(o, dy, T * O, 0), X = there(o, x, T * I, 0), DX = there(o, x, T * I, 0);
        const struct array DW = there(o, w, O * I, 0), DB = there(o, dy, O, 0);
        weight.grad = DW.at;
        bias.grad = DB.at;
        const struct linear_back_map m = {.w = &weight, .b = &bias, .dx = DX.at, .dy = DY.at, .x = X.at};
        if (grouped) {
            ops_linear_back_group(o, &m, 1, T);
        } else {
            o->train->linear_grad(o, DW.at, DB.at, DY.at, X.at, T, O, I, EPILOGUE_STORE);
            o->train->linear_back(o, DX.at, DY.at, &weight, T, EPILOGUE_STORE);
        }
        out[grouped][0] = back(o, DX);
        out[grouped][1] = back(o, DW);
        out[grouped][2] = back(o, DB);
        gone(o, DY);
        gone(o, X);
        o->fn->weight_free(o, &weight);
    }
    assert_memory_equal(out[0][0], out[1][0], sizeof(float) * T * I);
    assert_memory_equal(out[0][1], out[1][1], sizeof(float) * O * I);
    assert_memory_equal(out[0][2], out[1][2], sizeof(float) * O);
    for (int i = 0; i < 6; i++)
        free(out[i / 3][i % 3]);
    free(dy);
    free(x);
    free(w);
}

/* ---- Attention ---- */

enum view { CAUSAL, PREFIX, PACKED, VIEWS };
enum { BEFORE = 5, SEEN_ROWS = 200 }; /* rows of another sequence that lie before this one in the batch */

struct scene {
    int T, H, K;
    enum view view;
    struct batch batch;
    int32_t position[BEFORE + SEEN_ROWS], lo[BEFORE + SEEN_ROWS], hi[BEFORE + SEEN_ROWS], sequence[BEFORE + SEEN_ROWS];
    int32_t pages[2][SEEN_ROWS / KV_PAGE + 1];
    const int32_t *tables[2];
    float *q, *k, *v, *dy, *y, *lse; /* of all rows; y and lse as the CPU's forward pass has them */
};

static float *bf16_numbers(size_t n, uint64_t stream)
{
    float *x = numbers(n, stream);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0xffff0000u;
        memcpy(&x[i], &bits, sizeof bits);
    }
    return x;
}

static void scene_open(struct scene *s, int T, int H, int K, enum view view)
{
    *s = (struct scene){.T = T, .H = H, .K = K, .view = view};
    const int cut = T / 3, documents[] = {0, T / 5, T * 7 / 9};
    assert_true(T <= SEEN_ROWS);
    for (int t = 0; t < BEFORE + T; t++) {
        const int p = s->position[t] = t < BEFORE ? t : t - BEFORE;
        s->sequence[t] = t >= BEFORE;
        s->hi[t] = view == PREFIX && p < cut ? cut : p + 1;
        if (t >= BEFORE && view == PACKED) s->lo[t] = documents[p < documents[1] ? 0 : p < documents[2] ? 1 : 2];
        if (t < BEFORE) s->hi[t] = p + 1;
    }
    for (int i = 0; i < SEEN_ROWS / KV_PAGE + 1; i++)
        s->pages[1][i] = SEEN_ROWS / KV_PAGE + 1 - i; /* page 0 is the other sequence's */
    s->tables[0] = s->pages[0];
    s->tables[1] = s->pages[1];
    s->batch = (struct batch){.T = BEFORE + T,
                              .token = s->position,
                              .position = s->position,
                              .lo = s->lo,
                              .hi = s->hi,
                              .sequence = s->sequence,
                              .pages = s->tables};
    const size_t n = (size_t)(BEFORE + T) * (size_t)H * (size_t)K;
    s->q = bf16_numbers(n, 1);
    s->k = bf16_numbers(n, 2);
    s->v = bf16_numbers(n, 3);
    s->dy = bf16_numbers(n, 4);
}

static void scene_close(struct scene *s)
{
    float *const all[] = {s->q, s->k, s->v, s->dy, s->y, s->lse};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
}

static struct kv_pages pages_of(struct ops *o, const struct scene *s)
{
    enum { PAGES = SEEN_ROWS / KV_PAGE + 2 };
    const size_t bytes = PAGES * ops_kv_page_bytes(s->H, s->K, DTYPE_F32);
    const size_t n = (size_t)s->batch.T * (size_t)s->H * (size_t)s->K;
    struct kv_pages kv = {alloc(o, bytes), alloc(o, bytes), DTYPE_F32};
    void *nan = malloc(bytes);
    assert_non_null(nan);
    memset(nan, 0xff, bytes); /* what nobody stores */
    o->fn->write(o, kv.k, nan, bytes);
    o->fn->write(o, kv.v, nan, bytes);
    const struct array k = there(o, s->k, n, 0), v = there(o, s->v, n, 0);
    o->fn->kv_store(o, &kv, k.at, v.at, &s->batch, 0, s->batch.T, s->H, s->K);
    gone(o, k);
    gone(o, v);
    free(nan);
    return kv;
}

static void pages_gone(struct ops *o, const struct scene *s, struct kv_pages kv)
{
    const size_t bytes = (SEEN_ROWS / KV_PAGE + 2) * ops_kv_page_bytes(s->H, s->K, DTYPE_F32);
    o->fn->free(o, kv.k, bytes);
    o->fn->free(o, kv.v, bytes);
}

static void attend(struct ops *o, const struct scene *s, float **y, float **lse)
{
    const size_t heads = (size_t)s->batch.T * (size_t)s->H, n = heads * (size_t)s->K;
    const struct kv_pages kv = pages_of(o, s);
    const struct array q = there(o, s->q, n, 0), out = there(o, s->q, n, 0), sums = there(o, s->q, heads, 0);
    o->fn->attention(o, out.at, sums.at, q.at, &kv, &s->batch, 0, s->batch.T, s->H, s->K);
    *y = back(o, out);
    *lse = back(o, sums);
    gone(o, q);
    pages_gone(o, s, kv);
}

/* out: dq, dk, dv of the sequence's rows; owned */
static void attend_back(struct ops *o, const struct scene *s, float *out[3])
{
    const size_t row = (size_t)s->H * (size_t)s->K, n = (size_t)s->batch.T * row, at = BEFORE * row;
    const struct kv_pages kv = pages_of(o, s);
    const struct array q = there(o, s->q, n, 0), y = there(o, s->y, n, 0), dy = there(o, s->dy, n, 0),
                       lse = there(o, s->lse, (size_t)s->batch.T * (size_t)s->H, 0);
    struct array d[3];
    for (int i = 0; i < 3; i++)
        d[i] = there(o, s->q, n - at, 0);
    o->train->attention_back(o, d[0].at, d[1].at, d[2].at, dy.at + at, y.at + at, q.at + at,
                             lse.at + (size_t)BEFORE * (size_t)s->H, &kv, &s->batch, BEFORE, s->T, s->H, s->K);
    for (int i = 0; i < 3; i++)
        out[i] = back(o, d[i]);
    gone(o, q);
    gone(o, y);
    gone(o, dy);
    gone(o, lse);
    pages_gone(o, s, kv);
}

/* Of one pair of row and position of a head: the errors of p and of ds, and their sizes. round: of both, to bf16. */
struct pair {
    double p, p_off, ds, ds_off;
};

static struct pair pair_of(const struct scene *s, int t, int at, int h, double round)
{
    const size_t K = (size_t)s->K, row = ((size_t)(BEFORE + t) * (size_t)s->H + (size_t)h) * K;
    const size_t other = ((size_t)(BEFORE + at) * (size_t)s->H + (size_t)h) * K;
    const double scale = 1 / sqrt(s->K), lse = (double)s->lse[row / K];
    double score = 0, score_size = 0, d = 0, d_size = 0;
    for (size_t i = 0; i < K; i++) {
        const double qk = (double)s->q[row + i] * (double)s->k[other + i], dy = (double)s->dy[row + i];
        score += qk * scale;
        score_size += fabs(qk) * scale;
        d += dy * ((double)s->v[other + i] - (double)s->y[row + i]);
        d_size += fabs(dy) * (fabs((double)s->v[other + i]) + fabs((double)s->y[row + i]));
    }
    const double p = exp(score - lse), ds = p * fabs(d) * scale;
    const double p_off = EPS * ((8 + sqrt(s->K)) * score_size + 6 * fabs(lse) + 12),
                 d_off = EPS * (8 + sqrt(s->K)) * d_size;
    const double walk = (8 + sqrt(s->T)) * EPS;
    return (struct pair){p, p * (p_off + round + walk), ds,
                         scale * p * (p_off * fabs(d) + d_off) + ds * (round + walk + 8 * EPS)};
}

/* How far dq, dk and dv may be off; owned. */
static void back_bounds(const struct scene *s, double round, double *bound[3])
{
    const size_t H = (size_t)s->H, K = (size_t)s->K, n = (size_t)s->T * H * K, first = BEFORE * H * K;
    for (int i = 0; i < 3; i++) {
        bound[i] = calloc(n, sizeof *bound[i]);
        assert_non_null(bound[i]);
    }
    for (int t = 0; t < s->T; t++)
        for (int at = s->lo[BEFORE + t]; at < s->hi[BEFORE + t]; at++)
            for (int h = 0; h < s->H; h++) {
                const struct pair x = pair_of(s, t, at, h, round);
                const size_t row = ((size_t)t * H + (size_t)h) * K, other = ((size_t)at * H + (size_t)h) * K;
                for (size_t i = 0; i < K; i++) {
                    bound[0][row + i] += x.ds_off * fabs((double)s->k[first + other + i]);
                    bound[1][other + i] += x.ds_off * fabs((double)s->q[first + row + i]);
                    bound[2][other + i] += x.p_off * fabs((double)s->dy[first + row + i]);
                }
            }
}

static void attention_back_agrees_with(const struct scene *s, enum compute_type compute)
{
    float *want[3], *have[3];
    double *bound[3];
    back_bounds(s, compute == COMPUTE_BF16 ? 0x1p-8 : 0, bound);
    attend_back(cpu, s, want);
    attend_back(gpu_of[compute], s, have);
    char what[96];
    const int columns = s->H * s->K;
    for (int i = 0; i < 3; i++) {
        snprintf(what, sizeof what, "d%c, compute %d, T %d, K %d, view %d", "qkv"[i], (int)compute, s -> T, s -> K,
                 (int)s -> view);
        for (int k = 0; k < s->T * columns; k++) /* the CPU is off as well */
            must_be_near((double)have[i][k], (double)want[i][k], 2 * bound[i][k] + 1e-30, what, k / columns,
                         k % columns);
        free(want[i]);
        free(have[i]);
        free(bound[i]);
    }
}

/* Forward, with the K/V pages of fp32 that training has; the rounding is that of test_cuda.c. */
static void attention_agrees_with(const struct scene *s, enum compute_type compute)
{
    const double u = compute == COMPUTE_FP32 ? 0 : 0x1p-11, score = sqrt(s->K) * (u + (8 + sqrt(s->K)) * EPS);
    const int columns = s->H * s->K;
    float *y, *lse;
    attend(gpu_of[compute], s, &y, &lse);
    for (int i = 0; i < s->batch.T * columns; i++)
        must_be_near((double)y[i], (double)s->y[i], 2 * score + u + 64 * EPS, "attention", i / columns, i % columns);
    for (int i = 0; i < s->batch.T * s->H; i++)
        must_be_near((double)lse[i], (double)s->lse[i], score + 64 * EPS, "attention's lse", i / s->H, i % s->H);
    free(y);
    free(lse);
}

static void attention_agrees(void **state)
{
    (void)state;
    static const int heads[] = {20, 64, 128, 256}, lengths[] = {1, 33, 130, 200};
    for (size_t k = 0; k < COUNT_OF(heads); k++)
        for (size_t l = 0; l < COUNT_OF(lengths); l++) {
            struct scene s;
            scene_open(&s, lengths[l], 2, heads[k], (enum view)((k + l) % VIEWS));
            attend(cpu, &s, &s.y, &s.lse);
            attention_agrees_with(&s, COMPUTE_FP32);
            attention_agrees_with(&s, COMPUTE_BF16);
            attention_back_agrees_with(&s, COMPUTE_FP32);
            attention_back_agrees_with(&s, COMPUTE_BF16);
            scene_close(&s);
        }
}

/* ---- Laws ---- */

static void gradients_are_the_same_every_time(void **state)
{
    (void)state;
    const struct maps_case s = {COMPUTE_BF16, WEIGHT_BF16, 300, 72, 136};
    struct scene seen;
    scene_open(&seen, 200, 2, 128, PREFIX);
    attend(cpu, &seen, &seen.y, &seen.lse);
    float *first[RESULTS + 3], *again[RESULTS + 3];
    size_t n[RESULTS + 3];
    for (int i = 0; i < 3; i++)
        n[RESULTS + i] = 200 * 2 * 128;
    maps_back(gpu_of[COMPUTE_BF16], &s, false, first, n);
    attend_back(gpu_of[COMPUTE_BF16], &seen, first + RESULTS);
    maps_back(gpu_of[COMPUTE_BF16], &s, false, again, n);
    attend_back(gpu_of[COMPUTE_BF16], &seen, again + RESULTS);
    for (int i = 0; i < RESULTS + 3; i++) {
        assert_memory_equal(first[i], again[i], n[i] * sizeof(float));
        free(first[i]);
        free(again[i]);
    }
    scene_close(&seen);
}

int main(void)
{
    enum { SKIPPED = 77 };
    static const enum compute_type computes[] = {COMPUTE_FP32, COMPUTE_BF16};
    for (size_t i = 0; i < COUNT_OF(computes); i++)
        if (ops_cuda_create(&gpu_of[computes[i]], computes[i], 2) != OK) {
            print_message("%s\n", status_message());
            return SKIPPED;
        }
    const struct ops_cpu_limits limits = {.head = 256, .inputs = 4096, .sequence = SEEN_ROWS};
    if (ops_cpu_create(&cpu, CPU_REF, COMPUTE_FP32, 2, limits) != OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_agree),
        cmocka_unit_test(adamw_agrees),
        cmocka_unit_test(sums_of_squares_agree),
        cmocka_unit_test(matrices_are_written_alike),
        cmocka_unit_test(moved_rows_agree),
        cmocka_unit_test(norms_agree),
        cmocka_unit_test(losses_agree),
        cmocka_unit_test(linear_maps_agree),
        cmocka_unit_test(one_map_agrees_with_its_group),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(gradients_are_the_same_every_time),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(computes); i++)
        gpu_of[computes[i]]->fn->close(gpu_of[computes[i]]);
    cpu->fn->close(cpu);
    return failed;
}

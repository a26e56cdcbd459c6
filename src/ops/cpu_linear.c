// SPDX-License-Identifier: Apache-2.0
/* Linear maps: the output is cut into tiles of CPU_TILE_ROWS x CPU_TILE_OUTPUTS, one a task. Tasks that use the same
 * weights follow each other, so that while the rows of a prompt pass by, a tile's weights stay in the cache; with one
 * row (decoding) the tasks simply stream the matrix once. */
#include <string.h>

#include "ops/cpu.h"

struct linear_job {
    struct ops_cpu *c;
    k_matmul_fn *matmul;
    float *y;
    const float *x, *bias; /* bias may be NULL */
    const struct weight *w;
    int T, row_tiles;
    enum epilogue epilogue;
};

static int least(int a, int b)
{
    return a < b ? a : b;
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

static void linear_task(void *user, int task, int thread)
{
    const struct linear_job *j = user;
    const int t = task % j->row_tiles * CPU_TILE_ROWS, o = task / j->row_tiles * CPU_TILE_OUTPUTS;
    const int rows = least(CPU_TILE_ROWS, j->T - t), outputs = least(CPU_TILE_OUTPUTS, j->w->O - o);
    const size_t I = (size_t)j->w->I, O = (size_t)j->w->O;
    const char *w = (const char *)j->w->data + (size_t)o * I * dtype_bytes(j->w->dtype);
    float *tile = ops_cpu_scratch(j->c, thread);

    j->matmul(tile, CPU_TILE_OUTPUTS, j->x + (size_t)t * I, I, w, rows, outputs, j->w->I);
    for (int r = 0; r < rows; r++)
        finish_row(j, j->y + (size_t)(t + r) * O + o, tile + r * CPU_TILE_OUTPUTS, j->bias ? j->bias + o : NULL,
                   outputs);
}

void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e)
{
    struct ops_cpu *c = ops_cpu(o);
    k_matmul_fn *matmul = w->dtype == DTYPE_F16    ? c->kernels.matmul_f16
                          : w->dtype == DTYPE_BF16 ? c->kernels.matmul_bf16
                                                   : c->kernels.matmul_f32;
    const int row_tiles = (T + CPU_TILE_ROWS - 1) / CPU_TILE_ROWS;
    const int output_tiles = (w->O + CPU_TILE_OUTPUTS - 1) / CPU_TILE_OUTPUTS;
    struct linear_job j = {c, matmul, y, x, b ? b->data : NULL, w, T, row_tiles, e};
    pool_run(c->pool, row_tiles * output_tiles, linear_task, &j);
}

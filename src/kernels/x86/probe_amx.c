// SPDX-License-Identifier: Apache-2.0
/* The probes for AMX: four sums of 16 x 16, two operands of each side, as the inner loop of a matrix product has them.
 * The process must have permission to use tile data; every call leaves the tiles released. */
#include "kernels/probes.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__)

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"

enum { ROWS = 16, ROW_BYTES = 64, SUMS = 4 };

/* All eight tiles full size. Constant, not built on the stack: gcc 12 believes that _tile_loadconfig() reads only the
 * first 8 of these 64 bytes and may drop stores to the rest. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} ALIGNED(64) config = {
    .palette = 1,
    .row_bytes = {ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES},
    .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS},
};

/* Tiles 0..3 are the sums, 4 and 5 one side, 6 and 7 the other. */
static void begin(int byte)
{
    uint8_t operand[ROWS * ROW_BYTES];
    memset(operand, byte, sizeof operand);
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, operand, ROW_BYTES);
    _tile_loadd(5, operand, ROW_BYTES);
    _tile_loadd(6, operand, ROW_BYTES);
    _tile_loadd(7, operand, ROW_BYTES);
}

static float end(void)
{
    int32_t sum[ROWS * ROW_BYTES / sizeof(int32_t)];
    _tile_stored(0, sum, ROW_BYTES);
    _tile_release();
    return (float)sum[0];
}

static float k_probe_bf16_amx(int64_t rounds)
{
    begin(0x3d); /* 0x3d3d: 0.046 */
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return end();
}

static float k_probe_i8_amx(int64_t rounds)
{
    begin(0x3d);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    return end();
}

void probes_init_amx(struct probes *p)
{
    probes_add_peak(p, PROBE_BF16, "tdpbf16ps", k_probe_bf16_amx, 2.0 * 16 * 16 * 32 * SUMS);
    probes_add_peak(p, PROBE_I8, "tdpbusd", k_probe_i8_amx, 2.0 * 16 * 16 * 64 * SUMS);
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void probes_init_amx(struct probes *p)
{
    (void)p;
}

#endif

// SPDX-License-Identifier: Apache-2.0
/* The backward pass's products over sixteen lanes: included behind linear_avx512.h, whose tiles they share.
 *
 * Factors that lie across are packed as they lie, so that nothing is turned, and there is no streaming to agree with: a
 * sum is one chain over a block. x packed is [tile][step][rows] and w [strip of WIDTH][step][WIDTH], a step being
 * LANE_INPUTS inputs. */
#ifndef GPTJT_KERNELS_X86_BACK_PRODUCTS_AVX512_H
#define GPTJT_KERNELS_X86_BACK_PRODUCTS_AVX512_H

#if defined(__AVX512F__) && defined(LANE_INPUTS)

/* A strip's block, 16 KB, stays in L1 while all rows pass. */
enum { BACK_STEPS = 128, BACK_DEPTH = BACK_STEPS * LANE_INPUTS };
enum { BACK_PANEL_BYTES = BACK_STEPS * PANEL * sizeof(int32_t) };

/* A step of 16 rows or outputs. */
typedef __m512i unit_fn(const __m512 inputs[LANE_INPUTS]);

/* The step at p of 16 rows or outputs, n of which exist, whose inputs lie `apart` bytes apart; there are `inputs` of
 * them. */
INLINE __m512i load_across(wide_fn *wide, unit_fn *unit, const char *p, size_t apart, int n, int inputs)
{
    __m512 v[LANE_INPUTS];
    UNROLL for (int i = 0; i < LANE_INPUTS; i++) v[i] = i < inputs ? wide(p + (size_t)i * apart, n)
                                                                   : _mm512_setzero_ps();
    return unit(v);
}

/* A step's inputs of all rows or outputs are `bytes` from p on. */
INLINE void ask_across(const char *p, size_t apart, size_t bytes)
{
    UNROLL for (int i = 0; i < LANE_INPUTS; i++) ask_input(p + (size_t)i * apart, apart, bytes);
}

static size_t back_steps(int n)
{
    return ((size_t)n + LANE_INPUTS - 1) / LANE_INPUTS;
}

static size_t back_packed_x_bytes(int T, int n)
{
    return (size_t)T * back_steps(n) * sizeof(int32_t);
}

INLINE void back_pack_x(load_fn *load, int32_t *to, const float *x, size_t stride, int T, int n)
{
    const size_t steps = back_steps(n);
    for (int t = 0, rows; t < T; t += rows, to += (size_t)rows * steps) {
        rows = tile_height(T - t, TILE);
        for (int i = 0; i < n; i += STEP) {
            __m512i v[LANES];
            turn_rows(load, v, x + (size_t)t * stride + i, stride, rows, n - i);
            int32_t *at = to + (size_t)(i / LANE_INPUTS) * (size_t)rows;
            const int left = (int)steps - i / LANE_INPUTS;
            UNROLL for (int u = 0; u < LANES; u++) if (u < left)
                _mm512_mask_storeu_epi32(at + u * rows, first(rows), v[u]);
        }
    }
}

INLINE void back_pack_x_across(unit_fn *unit, int32_t *to, const float *x, size_t stride, int T, int n)
{
    const size_t steps = back_steps(n), apart = stride * sizeof *x;
    for (int i = 0; i < n; i += LANE_INPUTS, x += LANE_INPUTS * stride) {
        ask_across((const char *)x, apart, (size_t)T * sizeof *x);
        for (int t = 0, rows; t < T; t += rows) {
            rows = tile_height(T - t, TILE);
            int32_t *at = to + (size_t)t * steps + (size_t)(i / LANE_INPUTS) * (size_t)rows;
            _mm512_mask_storeu_epi32(at, first(rows),
                                     load_across(wide_f32, unit, (const char *)(x + t), apart, rows, n - i));
        }
    }
}

INLINE void back_pack_w(wide_fn *wide, size_t bytes, unit_fn *unit, store_fn *store, int32_t *to, const char *w,
                        size_t stride, int O, int n)
{
    const size_t steps = back_steps(n), apart = stride * bytes;
    for (int i = 0; i < n; i += LANE_INPUTS, w += LANE_INPUTS * apart, to += WIDTH) {
        ask_across(w, apart, (size_t)O * bytes);
        int o = 0;
        for (; o < O; o += LANES)
            store(output_at(to, steps, o), load_across(wide, unit, w + (size_t)o * bytes, apart, O - o, n - i));
        for (; o < PANEL; o += LANES)
            store(output_at(to, steps, o), _mm512_setzero_si512());
    }
}

static void back_multiply(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    const size_t steps = back_steps(n);
    const int32_t *strip = w;
    struct asking a = ask_in_strips(next, PANEL / WIDTH, T, steps);
    for (int s = 0; s < PANEL; s += WIDTH, strip += steps * WIDTH)
        all_tiles(z + s, x, strip, T, steps, a.lines ? &a : NULL);
}

/* ---- The table ---- */

#define BACK_X_FORMS(rows_name, across_name, load, unit)                                                               \
    static void rows_name(void *to, const float *x, size_t stride, int T, int n)                                       \
    {                                                                                                                  \
        back_pack_x(load, to, x, stride, T, n);                                                                        \
    }                                                                                                                  \
    static void across_name(void *to, const float *x, size_t stride, int T, int n)                                     \
    {                                                                                                                  \
        back_pack_x_across(unit, to, x, stride, T, n);                                                                 \
    }

#define BACK_PACK_W(name, wide, bytes, unit)                                                                           \
    static void name(void *to, const void *w, size_t stride, int O, int n, bool far)                                   \
    {                                                                                                                  \
        if (!far) {                                                                                                    \
            back_pack_w(wide, bytes, unit, store_vector, to, w, stride, O, n);                                         \
        } else {                                                                                                       \
            back_pack_w(wide, bytes, unit, stream_vector, to, w, stride, O, n);                                        \
            _mm_sfence();                                                                                              \
        }                                                                                                              \
    }

#endif
#endif

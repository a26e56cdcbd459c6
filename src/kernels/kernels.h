// SPDX-License-Identifier: Apache-2.0
/* The inner loops: raw pointers in, raw pointers out. Nothing here allocates, locks, starts threads or reads files.
 *
 * One table of function pointers. kernels_init() fills it with the readable `ref` versions and overlays what the CPU
 * has, so a program may hold several tables at once and tests compare them. Whatever the table, every output element
 * is reduced in an order that depends on the length of its own sum only, never on T, O, threads or tile shapes: a row
 * computed alone and a row computed among others have the same bits.
 *
 * Letters: B batch, T rows (tokens), D width, H heads, K head size, R rotary dims, O outputs, I inputs, n a count.
 * Arrays are fp32 unless said otherwise, row-major; weights are `const void *` and need no alignment. */
#ifndef GPTJT_KERNELS_KERNELS_H
#define GPTJT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Linear maps: y[T][O] = x[T][I] w^T ----
 *
 * A matrix of weights is stored in one of these ways. The first three are [O][I] row-major without gaps; the others
 * are in kernels/quant.h. */
enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16, WEIGHT_Q8, WEIGHT_Q4, WEIGHT_TYPES };

/* What a product is made of. Whatever the table, sums are in fp32 or better.
 *   COMPUTE_FP32  x and w as they are, widened.
 *   COMPUTE_BF16  x and w rounded to bf16 (nearest even) first.
 *   COMPUTE_INT8  q8 and q4 only: x quantised to int8 (quant.h), the groups of w summed in integers. By fused
 *                 multiply-adds in ascending order, what groups of w come to makes one number for each group of x,
 *                 a = a + scale_w * sum from zero, and those make y = y + scale_x * a. */
enum compute_type { COMPUTE_FP32, COMPUTE_BF16, COMPUTE_INT8, COMPUTE_TYPES };

/* A product takes the rows of x in a form of its own, which only the functions of the same struct understand. */

/* Few rows. prepare: all I inputs of T rows; row t of x starts at x + t * x_stride. stream: reads w once, as it is
 * stored, in up to stream_bands bands side by side, where memory answers several distant readers sooner than one:
 * y[t][b * O + o] for outputs o < O of each band b, which begins at w + b * band_bytes; row t of y starts at
 * y + t * y_stride. What lies behind is asked for meanwhile, as if it came next. */
enum { STREAM_BANDS = 4 };
typedef size_t k_prepared_bytes_fn(int T, int I);
typedef void k_prepare_fn(void *to, const float *x, size_t x_stride, int T, int I);
typedef void k_stream_fn(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                         int O, int I);

/* Many rows: w is packed a panel of outputs and a block of inputs at a time and used for all rows while it is in the
 * cache. A block is inputs [at, at + n): at is a multiple of depth, and n is depth except at the end.
 * pack_w: w is the panel's first output; O <= panel of them exist, of the others z is anything. It may borrow w,
 * which stays until the panel has been multiplied.
 * multiply: z[T][panel] += the block's share. What is wanted next may be brought nearer meanwhile; next may be NULL. */
struct ahead {
    const char *at;
    size_t apart, bytes; /* from piece to piece; of a piece */
    int pieces;
    const struct ahead *then; /* after it, or NULL */
};
typedef size_t k_packed_bytes_fn(int T, int n);
typedef void k_pack_x_fn(void *to, const float *x, size_t x_stride, int T, int n);
typedef void k_pack_w_fn(void *to, const void *w, int O, int I, int at, int n);
typedef void k_multiply_fn(float *z, const void *x, const void *w, int T, int n, const struct ahead *next);

/* One way to compute with weights of one type. Streaming and multiplying by panels give the same bits for any T and O.
 * Where outputs are cut in pieces, all pieces but the last have a multiple of 16 outputs. */
struct linear_kernels {
    k_prepared_bytes_fn *prepared_bytes;
    k_prepare_fn *prepare;
    k_stream_fn *stream; /* NULL: panels only                                              */
    int stream_bands;    /* in 1..STREAM_BANDS                                             */
    int stream_rows;     /* as long as T is not larger, streaming is the faster of the two */
    bool flushes;        /* factors and sums below 2^-126 count as zero                    */

    int panel, depth;   /* outputs and inputs of a packed block; depth is a multiple of 64 */
    size_t panel_bytes; /* of a packed block of w */
    k_packed_bytes_fn *packed_x_bytes;
    k_pack_x_fn *pack_x;
    k_pack_w_fn *pack_w;
    k_multiply_fn *multiply; /* NULL: streaming only */
};

/* Quantises O <= 16 rows of I floats, w [O][I] with rows w_stride apart, into one strip of q8 or q4 (quant.h). The bits
 * are the same in every table. */
typedef void k_quant_strip_fn(void *strip, enum weight_type t, const float *w, size_t w_stride, int O, int I);

/* ---- The rest ---- */

/* y[n] = widened w[n], exact. */
typedef void k_widen_fn(float *y, const void *w, size_t n);

/* y[n] = x narrowed, to the nearest, ties to even; overflows to infinity, NaN stays NaN (base/half.h). */
typedef void k_narrow_fn(uint16_t *y, const float *x, size_t n);

/* y[D] = (x - mean(x)) / sqrt(var(x) + eps) * w + b, biased variance, two passes. y may be x. D >= 1. */
typedef void k_layer_norm_fn(float *y, const float *x, const float *w, const float *b, int D, float eps);

/* y[i] = 0.5 y (1 + tanh(sqrt(2/pi) (y + 0.044715 y^3))), "gelu_new", in place. */
typedef void k_gelu_fn(float *y, size_t n);

/* Rotates the first R of K components of each of H heads, in place: pair (2j, 2j+1) by the angle whose sine and cosine
 * are sin[j] and cos[j], j < R/2 (Su et al. 2021, interleaved as in GPT-J). x [H][K]. */
typedef void k_rotary_fn(float *x, const float *sin, const float *cos, int H, int K, int R);

/* Where the largest of x[n] is, the first of equals; n >= 1. A NaN is larger than nothing, and nothing than it. */
typedef size_t k_argmax_fn(const float *x, size_t n);

/* log sum exp(x[i]), n >= 1: exp in fp32 of what each is below the largest, summed in double. NaN if one is NaN or
 * +inf, or all are -inf. */
typedef double k_log_sum_exp_fn(const float *x, size_t n);

/* The first i with x[i] >= least; n if there is none. */
typedef size_t k_first_at_least_fn(const float *x, size_t n, float least);

/* The first i whose x[i] is NaN or infinite; n if there is none. */
typedef size_t k_first_not_finite_fn(const float *x, size_t n);

/* ---- Attention ----
 *
 * Keys and values lie in pages of KV_PAGE positions. A page of one head holds K/V so that a vector of either can be
 * loaded as it lies:
 *
 *     keys    [K][KV_PAGE]                           component after component, positions in the lanes
 *     values  [columns][KV_PAGE][KV_COLUMN]          columns of components, components in the lanes; the last column
 *                                                    is filled up with anything
 *
 * A row goes through the pages that it sees one after the other, in ascending order ("online softmax", Milakov and
 * Gimelshein 2018): with m the largest score so far, it carries the sum of exp(score - m) and the values' sum weighted
 * by exp(score - m), and rescales both when a page brings a larger m. */
enum { KV_PAGE = 32, KV_COLUMN = 16 };

/* Components of a head with the last column filled up, and elements of one head's page, of keys or of values. */
static inline size_t kernels_padded_head(int K)
{
    return ((size_t)K + KV_COLUMN - 1) / KV_COLUMN * KV_COLUMN;
}

static inline size_t kernels_head_page(int K)
{
    return kernels_padded_head(K) * KV_PAGE;
}

/* T rows of one head on their way. Before its first page a row has y 0, sum 0 and max -INFINITY; after its last, y /
 * sum is its result and max + log(sum) the logarithm of the softmax's denominator, which a backward pass needs. */
struct attention_rows {
    int T, K;
    float scale;            /* of the scores */
    size_t stride;          /* from row to row of q and y, >= kernels_padded_head(K) */
    const float *q;         /* [T][stride] */
    const int32_t *lo, *hi; /* [T] row t sees the positions lo[t] <= s < hi[t] */
    float *y;               /* [T][stride] sum of exp(score - max) * value, with the columns' filling */
    float *max, *sum;       /* [T] largest score; sum of exp(score - max) */
    float *score, *keep;    /* [T][KV_PAGE], [T] scratch */
    const void *next;       /* keys of the next page, to be brought nearer meanwhile; NULL if unknown */
};

/* Takes the rows through the page of positions at .. at + KV_PAGE; a row that sees none of them stays as it is. Nothing
 * that a row does not see influences it. keys and values are of the entry's dtype, widened exactly. */
typedef void k_attention_fn(const struct attention_rows *a, const void *keys, const void *values, int at);

/* ---- Backward ----
 *
 * dy is the gradient of the loss with respect to y, and so on. What adds to its output says +=: attention so that
 * cutting its rows into calls changes no bit, the others a sum in double, which is rounded once a call. */

/* dx[D] += the gradient of layer norm's input: with x^ = (x - mean) / sigma and g = dy * w,
 * (g - mean(g) - x^ mean(g x^)) / sigma. stats: mean and 1 / sigma of the row, for the sums over rows. */
typedef void k_layer_norm_back_fn(float *dx, float stats[2], const float *dy, const float *x, const float *w, int D,
                                  float eps);

/* dw[n] += sum over t of dy[t][n] x^[t][n], db[n] += sum over t of dy[t][n], t ascending; rows are stride apart, stats
 * [T][2]. */
typedef void k_layer_norm_sums_fn(float *dw, float *db, const float *dy, const float *x, size_t stride,
                                  const float *stats, int T, int n);

/* sum[n] += sum over t of x[t][n], t ascending; rows are stride apart. */
typedef void k_sum_rows_fn(float *sum, const float *x, size_t stride, int T, int n);

/* dy[n] = dy gelu'(z), in place. From infinity the slope is 1, or 0. */
typedef void k_gelu_back_fn(float *dy, const float *z, size_t n);

/* Cross-entropy of one row of logits z[n], which becomes its gradient (softmax(z) - onehot(target)) * scale; returns
 * log sum exp(z) - z[target]. All is NaN if one z is NaN or +inf, or all are -inf. */
typedef double k_cross_entropy_fn(float *z, size_t n, size_t target, float scale);

/* to[c][r] = from[r][c] for r < rows, c < columns; strides are in elements of 4 or of 2 bytes. from needs no alignment.
 */
typedef void k_transpose_fn(void *to, size_t to_stride, const void *from, size_t from_stride, int rows, int columns);

/* T rows of one head on their way back through the pages that they saw (Dao et al. 2022, with the softmax's denominator
 * kept from the forward pass): per page, p = exp(scale q.k - lse), ds = p (dy.v - delta) scale, then
 * dq += ds k, dk += ds^T q, dv += p^T dy. */
enum { ATTENTION_BACK_ROWS = 96 }; /* of a call at most: with 64 components 100 KB, in the L2 cache */
struct attention_back_rows {
    int T, K;
    float scale;
    size_t stride;            /* from row to row of q, dy and dq, >= kernels_padded_head(K) */
    const float *q, *dy;      /* [T][stride] */
    const int32_t *lo, *hi;   /* [T] as in attention_rows */
    const float *lse, *delta; /* [T] log of the softmax's denominator; dy[t] . y[t] */
    float *dq;                /* [T][stride] += */
    float *p, *ds;            /* [T][KV_PAGE] scratch */
};

/* One page of positions at .. at + KV_PAGE. In bf16 a call takes its rows two by two, so that only cuts behind an even
 * number of them change no bit, and all numbers of rows that see any of the page are finite. keys and dy's partner
 * values are wanted both ways: *_down has components one after the other [K][KV_PAGE], *_across as kernels.h lays out
 * values [columns][KV_PAGE][KV_COLUMN]. dk and dv are laid out as values are. What a row does not see does not
 * influence it, nor does the row add anything there. What fills columns up may be anything in inputs; in dq, dk and dv
 * it stays as it is if that is 0, and all numbers are finite. */
struct attention_back_page {
    const float *keys_down, *keys_across, *values_down;
    float *dk, *dv; /* += */
    int at;
};
typedef void k_attention_back_fn(const struct attention_back_rows *a, const struct attention_back_page *page);

/* Products of the backward pass, z[T][panel] += x w^T for a block of n <= depth inputs, with a w that lies across:
 * output o of input i is w[i * stride + o] (o < O <= panel, the rest is packed as zeros). x is rows, or lies across as
 * well: row t of input i is x[i * stride + t]. A sum is one chain over the block's inputs in ascending order. far: what
 * is packed will come from memory, and is written past the caches; `to` is aligned to 64 bytes then. */
enum { WEIGHT_FLOATS = WEIGHT_BF16 + 1 };
typedef void k_pack_w_across_fn(void *to, const void *w, size_t stride, int O, int n, bool far);
struct back_kernels {
    int panel, depth;
    size_t panel_bytes; /* of a packed block of w */
    k_packed_bytes_fn *packed_x_bytes;
    k_pack_x_fn *pack_x, *pack_x_across;
    k_pack_w_across_fn *pack_w_across[WEIGHT_FLOATS]; /* by w's type */
    k_multiply_fn *multiply; /* NULL: there are none, and factors are turned for those of struct linear_kernels */
};

/* ---- Optimizer ---- */

/* x[n] rounded to fp16, or bf16, and back, to nearest even; overflows to infinity. */
typedef void k_round_fn(float *x, size_t n);

/* x[n] = 0, past the caches: for more than they hold. */
typedef void k_zero_fn(float *x, size_t n);

/* Sum of x[i]^2 in double. */
typedef double k_sum_squares_fn(const float *x, size_t n);

/* AdamW (Loshchilov and Hutter 2019), with g = scale * grad:
 *     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  p = p - lr (m / c1 / (sqrt(v / c2) + eps) + decay p)
 * where c1 = 1 - b1^t and c2 = 1 - b2^t of step t = 1, 2, ... */
struct adamw_step {
    double lr, beta1, beta2, eps, decay, correction1, correction2, scale;
};
typedef void k_adamw_fn(float *p, float *m, float *v, const float *grad, size_t n, const struct adamw_step *s);

struct kernels {
    const char *name;                                          /* of the most capable overlay in use: "ref" ... "amx" */
    struct linear_kernels linear[COMPUTE_TYPES][WEIGHT_TYPES]; /* all NULL where there is no such product */
    struct back_kernels back[COMPUTE_TYPES];
    k_quant_strip_fn *quant_strip;
    k_widen_fn *widen_f16, *widen_bf16;
    k_narrow_fn *narrow_f16, *narrow_bf16;
    k_layer_norm_fn *layer_norm;
    k_gelu_fn *gelu;
    k_rotary_fn *rotary;
    k_attention_fn *attention_f32, *attention_f16;           /* by the dtype of keys and values */
    k_attention_fn *attention_f32_bf16, *attention_f16_bf16; /* factors rounded to bf16; NULL: no such instruction */
    k_argmax_fn *argmax;
    k_log_sum_exp_fn *log_sum_exp;
    k_first_at_least_fn *first_at_least;
    k_first_not_finite_fn *first_not_finite;

    k_layer_norm_back_fn *layer_norm_back;
    k_layer_norm_sums_fn *layer_norm_sums;
    k_sum_rows_fn *sum_rows;
    k_gelu_back_fn *gelu_back;
    k_cross_entropy_fn *cross_entropy;
    k_transpose_fn *transpose_32, *transpose_16;
    k_attention_back_fn *attention_back, *attention_back_bf16; /* the second as above */
    k_round_fn *round_f16, *round_bf16;
    k_zero_fn *zero;
    k_sum_squares_fn *sum_squares;
    k_adamw_fn *adamw;
};

/* Levels are cumulative: each includes the ones before it. What an instruction set is called here, x86/cpu.h says.
 *   CPU_AVX512      also has int8 products by VNNI where the CPU has that
 *   CPU_AVX512BF16  bf16 products by its instruction; VNNI
 *   CPU_AMX         bf16 and int8 products by tiles */
enum cpu_level { CPU_REF, CPU_AVX2, CPU_AVX512, CPU_AVX512BF16, CPU_AMX, CPU_LEVELS };

const char *kernels_level_name(enum cpu_level level);

/* The best level this CPU and operating system offer. */
enum cpu_level kernels_best_level(void);

/* Fills k up to level, which must not exceed kernels_best_level(). */
void kernels_init(struct kernels *k, enum cpu_level level);

/* Implementation: one function a file, each filling what it has. */
void kernels_init_ref(struct kernels *k);
void kernels_init_ref_linear(struct kernels *k);
void kernels_init_attention_ref(struct kernels *k);
void kernels_init_back_ref(struct kernels *k);
void kernels_init_attention_avx2(struct kernels *k);
void kernels_init_attention_avx512(struct kernels *k);
void kernels_init_attention_avx512bf16(struct kernels *k);
void kernels_init_attention_back_avx2(struct kernels *k);
void kernels_init_attention_back_avx512(struct kernels *k);
void kernels_init_back_avx2(struct kernels *k);
void kernels_init_back_avx512(struct kernels *k);
void kernels_init_transpose_avx2(struct kernels *k);
void kernels_init_rows_avx2(struct kernels *k);
void kernels_init_rows_avx512(struct kernels *k);
void kernels_init_avx2_linear(struct kernels *k);
void kernels_init_avx2_back_products(struct kernels *k);
void kernels_init_avx2_int8(struct kernels *k);
void kernels_init_avx2_quant(struct kernels *k);
void kernels_init_avx512_linear(struct kernels *k);
void kernels_init_vnni_int8(struct kernels *k);
void kernels_init_avx512bf16_linear(struct kernels *k);
void kernels_init_amx_linear(struct kernels *k);
void kernels_init_amx_int8(struct kernels *k);

#endif

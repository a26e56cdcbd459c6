// SPDX-License-Identifier: Apache-2.0
#include "data/ul2.h"

#include <math.h>
#include <string.h>

const char *const ul2_mode_text[UL2_MODES] = {"[S2S]", "[NLU]", "[NLG]"};

static const struct ul2_denoiser regular = {.rate = 0.15, .mean_span = 3},
                                 extreme_long = {.rate = 0.15, .mean_span = 32},
                                 extreme_many = {.rate = 0.5, .mean_span = 3};

enum ul2_mode ul2_draw_mode(struct draws *d, struct ul2_denoiser *denoiser)
{
    const double u = draws_uniform(d);
    *denoiser = u < 0.75 ? regular : u < 0.875 ? extreme_long : extreme_many;
    return u < 0.5 ? UL2_S : u < 0.75 ? UL2_R : UL2_X;
}

static int clamp(double x, int min, int max)
{
    return x < min ? min : x > max ? max : (int)x;
}

struct ul2_count ul2_count(int n, const struct ul2_denoiser *denoiser, int max_spans)
{
    struct ul2_count c;
    c.corrupted = clamp(round(n * denoiser->rate), 1, n - 1);
    const int most = c.corrupted < max_spans ? c.corrupted : max_spans;
    const int gaps = n - c.corrupted + 1; /* spans do not touch: one a gap between kept tokens */
    c.spans = clamp(round(c.corrupted / denoiser->mean_span), 1, most < gaps ? most : gaps);
    return c;
}

/* Neither the tokens taken nor the spans wanted fall as the text gets longer. */
static int fits(int n, int room, const struct ul2_denoiser *denoiser, int max_spans)
{
    const struct ul2_count c = ul2_count(n, denoiser, n);
    return c.spans <= max_spans && n + 2 * c.spans + 1 <= room;
}

int ul2_fit(int room, const struct ul2_denoiser *denoiser, int max_spans)
{
    int low = 1, high = room; /* low fits, or is less than any text; high does not */
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (fits(middle, room, denoiser, max_spans))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* n_cuts different places of 1 .. n - 1, ascending, each choice as likely as any other (Knuth, TAOCP 2, 3.4.2,
 * algorithm S). */
static void draw_cuts(int *cut, int n_cuts, int n, struct draws *d)
{
    int have = 0;
    for (int place = 1; have < n_cuts; place++)
        if (draws_below(d, (uint64_t)(n - place)) < (uint64_t)(n_cuts - have)) cut[have++] = place;
}

/* The corrupted tokens are cut into spans, and the spans are put between kept tokens, before the first or behind the
 * last: different places, so that they do not touch. */
void ul2_draw_spans(int *begin, int *len, int n, struct ul2_count count, struct draws *d)
{
    const int k = count.spans, kept = n - count.corrupted;
    draw_cuts(len, k - 1, count.corrupted, d);
    len[k - 1] = count.corrupted;
    for (int i = k - 1; i > 0; i--)
        len[i] -= len[i - 1];
    draw_cuts(begin, k, kept + 2, d);
    int before = 0; /* corrupted tokens */
    for (int i = 0; i < k; i++) {
        begin[i] += before - 1;
        before += len[i];
    }
}

int ul2_write(int32_t *out, int *n_input, const int32_t *text, int n, const int *begin, const int *len, int n_spans,
              int32_t first)
{
    int at = 0, from = 0;
    for (int i = 0; i <= n_spans; i++) {
        const int to = i < n_spans ? begin[i] : n;
        memcpy(out + at, text + from, (size_t)(to - from) * sizeof *out);
        at += to - from;
        if (i == n_spans) break;
        out[at++] = first + i;
        from = to + len[i];
    }
    *n_input = at;
    for (int i = 0; i < n_spans; i++) {
        out[at++] = first + i;
        memcpy(out + at, text + begin[i], (size_t)len[i] * sizeof *out);
        at += len[i];
    }
    out[at++] = first + n_spans;
    return at;
}

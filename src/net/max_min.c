// SPDX-License-Identifier: Apache-2.0
#include "net/max_min.h"

#include <math.h>

/* In place of a rate, until there is one. */
static const double open_rate = -1, chosen_rate = -2;

/* What a flow could have at most if all that share a card with it and have no rate yet got the same. */
static double fair_rate(const struct max_min_flow *f, const struct max_min *m)
{
    if (f->from == f->to) return f->most;
    const double out = m->spare_out[f->from] / m->users_out[f->from];
    return fmin(f->most, fmin(out, m->spare_in[f->to] / m->users_in[f->to]));
}

static void count_user(const struct max_min_flow *f, const struct max_min *m, int n)
{
    if (f->from == f->to) return;
    m->users_out[f->from] += n;
    m->users_in[f->to] += n;
}

static void take_rate(const struct max_min_flow *f, const struct max_min *m, double rate)
{
    count_user(f, m, -1);
    if (f->from == f->to) return;
    m->spare_out[f->from] -= rate;
    m->spare_in[f->to] -= rate;
}

/* Those who are bound to the least now get it and leave the rest to the others. Returns how many. A set is chosen
 * before its members take anything; a rounding error wide, so that equals are settled together. */
static int settle_least(double *rates, const struct max_min_flow *flows, int n, const struct max_min *m)
{
    int settled = 0;
    double least = INFINITY;
    for (int i = 0; i < n; i++)
        if (rates[i] == open_rate) least = fmin(least, fair_rate(&flows[i], m));
    for (int i = 0; i < n; i++)
        if (rates[i] == open_rate && fair_rate(&flows[i], m) <= least * (1 + 1e-12)) rates[i] = chosen_rate;
    for (int i = 0; i < n; i++) {
        if (rates[i] != chosen_rate) continue;
        rates[i] = least;
        take_rate(&flows[i], m, least);
        settled++;
    }
    return settled;
}

void max_min_rates(double *rates, const struct max_min_flow *flows, int n, const struct max_min *m)
{
    for (int h = 0; h < m->n_hosts; h++) {
        m->spare_out[h] = m->spare_in[h] = m->cards[h];
        m->users_out[h] = m->users_in[h] = 0;
    }
    for (int i = 0; i < n; i++) {
        rates[i] = open_rate;
        count_user(&flows[i], m, 1);
    }
    for (int settled = 0; settled < n;)
        settled += settle_least(rates, flows, n, m);
}

void max_min_leave(struct max_min_leaving *l, double bytes, double rate, double now_s)
{
    *l = (struct max_min_leaving){bytes, rate, now_s, now_s + bytes / rate};
}

void max_min_set_rate(struct max_min_leaving *l, double rate, double now_s)
{
    if (rate == l->rate) return; /* the end stays the number it was */
    const double passed_s = now_s - l->since_s;
    max_min_leave(l, passed_s > 0 ? fmax(0, l->left - l->rate * passed_s) : l->left, rate, now_s);
}

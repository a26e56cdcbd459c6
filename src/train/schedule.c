// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <math.h>

double schedule_learning_rate(const struct recipe *r, int64_t step)
{
    if (step < r->warmup_steps) return r->learning_rate * (double)(step + 1) / (double)r->warmup_steps;
    const double left = (double)(r->steps - step) / (double)(r->steps - r->warmup_steps);
    double factor = 1;
    if (r->schedule == SCHEDULE_LINEAR) factor = left;
    if (r->schedule == SCHEDULE_COSINE) factor = 0.5 * (1 - cos(acos(-1) * left));
    return r->min_learning_rate + (r->learning_rate - r->min_learning_rate) * factor;
}

struct loss_scale loss_scale_begin(const struct recipe *r)
{
    return (struct loss_scale){.scale = r->precision == PRECISION_FP16 ? r->loss_scale : 1};
}

bool loss_scale_update(struct loss_scale *s, const struct recipe *r, bool overflowed)
{
    if (r->precision != PRECISION_FP16) return !overflowed;
    if (!overflowed) {
        if (++s->clean < r->loss_scale_window) return true;
        *s = (struct loss_scale){.scale = s->scale * 2};
        return true;
    }
    s->clean = 0;
    if (++s->overflows < r->loss_scale_hysteresis) return true;
    if (s->scale <= r->loss_scale_min) return false;
    s->scale = s->scale / 2 > r->loss_scale_min ? s->scale / 2 : r->loss_scale_min;
    return true;
}

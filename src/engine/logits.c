// SPDX-License-Identifier: Apache-2.0
#include "engine/logits.h"

#include <math.h>

double logits_log_partition(const float *logits, int V)
{
    const float max = logits[logits_argmax(logits, V)];
    double sum = 0;
    for (int v = 0; v < V; v++)
        sum += (double)expf(logits[v] - max);
    return (double)max + log(sum);
}

int32_t logits_argmax(const float *logits, int V)
{
    int best = 0;
    for (int v = 1; v < V; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

int32_t logits_not_finite(const float *logits, int V)
{
    for (int v = 0; v < V; v++)
        if (!isfinite(logits[v])) return v;
    return -1;
}

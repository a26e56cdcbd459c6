// SPDX-License-Identifier: Apache-2.0
#include "eval/batching.h"

#include "base/clock.h"
#include "base/memory.h"

int batching_next(struct batching *b, size_t left)
{
    const int64_t now = clock_ns();
    const double took = b->n ? clock_seconds(b->began_ns, now) : 0;
    if (!b->n)
        b->n = BATCHING_LEAST;
    else if (took < 1 && b->n < BATCHING_MOST)
        b->n *= 2;
    else if (took > 4 && b->n > BATCHING_LEAST)
        b->n /= 2;
    b->began_ns = now;
    return (size_t)b->n < left ? b->n : (int)left;
}

size_t batching_room(const struct gptjt_engine *engine, size_t one)
{
    enum { MORE = 8192 };
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    const int64_t row = (int64_t)info.n_layers * info.n_embd * 2 * (int64_t)sizeof(float);
    const int64_t fit = row ? memory_available() / 8 / row : MORE;
    return one + (size_t)(fit < MORE ? fit : MORE);
}

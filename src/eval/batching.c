// SPDX-License-Identifier: Apache-2.0
#include "eval/batching.h"

#include "base/clock.h"
#include "base/memory.h"

static int least(int a, int b)
{
    return a < b ? a : b;
}

struct batching batching_for(const struct gptjt_engine *engine)
{
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    const int n = info.n_ranks;
    return (struct batching){.least = n > 1 ? least(2 * BATCHING_LEAST * n, BATCHING_MOST) : BATCHING_LEAST,
                             .most = n > 1 ? least(BATCHING_MOST_A_RANK * n, BATCHING_MOST) : BATCHING_MOST_A_RANK};
}

int batching_next(struct batching *b, size_t left)
{
    const int64_t now = clock_ns();
    const double took = b->n ? clock_seconds(b->began_ns, now) : 0;
    if (!b->n)
        b->n = b->least;
    else if (took < 1 && b->n < b->most)
        b->n = least(2 * b->n, b->most);
    else if (took > 4 && b->n > b->least)
        b->n = b->n / 2 > b->least ? b->n / 2 : b->least;
    b->began_ns = now;
    return (size_t)b->n < left ? b->n : (int)left;
}

size_t batching_room(const struct gptjt_engine *engine, size_t one)
{
    enum { MORE = 8192 };
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    const int64_t row = (int64_t)info.n_layers * info.n_embd * 2 * (int64_t)sizeof(float);
    const int sharing = info.n_ranks_here > 1 ? info.n_ranks_here : 1;
    const int64_t fit = row ? memory_available() / 8 / sharing / row : MORE;
    return one + (size_t)(fit < MORE ? fit : MORE);
}

size_t gptjt_tokens_for_many(const struct gptjt_engine *e, size_t most)
{
    return batching_room(e, most);
}

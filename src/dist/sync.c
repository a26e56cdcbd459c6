// SPDX-License-Identifier: Apache-2.0
#include "dist/sync.h"

const struct sync_ops *sync_ops(enum train_sync which)
{
    static const struct sync_ops *const all[] = {[SYNC_ALLREDUCE] = &sync_allreduce,
                                                 [SYNC_SHARDED] = &sync_sharded,
                                                 [SYNC_PROXSKIP] = &sync_proxskip,
                                                 [SYNC_DILOCO] = &sync_diloco,
                                                 [SYNC_COCKTAIL] = &sync_cocktail};
    return all[which];
}

bool sync_shares(const struct recipe *r, int64_t step)
{
    return !sync_ops((enum train_sync)r->sync)->own_steps || step < r->sync_warmup_steps;
}

// SPDX-License-Identifier: Apache-2.0
/* What a batch of gptjt.h is, for tests that drive its clock. */
#ifndef GPTJT_ENGINE_BATCH_H
#define GPTJT_ENGINE_BATCH_H

#include "engine/scheduler.h"

struct gptjt_batch {
    struct gptjt_session *s;
    struct scheduler scheduler;
    uint64_t last_id, n_done, n_reused, n_new;
    bool inside;  /* a callback may be under way: nobody leaves the scheduler now, but is marked */
    bool closing; /* nobody comes any more */
};

#endif

// SPDX-License-Identifier: Apache-2.0
/* In the place of pull.c, fetch.c, http.c and digest.c where there is no libcurl or no libcrypto. */
#include "hub/pull.h"

#include <assert.h>

bool hub_pull_built(void)
{
    return false;
}

enum status hub_pull_open(struct hub_pull *p, const struct hub_settings *set, const struct hub_model *m,
                          const struct hub_watch *watch)
{
    (void)p, (void)set, (void)m, (void)watch;
    return fail(E_UNSUPPORTED, "this program was built without libcurl and libcrypto, which downloading needs; "
                               "'hf download' puts models where gptjt finds them, too");
}

/* Nothing that was opened gets here. */

void hub_pull_close(struct hub_pull *p)
{
    (void)p;
    assert(!"built without libcurl");
}

enum status hub_pull_choose(struct hub_pull *p, const struct hub_choice *c)
{
    (void)p, (void)c;
    assert(!"built without libcurl");
    return E_UNSUPPORTED;
}

enum status hub_pull_run(struct hub_pull *p)
{
    (void)p;
    assert(!"built without libcurl");
    return E_UNSUPPORTED;
}

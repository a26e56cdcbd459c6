// SPDX-License-Identifier: Apache-2.0
/* In the place of pull.c, fetch.c, http.c and digest.c where there is no libcurl or no libcrypto. */
#include "hub/pull.h"

static enum status refuse(void)
{
    return fail(E_UNSUPPORTED, "this program was built without libcurl and libcrypto, which downloading needs; "
                               "'hf download' puts models where gptjt finds them, too");
}

enum status hub_pull_open(struct hub_pull *p, const struct hub_settings *set, const struct hub_model *m,
                          const struct hub_watch *watch)
{
    (void)p, (void)set, (void)m, (void)watch;
    return refuse();
}

void hub_pull_close(struct hub_pull *p)
{
    (void)p;
}

enum status hub_pull_choose(struct hub_pull *p, const struct hub_choice *c)
{
    (void)p, (void)c;
    return refuse();
}

enum status hub_pull_run(struct hub_pull *p)
{
    (void)p;
    return refuse();
}

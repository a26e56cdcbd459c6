// SPDX-License-Identifier: Apache-2.0
/* The Hub answers 401 for what does not exist when nobody says who asks, so that names of private models do not leak:
 * "no such model" and "no permission" cannot be told apart then. */
#include "hub/answer.h"

#include <inttypes.h>
#include <string.h>

/* "OWNER/NAME", or with a file "OWNER/NAME: FILE". */
#define WHO      "%s%s%.200s"
#define WHOSE(x) (x)->model->name, (x)->file ? ": " : "", (x)->file ? (x)->file : ""

static enum status no_access(const struct hub_response *r, const struct hub_subject *x)
{
    const bool gated = !strcmp(r->error_code, "GatedRepo");
    if (gated && !x->token)
        return fail(E_IO,
                    "%s is gated: accept its conditions at %s/%s, then give a token of your account "
                    "(%s/settings/tokens) in HF_TOKEN or in %s",
                    x->model->name, x->endpoint, x->model->name, x->endpoint, x->token_file);
    if (gated)
        return fail(E_IO,
                    "%s is gated, and the account of the token that was sent has no access: accept its conditions at "
                    "%s/%s%s%s",
                    x->model->name, x->endpoint, x->model->name, r->error[0] ? "; the Hub says: " : "", r->error);
    if (r->code == 403)
        return fail(E_IO, WHO ": the Hub refuses access (HTTP 403)%s%s", WHOSE(x), r->error[0] ? ": " : "", r->error);
    if (!x->token)
        return fail(E_IO,
                    WHO ": there is no such model on %s, or it is private or gated and needs a token: in HF_TOKEN, or "
                        "in %s",
                    WHOSE(x), x->endpoint, x->token_file);
    return fail(E_IO,
                WHO ": there is no such model on %s, or the token that was sent (HF_TOKEN, %s) may not read it%s%s",
                WHOSE(x), x->endpoint, x->token_file, r->error[0] ? "; the Hub says: " : "", r->error);
}

static enum status not_found(const struct hub_response *r, const struct hub_subject *x)
{
    if (!strcmp(r->error_code, "RevisionNotFound"))
        return fail(E_IO, "%s: has no revision %s", x->model->name, x->model->revision);
    if (x->file) return fail(E_IO, WHO ": is listed but not there (HTTP 404)", WHOSE(x));
    return fail(E_IO, "%s: there is no such model on %s", x->model->name, x->endpoint);
}

enum status hub_answer_check(const struct hub_response *r, const struct hub_subject *x, bool *broken)
{
    *broken = false;
    if (r->code == 200 || r->code == 206) return OK;
    /* Elsewhere a refusal means that a signed address has expired; the Hub gives a new one. */
    *broken = r->code == 408 || r->code == 429 || r->code >= 500 || !r->from_hub;
    if (r->code == 429) return fail(E_IO, WHO ": too many requests (HTTP 429)", WHOSE(x));
    if (!*broken && (r->code == 401 || r->code == 403)) return no_access(r, x);
    if (!*broken && r->code == 404) return not_found(r, x);
    return fail(E_IO, WHO ": HTTP %d%s%s", WHOSE(x), r->code, r->error[0] ? ": " : "", r->error);
}

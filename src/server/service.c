// SPDX-License-Identifier: Apache-2.0
#include "server/service.h"

#include <string.h>
#include <strings.h>

void service_refuse(struct exchange *x, const struct dialect *d, enum trouble what, const char *message)
{
    struct buf body = {0};
    const int status = d ? d->status(what) : dialect_plain_status(what);
    if (d)
        d->trouble(&body, what, message);
    else
        dialect_plain_trouble(&body, what, message);
    if (status == 503 || status == 429) exchange_set_header(x, "Retry-After", what == TROUBLE_OVERLOADED ? "1" : "5");
    if (status == 401) exchange_set_header(x, "WWW-Authenticate", "Bearer");
    exchange_answer(x, status, "application/json", &body);
}

enum trouble service_trouble(enum status s)
{
    switch (s) {
    case E_ARG:
    case E_FORMAT:
    case E_LIMIT:
    case E_UNSUPPORTED: return TROUBLE_REQUEST;
    default: return TROUBLE_GENERATION;
    }
}

void service_why(const struct desk_job *job, enum trouble *what, const char **message)
{
    *what = TROUBLE_GENERATION;
    *message = "the model's thread gave it up";
    for (size_t i = 0; i < job->n_items; i++) {
        const struct desk_item *item = &job->items[i];
        if (item->status == OK) continue;
        if (item->status == E_CANCELLED && job->late) {
            *what = TROUBLE_LATE;
            *message = "the time limit passed before the first token";
        } else {
            *what = item->status == E_CANCELLED ? TROUBLE_DRAINING : service_trouble(item->status);
            *message = item->status == E_CANCELLED ? "the server is ending" : item->message;
        }
        return;
    }
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* Hugging Face's clients name an endpoint by its address. */
static bool is_address(const char *name)
{
    return !strncmp(name, "http://", 7) || !strncmp(name, "https://", 8);
}

static bool is_ours(const struct service *s, const char *name)
{
    for (int i = 0; i < s->n_names; i++) {
        const char *own = s->names[i];
        if (!strcmp(own, "*") || !strcasecmp(own, name)) return true;
        if (!strcasecmp(last_part(own), name)) return true; /* NAME for OWNER/NAME */
    }
    return false;
}

enum status service_check_model(const struct service *s, const char *name)
{
    if (!name || !*name || is_address(name) || is_ours(s, name)) return OK;
    return fail(E_ARG, "the model \"%.100s\" is not served here; it is \"%.100s\"", name, s->names[0]);
}

static int64_t deadline_of(const struct service *s, const struct exchange *x, double max_time)
{
    double seconds = s->time_limit_s;
    if (max_time > 0 && (seconds <= 0 || max_time < seconds)) seconds = max_time;
    return seconds > 0 ? exchange_began_ns(x) + (int64_t)(seconds * 1e9) : 0;
}

static void client_gone(void *user)
{
    struct desk_job *job = user;
    desk_cancel(job->desk, job);
}

enum status service_submit(const struct service *s, struct exchange *x, struct desk_job *job, double max_time,
                           enum trouble *what)
{
    const struct served *served = exchange_data(x);
    job->client = served->client;
    job->deadline_ns = deadline_of(s, x, max_time);
    exchange_hold(x);
    const enum status status = desk_submit(s->desk, job);
    if (status == OK) {
        exchange_on_gone(x, client_gone, job);
        return OK;
    }
    *what = status == E_LIMIT ? TROUBLE_OVERLOADED : status == E_CANCELLED ? TROUBLE_DRAINING : TROUBLE_GENERATION;
    exchange_release(x);
    return status;
}

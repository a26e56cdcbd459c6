// SPDX-License-Identifier: Apache-2.0
/* What those who answer requests have in common, once the model is there. */
#ifndef GPTJT_SERVER_SERVICE_H
#define GPTJT_SERVER_SERVICE_H

#include "server/desk.h"
#include "server/dialect.h"
#include "server/http.h"
#include "server/metrics.h"

struct service {
    struct gptjt_engine *engine;
    const struct gptjt_tokenizer *tokenizer; /* NULL: none */
    struct gptjt_info info;
    struct desk *desk;
    struct metrics *metrics;
    struct ask_limits limits;
    const char *const *names; /* [n_names] of the model, the first one is shown */
    int n_names;
    double time_limit_s; /* of a request */
};

/* Goes with every exchange as its data (exchange_data()), for its line in the log. */
struct served {
    char id[64];      /* of the request */
    char client[128]; /* whose it is: the key's name, or the address */
    const char *route;
    /* The desk's thread may still count when the client has gone. */
    _Atomic size_t prompt_tokens, new_tokens;
    _Atomic double first_token_s;  /* 0: none */
    _Atomic(const char *) outcome; /* NULL: as the status says; "late", "failed" */
    void *call;                    /* of who answers it; released with the exchange */
    void (*release)(void *call);
};

/* Answers with an error. */
void service_refuse(struct exchange *x, const struct dialect *d, enum trouble what, const char *message);

/* The trouble that a failed status is, where the request has been understood. */
enum trouble service_trouble(enum status s);

/* Why a job did not come to its end: of its first item that failed. *message: borrowed from the job, or static. */
void service_why(const struct desk_job *job, enum trouble *what, const char **message);

/* E_ARG unless a request for that model is meant for ours; NULL: it does not say. */
enum status service_check_model(const struct service *s, const char *name);

/* Gives a job, whose items, ended() and user are set, to the desk: for the client of x, which is held until
 * exchange_release() in ended(); to be over within max_time seconds (0: as long as the server allows); cancelled when
 * the client goes away. In the handler; the job belongs to x's data. *what: of a failure. */
enum status service_submit(const struct service *s, struct exchange *x, struct desk_job *job, double max_time,
                           enum trouble *what);

#endif

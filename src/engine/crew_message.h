// SPDX-License-Identifier: Apache-2.0
/* What leader and helpers of a crew say to each other. Each message is a head of fixed size, and a body if it says so:
 *
 *     leader                         helper
 *     CREW_FORM  (identity.h)        CREW_READY
 *     CREW_SCORE, CREW_GENERATE      CREW_PROGRESS ..., CREW_ANSWER      an answer for each, in their order
 *     CREW_ABANDON                   what it has in hand is answered with E_CANCELLED
 *     CREW_LEAVE                     CREW_READY
 */
#ifndef GPTJT_ENGINE_CREW_MESSAGE_H
#define GPTJT_ENGINE_CREW_MESSAGE_H

#include "base/buf.h"
#include "engine/engine.h"
#include "engine/parcel.h"

enum crew_order_kind { CREW_SCORE, CREW_GENERATE, CREW_CALLS, CREW_FORM = CREW_CALLS, CREW_ABANDON, CREW_LEAVE };

struct crew_order {
    uint64_t kind, bytes; /* bytes: of the body */
    uint64_t n, of;       /* requests in it, and in the leader's whole call */
    uint64_t max_tokens;  /* of the session that they are for */
};

enum crew_report_kind { CREW_READY, CREW_PROGRESS, CREW_ANSWER };

struct crew_report {
    uint64_t kind, bytes;
    uint64_t status; /* enum status; if not OK the body is its message */
    uint64_t done;   /* tokens of the chunk */
};

/* Two chunks in hand: one at work and one to go on with. */
enum { CREW_IN_HAND = 2, CREW_ORDER_TAG = 64, CREW_ORDER_BODY_TAG, CREW_REPORT_TAG, CREW_REPORT_BODY_TAG };

/* One kind of call: how its requests and results are handled by those who do not look into them. */
struct crew_call_kind {
    size_t request_bytes, result_bytes; /* of one */
    bool whole;                         /* one chunk a rank */
    size_t (*n_results)(const void *request);
    size_t (*work)(const void *request); /* tokens */
    void (*put_request)(struct buf *out, const void *request);
    enum status (*take_request)(struct parcel *p, void *request);
    void (*free_request)(void *request); /* of take_request() */
    void (*put_result)(struct buf *out, const void *result);
    enum status (*take_result)(struct parcel *p, void *result);
    void (*free_result)(void *result);
    /* Computes them on this rank; index [n] says which of its call's `of` requests each one is. */
    enum status (*run)(struct gptjt_session *s, const void *requests, size_t n, const uint64_t *index, size_t of,
                       void *results);
};

const struct crew_call_kind *crew_call_kind(enum crew_order_kind kind); /* CREW_SCORE or CREW_GENERATE */

#endif

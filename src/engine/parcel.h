// SPDX-License-Identifier: Apache-2.0
/* Requests and results of the ..._many calls as bytes, for another rank (engine/crew.h) of the same program on the same
 * kind of machine: numbers are as memory has them, and every item begins at a multiple of 8 bytes, so that ids are used
 * where they lie. */
#ifndef GPTJT_ENGINE_PARCEL_H
#define GPTJT_ENGINE_PARCEL_H

#include "base/buf.h"
#include "base/status.h"
#include "gptjt.h"

/* What is left of a parcel. Reading beyond its end gives zeros and sets bad. */
struct parcel {
    const char *at; /* a multiple of 8 bytes */
    size_t left;
    bool bad;
};

/* E_FORMAT if it was too short, or if something is left of it. */
enum status parcel_end(const struct parcel *p);

void parcel_put_number(struct buf *out, uint64_t number);
uint64_t parcel_number(struct parcel *p);
void parcel_put(struct buf *out, const void *bytes, size_t n); /* the number itself is not in it */
const void *parcel_take(struct parcel *p, size_t n);           /* borrowed from the parcel; NULL: bad, or n is 0 */

void parcel_put_score_request(struct buf *out, const struct gptjt_score_request *r);
void parcel_put_generate_request(struct buf *out, const struct gptjt_generate_request *r); /* callback left out */

/* What they point to is borrowed from the parcel, but for one list, of continuations or stop strings, which is owned:
 * free(). E_FORMAT, E_NOMEM; nothing is owned then. */
enum status parcel_score_request(struct parcel *p, struct gptjt_score_request *out);
enum status parcel_generate_request(struct parcel *p, struct gptjt_generate_request *out);

void parcel_put_score(struct buf *out, const struct gptjt_score *s);
void parcel_put_generation(struct buf *out, const struct gptjt_generation *g);

/* Owned as the calls' own results are: gptjt_scores_free(), gptjt_generation_free(), also after an error. */
enum status parcel_score(struct parcel *p, struct gptjt_score *out);
enum status parcel_generation(struct parcel *p, struct gptjt_generation *out);

#endif

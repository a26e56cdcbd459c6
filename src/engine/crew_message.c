// SPDX-License-Identifier: Apache-2.0
#include "engine/crew_message.h"

#include <stdlib.h>

/* ---- Scores ---- */

static size_t score_results(const void *request)
{
    return ((const struct gptjt_score_request *)request)->n;
}

static size_t score_work(const void *request)
{
    const struct gptjt_score_request *r = request;
    size_t n = r->n ? r->prompt.n : 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->continuations[i].n - 1;
    return n;
}

static void put_score_request(struct buf *out, const void *request)
{
    parcel_put_score_request(out, request);
}

static enum status take_score_request(struct parcel *p, void *request)
{
    return parcel_score_request(p, request);
}

static void free_score_request(void *request)
{
    free((void *)(uintptr_t)((struct gptjt_score_request *)request)->continuations);
}

static void put_score(struct buf *out, const void *result)
{
    parcel_put_score(out, result);
}

static enum status take_score(struct parcel *p, void *result)
{
    return parcel_score(p, result);
}

static void free_score(void *result)
{
    gptjt_scores_free(result, 1);
}

static enum status run_score(struct gptjt_session *s, const void *requests, size_t n, const uint64_t *index, size_t of,
                             void *results)
{
    return score_here(s, requests, n, index, of, results);
}

/* ---- Generations ---- */

static size_t one_result(const void *request)
{
    (void)request;
    return 1;
}

static size_t generate_work(const void *request)
{
    const struct gptjt_generate_request *r = request;
    return r->n_prompt + (size_t)r->num_return_sequences * (size_t)r->max_new_tokens;
}

static void put_generate_request(struct buf *out, const void *request)
{
    parcel_put_generate_request(out, request);
}

static enum status take_generate_request(struct parcel *p, void *request)
{
    return parcel_generate_request(p, request);
}

static void free_generate_request(void *request)
{
    free((void *)(uintptr_t)((struct gptjt_generate_request *)request)->stop);
}

static void put_generation(struct buf *out, const void *result)
{
    parcel_put_generation(out, result);
}

static enum status take_generation(struct parcel *p, void *result)
{
    return parcel_generation(p, result);
}

static void free_generation(void *result)
{
    gptjt_generation_free(result);
}

static enum status run_generate(struct gptjt_session *s, const void *requests, size_t n, const uint64_t *index,
                                size_t of, void *results)
{
    return generate_here(s, requests, n, index, of, results);
}

const struct crew_call_kind *crew_call_kind(enum crew_order_kind kind)
{
    static const struct crew_call_kind kinds[CREW_CALLS] = {
        [CREW_SCORE] = {.request_bytes = sizeof(struct gptjt_score_request),
                        .result_bytes = sizeof(struct gptjt_score),
                        .n_results = score_results,
                        .work = score_work,
                        .put_request = put_score_request,
                        .take_request = take_score_request,
                        .free_request = free_score_request,
                        .put_result = put_score,
                        .take_result = take_score,
                        .free_result = free_score,
                        .run = run_score},
        [CREW_GENERATE] = {.request_bytes = sizeof(struct gptjt_generate_request),
                           .result_bytes = sizeof(struct gptjt_generation),
                           .whole = true,
                           .n_results = one_result,
                           .work = generate_work,
                           .put_request = put_generate_request,
                           .take_request = take_generate_request,
                           .free_request = free_generate_request,
                           .put_result = put_generation,
                           .take_result = take_generation,
                           .free_result = free_generation,
                           .run = run_generate},
    };
    return &kinds[kind];
}

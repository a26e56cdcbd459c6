// SPDX-License-Identifier: Apache-2.0
/* What is read of the head of an HTTP response. */
#ifndef GPTJT_HUB_RESPONSE_H
#define GPTJT_HUB_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hub/name.h"

struct hub_response {
    int code;                    /* 0: there was none */
    int64_t length;              /* of the body; -1: not told */
    int64_t retry_after_s;       /* what the server asks to wait; 0: nothing */
    uint64_t reset_s;            /* RateLimit: nothing is left, and there is more in so many seconds; else 0 */
    bool from_hub;               /* the endpoint said it, not a host that it redirected to */
    char etag[HUB_SHA256 + 1];   /* the last ETag or, before it, X-Linked-Etag of the endpoint; "" if it is no hash */
    bool linked;                 /* etag is an X-Linked-Etag */
    bool ranged;                 /* there was a Content-Range, and ... */
    uint64_t first, last, total; /* ... it says bytes first..last of total; first <= last < total */
    char error_code[64];         /* X-Error-Code: "GatedRepo", "RevisionNotFound", ... */
    char error[256];             /* X-Error-Message */
};

/* Takes one line of a response's head, with or without its end: "Name: value". What is malformed counts as absent. */
void hub_response_header(struct hub_response *r, const char *line, size_t len);

/* "bytes 10-19/20". */
bool hub_response_range(uint64_t *first, uint64_t *last, uint64_t *total, const char *value);

/* The seconds t of RateLimit: "api";r=0;t=55, as the Hub has it in every answer, if r, what is left, is 0; else 0. */
uint64_t hub_response_reset(const char *value);

/* An ETag as a hash, without quotes and the W/ of a weak one; "" if it is neither a SHA-256 nor a SHA-1. */
void hub_response_etag(char out[HUB_SHA256 + 1], const char *value);

#endif

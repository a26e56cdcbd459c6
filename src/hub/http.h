// SPDX-License-Identifier: Apache-2.0
/* GET over HTTP and HTTPS, by libcurl, which only http.c knows. Redirects are followed here, one request each, so that
 * the token goes to the endpoint (the same scheme, host and port) and nowhere else, https never becomes http, and there
 * is an end to them. Proxies are what libcurl makes of http_proxy, https_proxy, all_proxy and no_proxy. */
#ifndef GPTJT_HUB_HTTP_H
#define GPTJT_HUB_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/response.h"

struct hub_http_options {
    const char *endpoint;     /* "https://huggingface.co", without a slash at its end                          */
    const char *token;        /* sent to the endpoint as a bearer; NULL: none                                  */
    const char *ca_file;      /* PEM of the authorities to trust instead of the system's; NULL: the system's   */
    const char *agent;        /* User-Agent                                                                    */
    int64_t silence_s;        /* a connection on which nothing arrives for that long counts as broken          */
    bool (*stop)(void *user); /* asked about once a second; true ends a request with E_CANCELLED. May be NULL */
    void *user;
};

struct hub_http;

/* The strings are borrowed until close. E_ARG if the endpoint is not an http or https URL or the token cannot be sent.
 * One at a time in a process. *out is owned. */
enum status hub_http_open(struct hub_http **out, const struct hub_http_options *o);
void hub_http_close(struct hub_http *h); /* accepts NULL */

/* Takes a piece of the body of a response with code 200 or 206; other bodies are dropped. What is not OK ends the
 * request, and is what it returns. */
typedef enum status hub_body_fn(void *user, const struct hub_response *r, const void *data, size_t len);

/* GETs a path of the endpoint ("/api/...") from byte `from` of it on. OK if there was an answer, whatever its code;
 * else E_CANCELLED, what body returned, or E_IO with the cause, which *broken says may be gone at the next try. */
enum status hub_http_get(struct hub_http *h, struct hub_response *r, bool *broken, const char *path, uint64_t from,
                         hub_body_fn *body, void *user);

#endif

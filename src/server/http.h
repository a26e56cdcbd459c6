// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 for the server, over libmicrohttpd, which nobody else knows: sockets, TLS, limits, request bodies collected
 * whole, answers given whole or as a stream, by whichever thread has them.
 *
 * An exchange is one request and its answer:
 *
 *     handler(user, x)     called in one of the HTTP threads when the request is there, body and all
 *     exchange_answer()    the whole answer; or
 *     exchange_begin()     its head, then any number of exchange_write()s, and exchange_end()
 *
 * The handler may answer at once or leave that to another thread later; it then takes a reference with exchange_hold().
 * Whoever answers need not ask whether the client is still there: for one that went away the functions do nothing. Who
 * works for a client for long sets exchange_on_gone() to be told.
 *
 * Limits: a request's head must be there header_s after the connection was made, and idle_s after the answer before it;
 * its body within body_s. Both then get a 408. A client that does not take what is written within write_s, or lets
 * more than max_pending_bytes pile up, is cut off. */
#ifndef GPTJT_SERVER_HTTP_H
#define GPTJT_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct http;
struct exchange;

struct http_options {
    const char *host;                                 /* name or address to listen on */
    int port;                                         /* 0: any that is free */
    int threads;                                      /* that speak HTTP */
    int max_connections, max_connections_per_address; /* 0: as many as there are at all */
    size_t max_header_bytes, max_body_bytes, max_pending_bytes;
    double header_s, idle_s, body_s, write_s;
    const char *tls_certificate, *tls_key; /* PEM texts; NULL: plain HTTP */
};

/* The exchange may be answered from here on. user's memory for it: exchange_set_data(). */
typedef void http_handler_fn(void *user, struct exchange *x);

/* Called when all that will be has been sent, or the client has gone: for a log. */
typedef void http_done_fn(void *user, struct exchange *x);

/* Listens and serves from here on. E_IO naming the address where that cannot be. Owned: http_close(). */
enum status http_open(struct http **out, const struct http_options *o, http_handler_fn *handler, http_done_fn *done,
                      void *user);

/* Cuts all connections; what exchanges are still held may be released later, but not answered any more. */
void http_close(struct http *h);

int http_port(const struct http *h);
const char *http_address(const struct http *h); /* "127.0.0.1:8080", "[::1]:8080" */
int http_connections(struct http *h);           /* that there are now */
size_t http_exchanges(struct http *h);          /* whose answer has not been sent to its end */

/* ---- The request: borrowed as long as the exchange is held; headers only within the handler ---- */

const char *exchange_method(const struct exchange *x); /* "GET"; HEAD is answered as GET */
const char *exchange_path(const struct exchange *x);   /* decoded, without the query */
const char *exchange_header(const struct exchange *x, const char *name);
const char *exchange_body(const struct exchange *x, size_t *len); /* followed by a NUL */
const char *exchange_address(const struct exchange *x);           /* of the client, without port */
bool exchange_too_large(const struct exchange *x);                /* the body is, and was thrown away */
int64_t exchange_began_ns(const struct exchange *x);              /* when its head was there */

/* ---- The answer: any thread, one at a time ---- */

/* A header of the answer, before it is given; value is copied. */
void exchange_set_header(struct exchange *x, const char *name, const char *value);

/* Moves the body, which becomes empty. type: "application/json". */
void exchange_answer(struct exchange *x, int status, const char *type, struct buf *body);

void exchange_begin(struct exchange *x, int status, const char *type);
void exchange_write(struct exchange *x, const void *data, size_t len);
void exchange_end(struct exchange *x);

/* The client is not there any more. */
bool exchange_gone(const struct exchange *x);

/* fn(user) is called once, in whatever thread, when the client goes away before the answer is complete. Set in the
 * handler; fn must not wait for anything that may wait for exchange_...() functions. */
typedef void exchange_gone_fn(void *user);
void exchange_on_gone(struct exchange *x, exchange_gone_fn *fn, void *user);

/* ---- Its life ---- */

void exchange_hold(struct exchange *x);
void exchange_release(struct exchange *x);

/* data goes with the exchange: release(data) when nobody holds it any more. */
void exchange_set_data(struct exchange *x, void *data, void (*release)(void *data));
void *exchange_data(const struct exchange *x);

/* For the log: what was answered (0: nothing), bytes of its body. */
int exchange_status(const struct exchange *x);
uint64_t exchange_sent(const struct exchange *x);

#endif

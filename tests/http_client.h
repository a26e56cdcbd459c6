// SPDX-License-Identifier: Apache-2.0
/* A client that does what no well-behaved one would: bytes to a server on this machine, and all that comes back. */
#ifndef GPTJT_TESTS_HTTP_CLIENT_H
#define GPTJT_TESTS_HTTP_CLIENT_H

#include <stddef.h>

#include "base/buf.h"

int client_connect(int port);
void client_send(int fd, const char *bytes, size_t len); /* as much as the server takes */

/* Until the server closes, or for 10 s at most: *closed then says which. */
void client_receive(int fd, struct buf *out, int *closed);

/* Until out holds text, or the server closes. */
void client_receive_until(int fd, struct buf *out, const char *text);

/* Sends, receives until the server closes, closes. */
void client_exchange(int port, const char *bytes, size_t len, struct buf *out);

/* One request with "Connection: close"; the status, the body (dechunked) in out. */
int client_request(int port, const char *method, const char *path, const char *body, struct buf *out);

#endif

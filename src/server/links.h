// SPDX-License-Identifier: Apache-2.0
/* The TCP connections of a server, looked after from outside: libmicrohttpd does not notice that a client goes away
 * while its connection is suspended, and its own time limit starts again with every byte, so that one byte a minute
 * keeps a connection for ever. Here each connection has a deadline for what it is doing now, and a thread that polls
 * the sockets of clients who wait for an answer.
 *
 * A client that shuts down its sending side (half-closes) is taken to have gone: TCP does not tell the two apart. */
#ifndef GPTJT_SERVER_LINKS_H
#define GPTJT_SERVER_LINKS_H

#include "base/status.h"

struct links;
struct link;

/* Starts the thread. Owned: links_close(), when no link is left. */
enum status links_open(struct links **out);
void links_close(struct links *l);

/* A new connection; fd stays the caller's and is open until links_remove(). NULL without memory. */
struct link *links_add(struct links *l, int fd);
void links_remove(struct link *k);

/* The connection is cut when that many seconds have passed, unless the deadline is set anew before; <= 0: never.
 * last_words (static, NULL: none) are sent before, as they are. Any thread. */
void link_deadline(struct link *k, double seconds, const char *last_words);

/* From here on fn is called, once and in the links' thread, when the client goes away or is cut; fn NULL: no more, and
 * it is not running when this returns. fn must not call functions of this file. */
typedef void link_gone_fn(void *user);
void link_watch(struct link *k, link_gone_fn *fn, void *user);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The page at /, to try the model on: one file in the binary, made by page/pack.sh of what lies in page/. It asks its
 * own server (/info, /tokenize, /generate, /generate_stream, /classify, by relative addresses) and nobody else: the
 * Content-Security-Policy among its headers names the one script and the one style by their SHA-256 and forbids all
 * other resources, frames around it, and HTML made from text. */
#ifndef GPTJT_SERVER_PAGE_H
#define GPTJT_SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct page_header {
    const char *name, *value;
};

enum { PAGE_HEADERS = 7 };

struct page {
    const unsigned char *bytes; /* [n_bytes], UTF-8 */
    size_t n_bytes;
    const char *type;                         /* its Content-Type, which is not among the headers */
    struct page_header headers[PAGE_HEADERS]; /* of every answer with it, 304 too; ETag is one of them */
};

extern const struct page page_index;

/* The client has it already and gets 304 without a body: if_none_match, the request's header or NULL, lists the page's
 * ETag or is "*" (RFC 9110, 13.1.2). */
bool page_is_known(const char *if_none_match);

#endif

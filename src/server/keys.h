// SPDX-License-Identifier: Apache-2.0
/* API keys: one a line of a file, then white space and a name for the log if there shall be one; lines that begin with
 * # are comments. */
#ifndef GPTJT_SERVER_KEYS_H
#define GPTJT_SERVER_KEYS_H

#include <stddef.h>

#include "base/status.h"

struct keys;

/* E_FORMAT naming the line for a key that is shorter than 8 characters, longer than 256 or given twice, and for a file
 * without any. Owned: keys_free(). */
enum status keys_load(struct keys **out, const char *path);
enum status keys_parse(struct keys **out, const char *text, size_t len, const char *name);
void keys_free(struct keys *k);

/* authorization: the request's header, NULL if there is none. The name of the key in it ("key 3" if it has none),
 * borrowed, or NULL. How long that takes says nothing about any key. */
const char *keys_find(const struct keys *k, const char *authorization);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The two hashes that the Hub names contents by, from libcrypto, which only digest.c knows: SHA-256 for files in Git
 * LFS, and for others the SHA-1 of git's blob, which is that of "blob ", the size in decimal, a NUL, and the content.
 */
#ifndef GPTJT_HUB_DIGEST_H
#define GPTJT_HUB_DIGEST_H

#include <stdint.h>

#include "base/status.h"
#include "hub/name.h"

struct hub_digest;

/* expected: the hash to compare with, whose length tells which one it is; bytes: of the whole content. Owned. */
enum status hub_digest_open(struct hub_digest **out, const char *expected, uint64_t bytes);
enum status hub_digest_restart(struct hub_digest *d);
enum status hub_digest_update(struct hub_digest *d, const void *data, size_t len);

/* The hash of all that came since the (re)start, in hexadecimal. Then restart or close it. */
enum status hub_digest_finish(struct hub_digest *d, char out[HUB_SHA256 + 1]);
void hub_digest_close(struct hub_digest *d); /* accepts NULL */

#endif

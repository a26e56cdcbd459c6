// SPDX-License-Identifier: Apache-2.0
/* What a Hub says is in a model's repository at one commit: the answer to
 *     GET /api/models/OWNER/NAME/revision/REVISION?blobs=true
 * of which "sha" (the commit) and "siblings" (the files) are read. A file in Git LFS has the SHA-256 of its content
 * there, any other one the SHA-1 that git gives it; that hash is the name of its blob in the cache, and what a
 * downloaded file is checked by. */
#ifndef GPTJT_HUB_LISTING_H
#define GPTJT_HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/name.h"

struct hub_file {
    char *name; /* hub_name_is_file() */
    uint64_t bytes;
    char hash[HUB_SHA256 + 1]; /* 64 digits: SHA-256 of the content; 40: SHA-1 of git's blob */
    bool wanted;               /* hub_choose() */
    bool there;                /* hub_cache_survey(): the cache has it, or ... */
    uint64_t have;             /* ... so many bytes of it, from its beginning on */
};

struct hub_listing {
    char commit[HUB_COMMIT + 1];
    struct hub_file *files; /* [n], sorted by name, names unique; owned */
    size_t n;
};

/* Everything is checked: names lead nowhere else, hashes are hashes, the sum of all sizes is below 2^63. where is for
 * messages. *out is owned: hub_listing_free(). */
enum status hub_listing_parse(struct hub_listing *out, const char *text, size_t len, const char *where);

void hub_listing_free(struct hub_listing *l);

/* The file of that name, or NULL. */
struct hub_file *hub_listing_find(const struct hub_listing *l, const char *name);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The Hugging Face cache, in the layout that huggingface_hub gives it, so that this program and every Python one find
 * each other's downloads:
 *
 *     CACHE/models--OWNER--NAME/blobs/HASH                       contents, named by their hash
 *                               blobs/HASH.incomplete            what has come of one so far
 *                               snapshots/COMMIT/DIR/FILE        link to ../../../blobs/HASH
 *                               refs/REVISION                    the commit that a branch or a tag was at
 *     CACHE/.locks/models--OWNER--NAME/HASH.lock                 flock()ed by whoever downloads that blob
 *     CACHE/CACHEDIR.TAG                                         for backups, which leave caches out
 *
 * A snapshot appears when all its blobs are there, and the reference to it last, so that a pull that was cut off leaves
 * what was there before as it was. */
#ifndef GPTJT_HUB_CACHE_H
#define GPTJT_HUB_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/listing.h"
#include "hub/name.h"

enum { HUB_PATH_MAX = 4096 };

/* The directories of one model. */
struct hub_cache {
    char root[HUB_PATH_MAX];       /* CACHE */
    char repository[HUB_PATH_MAX]; /* CACHE/models--OWNER--NAME */
    char locks[HUB_PATH_MAX];      /* CACHE/.locks/models--OWNER--NAME */
};

/* Only puts paths together. E_LIMIT if they become too long. */
enum status hub_cache_init(struct hub_cache *out, const char *root, const struct hub_model *m);

/* Where a blob is, or with suffix ".incomplete" will be. */
enum status hub_cache_blob(char out[HUB_PATH_MAX], const struct hub_cache *c, const char *hash, const char *suffix);
enum status hub_cache_snapshot(char out[HUB_PATH_MAX], const struct hub_cache *c, const char *commit);

/* The commit that refs/REVISION holds, or revision itself where that is a commit. *found is false, and commit
 * untouched, if there is no such reference; E_FORMAT if it holds something else than a commit's name. */
enum status hub_cache_resolve(char commit[HUB_REVISION_MAX + 1], bool *found, const struct hub_cache *c,
                              const char *revision);

/* The snapshot of a model that is there, for whoever wants to open it; E_IO with the command that gets it, if it is
 * not. */
enum status hub_cache_find(char dir[HUB_PATH_MAX], const char *root, const struct hub_model *m);

/* Sets there and have of every wanted file: it is there if the snapshot or blobs/ has a file of its size. */
enum status hub_cache_survey(struct hub_listing *l, const struct hub_cache *c);

/* Makes the directories that a download needs. */
enum status hub_cache_make(const struct hub_cache *c);

/* Links the wanted files into the snapshot, and then makes the reference of revision, unless that is the commit. */
enum status hub_cache_publish(const struct hub_cache *c, const struct hub_listing *l, const char *revision);

#endif

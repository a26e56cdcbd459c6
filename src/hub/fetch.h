// SPDX-License-Identifier: Apache-2.0
/* One file of a repository becomes a blob of the cache. It grows as blobs/HASH.incomplete, which a later run goes on
 * with, and gets its name when its size and hash are what the Hub said they are; nothing else ever gets that name. */
#ifndef GPTJT_HUB_FETCH_H
#define GPTJT_HUB_FETCH_H

#include "hub/answer.h"
#include "hub/cache.h"
#include "hub/http.h"
#include "hub/watch.h"

struct hub_fetch {
    struct hub_http *http;
    const struct hub_watch *watch;
    const struct hub_cache *cache;
    struct hub_subject subject;
    const char *commit;
    int tries;     /* again after a broken connection or a busy server, unless more of the file has come */
    uint64_t done; /* bytes of other files that are there, for the watch */
    bool waited;   /* has said that somebody else is downloading */
};

/* OK when the blob is there, whoever has put it. */
enum status hub_fetch_file(struct hub_fetch *f, const struct hub_file *file);

#endif

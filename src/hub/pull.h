// SPDX-License-Identifier: Apache-2.0
/* A model comes from a Hub into the cache: ask, choose, run. Where the program is built without libcurl and libcrypto
 * (pull_none.c), asking fails and says so. */
#ifndef GPTJT_HUB_PULL_H
#define GPTJT_HUB_PULL_H

#include "hub/cache.h"
#include "hub/choose.h"
#include "hub/watch.h"

/* Where from, where to; all borrowed for as long as the pull is open. */
struct hub_settings {
    const char *endpoint; /* without a slash at its end */
    const char *cache;
    const char *token;      /* NULL: none */
    const char *token_file; /* for hints where a token would help */
    const char *ca_file;    /* NULL: the system's authorities */
    int tries;              /* again, after something that may pass */
};

struct hub_http;

struct hub_pull {
    struct hub_settings set;
    struct hub_model model;
    struct hub_watch watch;
    struct hub_cache cache;
    struct hub_listing listing;  /* of the commit that the revision is at */
    char snapshot[HUB_PATH_MAX]; /* where the files are, or will be */
    struct hub_http *http;
    size_t n_wanted, n_missing;
    uint64_t bytes, have; /* of the wanted files; what of them is there */
};

/* Asks the Hub what the model has. *p is to be closed only if this is OK. */
enum status hub_pull_open(struct hub_pull *p, const struct hub_settings *set, const struct hub_model *m,
                          const struct hub_watch *watch);
void hub_pull_close(struct hub_pull *p);

/* Sets wanted, there and have in the listing, and the sums of p. Writes nothing. */
enum status hub_pull_choose(struct hub_pull *p, const struct hub_choice *c);

/* Downloads what is wanted and not there, and then makes the snapshot and its reference. E_IO before the first byte if
 * the disk has no room for it. */
enum status hub_pull_run(struct hub_pull *p);

#endif

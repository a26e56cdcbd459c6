// SPDX-License-Identifier: Apache-2.0
/* A hostile Hub's list of files: what is accepted keeps the promises of hub/listing.h, and every choice of its files
 * can be put into paths. */
#include <stdlib.h>
#include <string.h>

#include "hub/cache.h"
#include "hub/choose.h"

static void require(bool promise)
{
    if (!promise) abort();
}

static void check(const struct hub_listing *l)
{
    uint64_t total = 0;
    require(hub_name_is_commit(l->commit));
    for (size_t i = 0; i < l->n; i++) {
        const struct hub_file *f = &l->files[i];
        require(hub_name_is_file(f->name) && f->name[0] != '/' && !strstr(f->name, "/../"));
        require(hub_name_is_hash(f->hash, HUB_SHA256) || hub_name_is_hash(f->hash, HUB_COMMIT));
        require(f->bytes <= INT64_MAX - total);
        total += f->bytes;
        require(hub_listing_find(l, f->name) == f);
        require(!i || strcmp(l->files[i - 1].name, f->name) < 0);
    }
}

static void choose(struct hub_listing *l)
{
    static const char *const patterns[] = {"*.json", "a/", "[a-", "*"};
    const struct hub_choice choices[] = {
        {0},
        {.all = true, .exclude = patterns, .n_exclude = 3},
        {.include = patterns, .n_include = 4},
    };
    const struct hub_model m = {.name = "o/n", .revision = "main"};
    struct hub_cache c;
    require(hub_cache_init(&c, "/nonexistent", &m) == OK);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (hub_choose(l, &choices[i], "fuzz") == OK)
            require(hub_cache_survey(l, &c) == OK);
        else
            require(*status_message() && !strchr(status_message(), '\n'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_listing l;
    if (hub_listing_parse(&l, (const char *)data, size, "fuzz") != OK) {
        require(*status_message() && !strchr(status_message(), '\n'));
        return 0;
    }
    check(&l);
    choose(&l);
    hub_listing_free(&l);
    return 0;
}

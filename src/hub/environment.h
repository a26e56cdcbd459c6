// SPDX-License-Identifier: Apache-2.0
/* What the environment says about Hubs and the Hugging Face cache, read as huggingface_hub reads it: HF_HUB_CACHE,
 * HF_HOME, XDG_CACHE_HOME; HF_ENDPOINT; HF_TOKEN, HF_TOKEN_PATH; HF_HUB_OFFLINE. A variable that is empty counts as not
 * set. */
#ifndef GPTJT_HUB_ENVIRONMENT_H
#define GPTJT_HUB_ENVIRONMENT_H

#include "base/buf.h"
#include "hub/cache.h"

struct hub_environment {
    char cache[HUB_PATH_MAX], token_file[HUB_PATH_MAX];
    struct buf endpoint, token; /* token: data NULL if there is none */
    const char *ca_file;        /* borrowed from the environment; NULL: none */
    bool offline;
};

/* The directory that holds models--OWNER--NAME. */
enum status hub_environment_cache(char out[HUB_PATH_MAX]);

/* E_ARG or E_IO for what cannot be used. *out is to be freed, whatever this returns. */
enum status hub_environment_read(struct hub_environment *out);
void hub_environment_free(struct hub_environment *e);

#endif

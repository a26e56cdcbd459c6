// SPDX-License-Identifier: Apache-2.0
/* From what the user calls a model to its directory: a directory as it is, OWNER/NAME or OWNER/NAME@REVISION from the
 * Hugging Face cache (hub/cache.h), and without either $GPTJT_MODEL or the small model that ships with program and
 * library. Nothing is ever downloaded unasked: what is not there is an error that names the command. */
#ifndef GPTJT_HUB_MODEL_PATH_H
#define GPTJT_HUB_MODEL_PATH_H

#include "base/status.h"

enum { MODEL_PATH_MAX = 4096 };

struct model_path {
    char dir[MODEL_PATH_MAX];
    const char *hub_name; /* as the user gave it, if it came from the cache, else NULL; borrowed from model or the
                             environment */
};

/* model NULL: the default. */
enum status model_path_resolve(struct model_path *out, const char *model);

#endif

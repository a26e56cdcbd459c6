// SPDX-License-Identifier: Apache-2.0
/* From what the user calls a model to its directory: a directory as it is, OWNER/NAME from the Hugging Face cache, and
 * without either $GPTJT_MODEL or the small model that ships with the program. */
#ifndef GPTJT_CLI_MODEL_PATH_H
#define GPTJT_CLI_MODEL_PATH_H

#include "base/status.h"

enum { MODEL_PATH_MAX = 4096 };

struct model_path {
    char dir[MODEL_PATH_MAX];
    const char *hub_name; /* OWNER/NAME if it came from the cache, else NULL; borrowed from model or the environment */
};

/* model NULL: the default. */
enum status model_path_resolve(struct model_path *out, const char *model);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "cli/model_path.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/file.h"
#include "cli/hub_environment.h"

_Static_assert((int)MODEL_PATH_MAX == (int)HUB_PATH_MAX, "paths of the cache are paths of models");

static enum status resolve_hub_name(struct model_path *out, const char *model)
{
    char cache[HUB_PATH_MAX];
    struct hub_model m;
    TRY(hub_name_parse(&m, model));
    TRY(hub_environment_cache(cache));
    TRY(hub_cache_find(out->dir, cache, &m));
    out->hub_name = model;
    return OK;
}

/* In the build tree the program is build/gptjt beside models/; installed, it is bin/gptjt beside share/. */
static enum status resolve_shipped(char dir[MODEL_PATH_MAX])
{
    static const char *const places[] = {"../models/gpt-jt-tiny", "../share/gptjt/models/gpt-jt-tiny"};
    char program[MODEL_PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = 0;
        *strrchr(program, '/') = 0;
        for (size_t i = 0; i < COUNT_OF(places); i++) {
            TRY(file_join(dir, MODEL_PATH_MAX, program, places[i]));
            if (!file_is_dir(dir)) continue;
            char plain[PATH_MAX]; /* without the "..", since people are shown it */
            if (realpath(dir, plain) && strlen(plain) < MODEL_PATH_MAX) strcpy(dir, plain);
            return OK;
        }
    }
    return fail(E_ARG, "no model: give -m MODEL or set GPTJT_MODEL (the gpt-jt-tiny that ships with gptjt is not "
                       "installed beside it)");
}

static enum status resolve(struct model_path *out, const char *model)
{
    out->hub_name = NULL;
    if (!model) return resolve_shipped(out->dir);
    if (!*model) return fail(E_ARG, "the model's name is empty");
    const size_t len = strlen(model);
    if (file_is_dir(model)) {
        if (len >= MODEL_PATH_MAX) return fail(E_LIMIT, "%.100s...: path is too long", model);
        memcpy(out->dir, model, len + 1);
        return OK;
    }
    if (file_exists(model)) return fail(E_IO, "%s: is a file, not the directory of a model", model);
    if (!hub_name_looks_like_model(model)) return fail(E_IO, "%s: no such directory", model);
    return resolve_hub_name(out, model);
}

enum status model_path_resolve(struct model_path *out, const char *model)
{
    const char *preferred = getenv("GPTJT_MODEL");
    if (!model && preferred && *preferred) model = preferred;
    return resolve(out, model);
}

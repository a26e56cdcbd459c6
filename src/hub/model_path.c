// SPDX-License-Identifier: Apache-2.0
#include "hub/model_path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "hub/environment.h"

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

/* file: a program or a library; what ships with it lies beside its directory, in it, or below the prefix. */
static enum status find_beside(char dir[MODEL_PATH_MAX], const char *file, bool *found)
{
    static const char *const places[] = {"../models/gpt-jt-tiny",                /* build/gptjt                     */
                                         "../share/gptjt/models/gpt-jt-tiny",    /* bin/gptjt, lib/libgptjt.so      */
                                         "../../share/gptjt/models/gpt-jt-tiny", /* lib/x86_64-linux-gnu/           */
                                         "models/gpt-jt-tiny",                   /* a Python package                */
                                         "../../models/gpt-jt-tiny"};            /* build/python/                   */
    char place[MODEL_PATH_MAX], plain[PATH_MAX], at[PATH_MAX];
    if (!realpath(file, at)) return OK;
    *strrchr(at, '/') = 0;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        TRY(file_join(place, MODEL_PATH_MAX, at, places[i]));
        if (!file_is_dir(place)) continue;
        /* Without the "..", since people are shown it. */
        TRY(file_join(dir, MODEL_PATH_MAX, "", realpath(place, plain) ? plain + 1 : place + 1));
        *found = true;
        return OK;
    }
    return OK;
}

/* Beside the file that has this code, which is libgptjt.so in programs of others; a program that was started by its
 * name alone is known to the kernel only. */
static enum status resolve_shipped(char dir[MODEL_PATH_MAX])
{
    static const char here;
    Dl_info info;
    bool found = false;
    if (dladdr(&here, &info) && info.dli_fname && strchr(info.dli_fname, '/'))
        TRY(find_beside(dir, info.dli_fname, &found));
    if (!found) TRY(find_beside(dir, "/proc/self/exe", &found));
    if (found) return OK;
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

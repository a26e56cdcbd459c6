// SPDX-License-Identifier: Apache-2.0
/* The Hugging Face cache keeps revisions apart: refs/main holds the hash of the newest one, whose files are under
 * snapshots/HASH (links into blobs/). */
#include "cli/model_path.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/file.h"

/* Letters, digits, '-', '_' and '.', not beginning with '.' or '-': what a name on the Hub, or a revision, is made of.
 * Whatever passes is one path component that stays where it is put. */
static bool is_plain_name(const char *text, size_t len)
{
    if (!len || text[0] == '.' || text[0] == '-') return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i])) return false;
    return true;
}

static bool looks_like_hub_name(const char *model)
{
    const char *slash = strchr(model, '/');
    return slash && is_plain_name(model, (size_t)(slash - model)) && is_plain_name(slash + 1, strlen(slash + 1));
}

/* The directory that holds models--OWNER--NAME, as huggingface_hub finds it. */
static enum status cache_dir(char out[MODEL_PATH_MAX])
{
    const char *hub = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    int n;
    if (hub && *hub)
        n = snprintf(out, MODEL_PATH_MAX, "%s", hub);
    else if (home && *home)
        n = snprintf(out, MODEL_PATH_MAX, "%s/hub", home);
    else
        n = snprintf(out, MODEL_PATH_MAX, "%s/.cache/huggingface/hub", user ? user : "");
    return n < MODEL_PATH_MAX ? OK : fail(E_LIMIT, "path of the Hugging Face cache is longer than %d", MODEL_PATH_MAX);
}

static enum status read_revision(char *out, size_t out_bytes, const char *ref)
{
    struct buf text = {0};
    enum status s = file_read(&text, ref, 256);
    if (s != OK) goto free_text;
    while (text.len && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = 0;
    if (text.len >= out_bytes || !is_plain_name(text.data ? text.data : "", text.len))
        s = fail(E_FORMAT, "%s: does not hold a revision", ref);
    else
        memcpy(out, text.data, text.len + 1);
free_text:
    buf_free(&text);
    return s;
}

static enum status resolve_hub_name(char dir[MODEL_PATH_MAX], const char *model)
{
    char cache[MODEL_PATH_MAX], repository[MODEL_PATH_MAX], ref[MODEL_PATH_MAX], revision[128];
    TRY(cache_dir(cache));
    const int owner = (int)strcspn(model, "/");
    const int n = snprintf(repository, sizeof repository, "%s/models--%.*s--%s", cache, owner, model,
                           model + owner + 1);
    if (n < 0 || (size_t)n >= sizeof repository) return fail(E_LIMIT, "%.100s...: path is too long", cache);
    TRY(file_join(ref, sizeof ref, repository, "refs/main"));
    if (!file_exists(ref))
        return fail(E_IO,
                    "%s: no such directory, and not in the Hugging Face cache (%s); get it with 'hf download %s', or "
                    "give the directory of a copy",
                    model, cache, model);
    TRY(read_revision(revision, sizeof revision, ref));
    char snapshot[256];
    snprintf(snapshot, sizeof snapshot, "snapshots/%s", revision);
    TRY(file_join(dir, MODEL_PATH_MAX, repository, snapshot));
    if (!file_is_dir(dir)) return fail(E_IO, "%s: %s names a revision that is not in the cache", model, ref);
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
    if (!looks_like_hub_name(model)) return fail(E_IO, "%s: no such directory", model);
    out->hub_name = model;
    return resolve_hub_name(out->dir, model);
}

enum status model_path_resolve(struct model_path *out, const char *model)
{
    const char *preferred = getenv("GPTJT_MODEL");
    if (!model && preferred && *preferred) model = preferred;
    return resolve(out, model);
}

// SPDX-License-Identifier: Apache-2.0
#include "hub/choose.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

static const char *const small_files[] = {
    "config.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
};

/* In the order in which formats/source.h looks for them; shards: what their names look like. */
static const struct {
    const char *file, *shards;
} weights[] = {
    {"model.safetensors", NULL},
    {"model.safetensors.index.json", "model-*.safetensors"},
    {"pytorch_model.bin", NULL},
    {"pytorch_model.bin.index.json", "pytorch_model-*.bin"},
};
static const char *const adapter_weights[] = {"adapter_model.safetensors", "adapter_model.bin"};

static bool want(struct hub_listing *l, const char *name)
{
    struct hub_file *f = hub_listing_find(l, name);
    if (f) f->wanted = true;
    return f != NULL;
}

static bool matches(const char *pattern, const char *name, int flags)
{
    char below[2 * HUB_FILE_MAX];
    const size_t len = strlen(pattern);
    if (!len || len + 2 > sizeof below) return false; /* longer than any name */
    snprintf(below, sizeof below, "%s%s", pattern, pattern[len - 1] == '/' ? "*" : "");
    return fnmatch(below, name, FNM_NOESCAPE | flags) == 0;
}

static bool matches_any(const char *const *patterns, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (matches(patterns[i], name, 0)) return true;
    return false;
}

/* The index names the shards; what it leaves out does no harm but for its size. */
static void want_shards(struct hub_listing *l, const char *pattern)
{
    for (size_t i = 0; i < l->n; i++)
        if (matches(pattern, l->files[i].name, FNM_PATHNAME)) l->files[i].wanted = true;
}

static bool want_weights(struct hub_listing *l)
{
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        if (!want(l, weights[i].file)) continue;
        if (weights[i].shards) want_shards(l, weights[i].shards);
        return true;
    }
    return false;
}

static bool want_adapter(struct hub_listing *l)
{
    if (!want(l, "adapter_config.json")) return false;
    for (size_t i = 0; i < COUNT_OF(adapter_weights); i++)
        if (want(l, adapter_weights[i])) return true;
    return false;
}

static enum status want_needed(struct hub_listing *l, const char *where)
{
    for (size_t i = 0; i < COUNT_OF(small_files); i++)
        want(l, small_files[i]);
    const bool model = want_weights(l), adapter = want_adapter(l);
    if (!model && !adapter)
        return fail(E_UNSUPPORTED,
                    "%s: has neither model.safetensors nor pytorch_model.bin, nor shards of them (--all downloads the "
                    "%zu files that it has)",
                    where, l->n);
    return OK;
}

enum status hub_choose(struct hub_listing *l, const struct hub_choice *c, const char *where)
{
    size_t n_wanted = 0;
    for (size_t i = 0; i < l->n; i++)
        l->files[i].wanted = c->all || matches_any(c->include, c->n_include, l->files[i].name);
    if (!c->all && !c->n_include) TRY(want_needed(l, where));
    for (size_t i = 0; i < l->n; i++) {
        if (matches_any(c->exclude, c->n_exclude, l->files[i].name)) l->files[i].wanted = false;
        n_wanted += l->files[i].wanted;
    }
    return n_wanted ? OK : fail(E_ARG, "%s: none of its %zu files is to be downloaded", where, l->n);
}

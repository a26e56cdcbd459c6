// SPDX-License-Identifier: Apache-2.0
#include "model/model_files.h"

#include <unistd.h>

#include "base/file.h"

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_FILE_BYTES = 64 << 20 };

enum { CONFIG, GENERATION, FIRST_OF_TOKENIZER };
static const char *const names[] = {[CONFIG] = "config.json",
                                    [GENERATION] = "generation_config.json",
                                    [FIRST_OF_TOKENIZER] = "vocab.json",
                                    "merges.txt",
                                    "added_tokens.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json"};

void model_files_begin(struct model_files *f)
{
    f->there = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[4096];
        if (file_join(path, sizeof path, f->dir, names[i]) == OK && file_exists(path)) f->there |= 1u << i;
    }
}

void model_files_undo(const struct model_files *f)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[4096];
        if (!(f->there & 1u << i) && file_join(path, sizeof path, f->dir, names[i]) == OK) unlink(path);
    }
}

enum status model_files_config(json_t **out, const struct model_files *f, enum config_mask mask,
                               const char *torch_dtype)
{
    char path[4096];
    json_t *j = NULL;
    TRY(file_join(path, sizeof path, f->from, names[CONFIG]));
    TRY(json_read_file(&j, path, MAX_CONFIG_BYTES));
    int failed = json_object_set_new(j, "prompt_mask", json_string(mask == CONFIG_MASK_PREFIX ? "prefix" : "causal"));
    if (torch_dtype) failed |= json_object_set_new(j, "torch_dtype", json_string(torch_dtype));
    if (failed) {
        json_decref(j);
        return fail(E_NOMEM, "config.json: out of memory");
    }
    *out = j;
    return OK;
}

static enum status write_config(const struct model_files *f, const json_t *config)
{
    char path[4096];
    TRY(file_join(path, sizeof path, f->dir, names[CONFIG]));
    return json_write_file(config, path);
}

static enum status take_along(const struct model_files *f, const char *name)
{
    char from[4096], to[4096];
    TRY(file_join(from, sizeof from, f->from, name));
    TRY(file_join(to, sizeof to, f->dir, name));
    return file_exists(from) ? file_copy(to, from, MAX_FILE_BYTES) : OK;
}

enum status model_files_copy_tokenizer(const struct model_files *f)
{
    for (size_t i = FIRST_OF_TOKENIZER; i < COUNT_OF(names); i++)
        TRY(take_along(f, names[i]));
    return OK;
}

enum status model_files_write(const struct model_files *f, const json_t *config)
{
    TRY(write_config(f, config));
    TRY(take_along(f, names[GENERATION]));
    return model_files_copy_tokenizer(f);
}

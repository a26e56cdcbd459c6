// SPDX-License-Identifier: Apache-2.0
/* Since transformers 4.34 "added_tokens_decoder" in tokenizer_config.json has all added tokens with their flags.
 * Before, added_tokens.json had the ids of those that vocab.json does not have, and special_tokens_map.json or
 * tokenizer_config.json named the special ones, which are matched first, wherever their ids are. */
#include "tokenizer/addedfile.h"

#include <stdlib.h>
#include <string.h>

static enum status add(struct tables *t, const char *name, int64_t id, const char *text, size_t len, int pass)
{
    TRY(vocab_add_added(&t->vocab, name, id, text, len));
    return added_add(&t->added[pass], &t->vocab, name, (int32_t)id);
}

static enum status check_flags(const char *name, const json_t *entry, const char *text)
{
    static const char *const off[] = {"lstrip", "rstrip", "single_word"};
    for (size_t k = 0; k < COUNT_OF(off); k++) {
        bool on = false;
        TRY(json_get_bool(entry, name, off[k], &on));
        if (on) return fail(E_UNSUPPORTED, "%s: added token \"%.60s\" with %s is not supported", name, text, off[k]);
    }
    return OK;
}

enum status addedfile_entry(struct tables *t, const char *name, int64_t id, const json_t *entry)
{
    const json_t *content = json_object_get(entry, "content");
    if (!json_is_string(content)) return fail(E_FORMAT, "%s: an added token lacks \"content\"", name);
    const char *text = json_string_value(content);
    TRY(check_flags(name, entry, text));
    bool normalized = false;
    TRY(json_get_bool(entry, name, "normalized", &normalized));
    return add(t, name, id, text, json_string_length(content), normalized ? TABLES_NORMALIZED : TABLES_RAW);
}

/* --- since 4.34 -------------------------------------------------------------------------------------------------- */

static enum status read_decoder(struct tables *t, const char *name, json_t *decoder)
{
    const char *key;
    json_t *entry;
    json_object_foreach (decoder, key, entry) {
        char *end;
        const long long id = strtoll(key, &end, 10);
        if (end == key || *end) return fail(E_FORMAT, "%s: added token id \"%.60s\" is not a number", name, key);
        TRY(addedfile_entry(t, name, id, entry));
    }
    return OK;
}

/* --- before ------------------------------------------------------------------------------------------------------ */

struct legacy {
    struct tables *t;
    const json_t *added; /* added_tokens.json, or NULL */
};

static bool is_added(const struct tables *t, int64_t id, const char *text, size_t len)
{
    const struct vocab_token *token = vocab_token(&t->vocab, id);
    return token && token->kind == VOCAB_ADDED && token->len == len &&
           !memcmp(vocab_bytes(&t->vocab, token), text, len);
}

/* A special token has no id where it is named. It is one of added_tokens.json, or an entry of the vocabulary; else -1.
 */
static enum status find_special(const struct legacy *l, const char *text, size_t len, int64_t *id)
{
    const json_t *added = json_object_getn(l->added, text, len);
    if (json_is_integer(added)) {
        *id = json_integer_value(added);
        return OK;
    }
    int32_t entry;
    TRY(vocab_find_text(&l->t->vocab, text, len, &entry));
    *id = entry;
    return OK;
}

/* "TEXT", or an object with its flags. */
static enum status add_special(const struct legacy *l, const char *name, const json_t *special)
{
    const json_t *content = json_is_object(special) ? json_object_get(special, "content") : special;
    if (!json_is_string(content)) return OK;
    const char *text = json_string_value(content);
    const size_t len = json_string_length(content);
    int64_t id;
    TRY(find_special(l, text, len, &id));
    if (id < 0 || is_added(l->t, id, text, len)) return OK;
    if (json_is_object(special)) return addedfile_entry(l->t, name, id, special);
    return add(l->t, name, id, text, len, TABLES_RAW);
}

/* Those that object names and better does not. */
static enum status add_specials(const struct legacy *l, const char *name, const json_t *object, const json_t *better)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token",  "sep_token",
                                       "pad_token", "cls_token", "mask_token", "additional_special_tokens"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (json_object_get(better, keys[i])) continue;
        const json_t *special = json_object_get(object, keys[i]);
        if (!json_is_array(special)) TRY(add_special(l, name, special));
        for (size_t k = 0; k < json_array_size(special); k++)
            TRY(add_special(l, name, json_array_get(special, k)));
    }
    return OK;
}

/* GPT-2's, whatever the files name besides. */
static enum status add_end_of_text(const struct legacy *l, const char *name)
{
    json_t *special = json_string("<|endoftext|>");
    if (!special) return fail(E_NOMEM, "tokenizer: out of memory");
    const enum status s = add_special(l, name, special);
    json_decref(special);
    return s;
}

static enum status add_others(const struct legacy *l, const char *name)
{
    const char *text;
    size_t len;
    json_t *id;
    json_object_keylen_foreach((json_t *)(uintptr_t)l->added, text, len, id)
    {
        if (!json_is_integer(id)) return fail(E_FORMAT, "%s: the id of \"%.60s\" is not an integer", name, text);
        if (is_added(l->t, json_integer_value(id), text, len)) continue;
        TRY(add(l->t, name, json_integer_value(id), text, len, TABLES_NORMALIZED));
    }
    return OK;
}

/* --- all together ------------------------------------------------------------------------------------------------ */

typedef enum status read_fn(json_t **out, const char *text, size_t len, const char *name);

static enum status read_object(json_t **out, const struct tokenizer_source *source, read_fn *read)
{
    if (!source->data) return OK;
    json_t *object;
    TRY(read(&object, source->data, source->len, source->name));
    if (json_is_object(object)) {
        *out = object;
        return OK;
    }
    json_decref(object);
    return fail(E_FORMAT, "%s: is not an object", source->name);
}

static enum status check_config(const json_t *config, const char *name)
{
    static const char *const off[] = {"add_prefix_space", "add_bos_token", "add_eos_token"};
    for (size_t i = 0; i < COUNT_OF(off); i++) {
        bool on = false;
        TRY(json_get_bool(config, name, off[i], &on));
        if (on) return fail(E_UNSUPPORTED, "%s: \"%s\" is not supported", name, off[i]);
    }
    return OK;
}

enum status addedfile_check_config(const struct tokenizer_source *config)
{
    json_t *object = NULL;
    TRY(read_object(&object, config, json_read_text_big));
    const enum status s = check_config(object, config->name);
    json_decref(object);
    return s;
}

enum status addedfile_read(struct tables *t, const struct tokenizer_sources *sources)
{
    json_t *added = NULL, *map = NULL, *config = NULL;
    enum status s = read_object(&added, &sources->added, json_read_text);
    if (s == OK) s = read_object(&map, &sources->special, json_read_text);
    if (s == OK) s = read_object(&config, &sources->config, json_read_text_big);
    if (s == OK) s = check_config(config, sources->config.name);
    json_t *decoder = json_object_get(config, "added_tokens_decoder");
    const struct legacy l = {t, decoder ? NULL : added};
    if (s == OK && decoder) s = read_decoder(t, sources->config.name, decoder);
    if (s == OK && !decoder) s = add_specials(&l, sources->special.name, map, NULL);
    if (s == OK && !decoder) s = add_specials(&l, sources->config.name, config, map);
    if (s == OK) s = add_end_of_text(&l, sources->vocab.name);
    if (s == OK) s = add_others(&l, sources->added.name);
    json_decref(config);
    json_decref(map);
    json_decref(added);
    return s;
}

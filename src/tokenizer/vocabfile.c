// SPDX-License-Identifier: Apache-2.0
/* The files come from anywhere. What they say is checked here or where it is inserted (vocab.c), and what they ask for
 * beyond GPT-2's way of tokenizing is refused by name, because ignoring it would give other ids without a word. */
#include "tokenizer/vocabfile.h"

#include <string.h>

#include "base/json.h"
#include "tokenizer/addedfile.h"
#include "tokenizer/alphabet.h"

void tables_free(struct tables *t)
{
    for (int i = 0; i < TABLES_ADDED; i++)
        added_free(&t->added[i]);
    bpe_free(&t->bpe);
    vocab_free(&t->vocab);
}

static enum status unsupported(const char *name, const char *what)
{
    return fail(E_UNSUPPORTED, "%s: %s is not supported", name, what);
}

static enum status read_vocab(struct tables *t, const char *name, json_t *object)
{
    if (!json_is_object(object)) return fail(E_FORMAT, "%s: the vocabulary is not an object", name);
    const char *text;
    size_t len;
    json_t *id;
    json_object_keylen_foreach(object, text, len, id)
    {
        if (!json_is_integer(id)) return fail(E_FORMAT, "%s: the id of \"%.60s\" is not an integer", name, text);
        TRY(vocab_add(&t->vocab, name, json_integer_value(id), text, len));
    }
    return OK;
}

static enum status seal(struct tables *t, const char *name)
{
    for (int i = 0; i < TABLES_ADDED; i++)
        TRY(added_seal(&t->added[i], &t->vocab, name));
    bpe_find_bytes(&t->bpe, &t->vocab);
    return vocab_check(&t->vocab, name);
}

/* --- merges ---------------------------------------------------------------------------------------------------- */

struct text {
    const char *data;
    size_t len;
};

/* scratch ends up holding the two tokens' bytes one after the other, which are the merged token's. */
static enum status find_merge(const struct vocab *v, const char *name, size_t rank, const struct text sides[2],
                              struct buf *scratch, int32_t ids[3])
{
    size_t begin[3] = {0};
    buf_clear(scratch);
    for (int i = 0; i < 2; i++) {
        const bool known = alphabet_decode(scratch, sides[i].data, sides[i].len);
        TRY(buf_status(scratch));
        begin[i + 1] = scratch->len;
        ids[i] = known && sides[i].len ? vocab_find(v, scratch->data + begin[i], scratch->len - begin[i]) : -1;
        if (ids[i] < 0)
            return fail(E_FORMAT, "%s: merge %zu names \"%.*s\", which is not in the vocabulary", name, rank,
                        (int)(sides[i].len < 60 ? sides[i].len : 60), sides[i].data);
    }
    ids[2] = vocab_find(v, scratch->data, scratch->len);
    if (ids[2] < 0)
        return fail(E_FORMAT, "%s: merge %zu makes \"%.60s\", which is not in the vocabulary", name, rank,
                    scratch->data);
    return OK;
}

static enum status add_merge(struct tables *t, const char *name, size_t rank, const struct text sides[2],
                             struct buf *scratch)
{
    int32_t ids[3];
    TRY(find_merge(&t->vocab, name, rank, sides, scratch, ids));
    bpe_add(&t->bpe, (uint32_t)rank, ids[0], ids[1], ids[2]);
    return OK;
}

/* "a b": two tokens with one space between them. */
static enum status add_merge_line(struct tables *t, const char *name, size_t rank, struct text line,
                                  struct buf *scratch)
{
    const char *space = memchr(line.data, ' ', line.len);
    const char *end = line.data + line.len;
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1)))
        return fail(E_FORMAT, "%s: merge %zu \"%.*s\" is not two tokens", name, rank,
                    (int)(line.len < 60 ? line.len : 60), line.data);
    const struct text sides[2] = {{line.data, (size_t)(space - line.data)}, {space + 1, (size_t)(end - space - 1)}};
    return add_merge(t, name, rank, sides, scratch);
}

static struct text next_line(const struct tokenizer_source *source, size_t *at)
{
    const char *begin = source->data + *at, *end = memchr(begin, '\n', source->len - *at);
    if (!end) end = source->data + source->len;
    *at = (size_t)(end - source->data) + 1;
    struct text line = {begin, (size_t)(end - begin)};
    if (line.len && begin[line.len - 1] == '\r') line.len--;
    return line;
}

static enum status read_merge_lines(struct tables *t, const struct tokenizer_source *source, struct buf *scratch)
{
    size_t n_lines = 1, rank = 0;
    for (size_t i = 0; i < source->len; i++)
        n_lines += source->data[i] == '\n';
    TRY(bpe_reserve(&t->bpe, n_lines));
    for (size_t at = 0; at < source->len;) {
        const bool first = at == 0;
        const struct text line = next_line(source, &at);
        if (first && line.len >= 8 && !memcmp(line.data, "#version", 8)) continue;
        if (!line.len) continue;
        TRY(add_merge_line(t, source->name, rank++, line, scratch));
    }
    return OK;
}

static enum status add_merge_json(struct tables *t, const char *name, size_t rank, const json_t *merge,
                                  struct buf *scratch)
{
    if (json_is_string(merge))
        return add_merge_line(t, name, rank, (struct text){json_string_value(merge), json_string_length(merge)},
                              scratch);
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return fail(E_FORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", name, rank);
    const struct text sides[2] = {{json_string_value(left), json_string_length(left)},
                                  {json_string_value(right), json_string_length(right)}};
    return add_merge(t, name, rank, sides, scratch);
}

static enum status read_merge_array(struct tables *t, const char *name, const json_t *merges, struct buf *scratch)
{
    if (!json_is_array(merges)) return fail(E_FORMAT, "%s: \"merges\" is not an array", name);
    TRY(bpe_reserve(&t->bpe, json_array_size(merges)));
    for (size_t i = 0; i < json_array_size(merges); i++)
        TRY(add_merge_json(t, name, i, json_array_get(merges, i), scratch));
    return OK;
}

/* --- vocab.json and merges.txt ----------------------------------------------------------------------------------- */

static enum status read_json_source(json_t **out, const struct tokenizer_source *source)
{
    return json_read_text(out, source->data, source->len, source->name);
}

enum status vocabfile_read_separate(struct tables *t, const struct tokenizer_sources *sources)
{
    json_t *object = NULL;
    struct buf scratch = {0};
    enum status s = read_json_source(&object, &sources->vocab);
    if (s == OK) s = read_vocab(t, sources->vocab.name, object);
    if (s == OK) s = read_merge_lines(t, &sources->merges, &scratch);
    if (s == OK) s = addedfile_read(t, sources);
    if (s == OK) s = seal(t, sources->vocab.name);
    buf_free(&scratch);
    json_decref(object);
    return s;
}

/* --- tokenizer.json -------------------------------------------------------------------------------------------- */

static bool is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && !json_string_length(value)) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

static enum status check_model(const char *name, const json_t *model)
{
    /* unk_token is for bytes without a token, and those are an error here */
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    if (!json_is_object(model)) return fail(E_FORMAT, "%s: has no \"model\"", name);
    const char *type = "BPE"; /* files before 2020 do not say */
    TRY(json_get_string(model, name, "type", &type));
    if (strcmp(type, "BPE")) return fail(E_UNSUPPORTED, "%s: model type \"%.60s\" is not \"BPE\"", name, type);
    for (size_t i = 0; i < COUNT_OF(off); i++)
        if (!is_off(json_object_get(model, off[i]))) return unsupported(name, off[i]);
    return OK;
}

/* *out is "" for a part of the pipeline that is absent. */
static enum status part_type(const char **out, const char *name, const json_t *object, const char *part)
{
    *out = "";
    if (!object || json_is_null(object)) return OK;
    if (!json_is_object(object)) return fail(E_FORMAT, "%s: \"%s\" is not an object", name, part);
    return json_get_string(object, name, "type", out);
}

/* A part that may be absent, or of the type ByteLevel. */
static enum status check_byte_level(const char *name, const json_t *root, const char *part)
{
    const json_t *object = json_object_get(root, part);
    const char *type;
    TRY(part_type(&type, name, object, part));
    if (json_is_object(object) && strcmp(type, "ByteLevel"))
        return fail(E_UNSUPPORTED, "%s: %s \"%.60s\" is not \"ByteLevel\"", name, part, type);
    return OK;
}

/* ByteLevel only moves offsets, and we give none. Transformers 5 writes a template even where it adds nothing: one that
 * consists of the text. */
static enum status check_post_processor(const char *name, const json_t *root)
{
    const json_t *object = json_object_get(root, "post_processor");
    const char *type;
    TRY(part_type(&type, name, object, "post_processor"));
    if (strcmp(type, "TemplateProcessing")) return check_byte_level(name, root, "post_processor");
    const json_t *single = json_object_get(object, "single");
    if (json_array_size(single) != 1 || !json_object_get(json_array_get(single, 0), "Sequence"))
        return unsupported(name, "a post_processor that adds tokens");
    return OK;
}

static enum status check_pipeline(const char *name, const json_t *root)
{
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    if (!json_is_object(pre)) return unsupported(name, "a tokenizer without pre_tokenizer");
    TRY(check_byte_level(name, root, "pre_tokenizer"));
    TRY(check_post_processor(name, root));
    TRY(check_byte_level(name, root, "decoder"));
    bool prefix_space = true, use_regex = true;
    TRY(json_get_bool(pre, name, "add_prefix_space", &prefix_space));
    TRY(json_get_bool(pre, name, "use_regex", &use_regex));
    if (prefix_space) return unsupported(name, "pre_tokenizer with add_prefix_space other than false");
    if (!use_regex) return unsupported(name, "pre_tokenizer with use_regex false");
    if (!is_off(json_object_get(root, "normalizer"))) return unsupported(name, "a normalizer");
    return OK;
}

static enum status read_added_array(struct tables *t, const char *name, const json_t *array)
{
    if (!array || json_is_null(array)) return OK;
    if (!json_is_array(array)) return fail(E_FORMAT, "%s: \"added_tokens\" is not an array", name);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *entry = json_array_get(array, i), *id = json_object_get(entry, "id");
        if (!json_is_integer(id)) return fail(E_FORMAT, "%s: added token %zu lacks \"id\"", name, i);
        TRY(addedfile_entry(t, name, json_integer_value(id), entry));
    }
    return OK;
}

static enum status read_root(struct tables *t, const char *name, const json_t *root, struct buf *scratch)
{
    if (!json_is_object(root)) return fail(E_FORMAT, "%s: is not an object", name);
    const json_t *model = json_object_get(root, "model");
    TRY(check_model(name, model));
    TRY(check_pipeline(name, root));
    bool whole = false;
    TRY(json_get_bool(model, name, "ignore_merges", &whole));
    TRY(read_vocab(t, name, json_object_get(model, "vocab")));
    TRY(read_merge_array(t, name, json_object_get(model, "merges"), scratch));
    TRY(read_added_array(t, name, json_object_get(root, "added_tokens")));
    if (whole) t->bpe.whole = &t->vocab;
    return seal(t, name);
}

enum status vocabfile_read_json(struct tables *t, const struct tokenizer_sources *sources)
{
    json_t *root = NULL;
    struct buf scratch = {0};
    TRY(read_json_source(&root, &sources->json));
    enum status s = read_root(t, sources->json.name, root, &scratch);
    if (s == OK) s = addedfile_check_config(&sources->config);
    buf_free(&scratch);
    json_decref(root);
    return s;
}

// SPDX-License-Identifier: Apache-2.0
#include "tokenizer/vocabfile_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/alphabet.h"

static enum status out_of_memory(void)
{
    return fail(E_NOMEM, "tokenizer files: out of memory");
}

/* The bytes of a token as the files write them, appended. */
static void append_token(struct buf *out, const struct vocab *v, int32_t id)
{
    const struct vocab_token *token = vocab_token(v, id);
    alphabet_encode(out, vocab_bytes(v, token), token->len);
}

static int32_t merges_of(const struct vocabfile_new *n)
{
    return n->learned->vocab.n_ids - BPE_TRAIN_BYTES;
}

static void append_merge(struct buf *out, const struct vocabfile_new *n, int32_t i)
{
    const struct bpe_trained_merge m = n->learned->merges[i];
    append_token(out, &n->learned->vocab, m.left);
    buf_puts(out, " ");
    append_token(out, &n->learned->vocab, m.right);
}

struct extra_name {
    char text[32];
};

static struct extra_name extra_name(int i)
{
    struct extra_name n;
    snprintf(n.text, sizeof n.text, "<|extratoken_%d|>", i + 1);
    return n;
}

/* ---- The JSON files; NULL without memory ---- */

static json_t *vocab_json(const struct vocabfile_new *n)
{
    const struct vocab *v = &n->learned->vocab;
    json_t *object = json_object();
    struct buf text = {0};
    int failed = 0;
    for (int32_t id = 0; id < v->n_ids; id++) {
        buf_clear(&text);
        append_token(&text, v, id);
        failed |= text.failed || json_object_set_new(object, text.data, json_integer(id));
    }
    failed |= json_object_set_new(object, n->end_of_text, json_integer(v->n_ids));
    buf_free(&text);
    if (!failed) return object;
    json_decref(object);
    return NULL;
}

static json_t *added_json(const struct vocabfile_new *n)
{
    json_t *object = json_object();
    for (int i = 0; i < n->n_extra; i++)
        json_object_set_new(object, extra_name(i).text, json_integer(n->learned->vocab.n_ids + 1 + i));
    if (json_object_size(object) == (size_t)n->n_extra) return object;
    json_decref(object);
    return NULL;
}

static json_t *special_json(const struct vocabfile_new *n)
{
    const char *e = n->end_of_text;
    return json_pack("{s:s, s:s, s:s}", "bos_token", e, "eos_token", e, "unk_token", e);
}

static json_t *config_json(const struct vocabfile_new *n)
{
    const char *e = n->end_of_text;
    return json_pack("{s:b, s:s, s:s, s:s, s:s, s:s}", "add_prefix_space", 0, "tokenizer_class", "GPT2Tokenizer",
                     "bos_token", e, "eos_token", e, "unk_token", e, "errors", "replace");
}

static json_t *added_entry(int32_t id, const char *text, bool special)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", text, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", !special, "special", special);
}

static json_t *added_entries(const struct vocabfile_new *n)
{
    const int32_t first = n->learned->vocab.n_ids;
    json_t *array = json_array();
    json_array_append_new(array, added_entry(first, n->end_of_text, true));
    for (int i = 0; i < n->n_extra; i++)
        json_array_append_new(array, added_entry(first + 1 + i, extra_name(i).text, false));
    if (json_array_size(array) == (size_t)n->n_extra + 1) return array;
    json_decref(array);
    return NULL;
}

static json_t *merges_json(const struct vocabfile_new *n)
{
    json_t *array = json_array();
    struct buf text = {0};
    int failed = 0;
    for (int32_t i = 0; i < merges_of(n); i++) {
        buf_clear(&text);
        append_merge(&text, n, i);
        failed |= text.failed || json_array_append_new(array, json_stringn(text.data, text.len));
    }
    buf_free(&text);
    if (!failed) return array;
    json_decref(array);
    return NULL;
}

static json_t *byte_level(bool add_prefix_space)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", add_prefix_space, "trim_offsets",
                     1, "use_regex", 1);
}

static json_t *tokenizer_json(const struct vocabfile_new *n)
{
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                              "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "vocab", vocab_json(n), "merges", merges_json(n));
    return json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", added_entries(n), "normalizer", "pre_tokenizer", byte_level(false),
                     "post_processor", "decoder", byte_level(true), "model", model);
}

/* ---- Writing ---- */

static enum status write_merges(const struct vocabfile_new *n, const char *path)
{
    struct buf text = {0};
    struct file_writer w;
    buf_puts(&text, "#version: 0.2\n");
    for (int32_t i = 0; i < merges_of(n); i++) {
        append_merge(&text, n, i);
        buf_puts(&text, "\n");
    }
    enum status s = buf_status(&text);
    if (s == OK) s = file_writer_open(&w, path);
    if (s == OK) {
        s = file_writer_write(&w, text.data, text.len);
        if (s == OK)
            s = file_writer_commit(&w);
        else
            file_writer_abort(&w);
    }
    buf_free(&text);
    return s;
}

/* Takes the reference. */
static enum status write_json(json_t *value, const char *path)
{
    if (!value) return out_of_memory();
    const enum status s = json_write_file(value, path);
    json_decref(value);
    return s;
}

const char *const vocabfile_names[] = {
    "vocab.json",     "merges.txt", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json",
    "tokenizer.json", NULL};

static enum status write_file(const char *path, const struct vocabfile_new *n, int which)
{
    switch (which) {
    case 0: return write_json(vocab_json(n), path);
    case 1: return write_merges(n, path);
    case 2: return write_json(added_json(n), path);
    case 3: return write_json(special_json(n), path);
    case 4: return write_json(config_json(n), path);
    default: return write_json(tokenizer_json(n), path);
    }
}

enum status vocabfile_write(const char *dir, const struct vocabfile_new *n)
{
    int32_t there;
    TRY(vocab_find_text(&n->learned->vocab, n->end_of_text, strlen(n->end_of_text), &there));
    if (there >= 0) return fail(E_ARG, "\"%s\" is token %" PRId32 " of what was learned", n->end_of_text, there);
    for (int i = 0; vocabfile_names[i]; i++) {
        char path[4096];
        TRY(file_join(path, sizeof path, dir, vocabfile_names[i]));
        TRY(write_file(path, n, i));
    }
    return OK;
}

// SPDX-License-Identifier: Apache-2.0
/* The public face: finds the files, and runs a text through added tokens, pieces and merges. Encoding only reads the
 * tables; everything it writes to is made for the call, so threads may share a tokenizer. */
#include "tokenizer/tokenizer.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"
#include "tokenizer/pretok.h"
#include "tokenizer/vocabfile.h"

enum { MAX_FILE_BYTES = 64 << 20 };

struct tokenizer {
    struct tables tables;
    struct pretok *pretok;
};

void token_list_free(struct token_list *l)
{
    free(l->ids);
    *l = (struct token_list){0};
}

enum status token_list_append(struct token_list *l, int32_t id)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 64;
        int32_t *ids = cap > SIZE_MAX / 2 / sizeof *ids ? NULL : realloc(l->ids, cap * sizeof *ids);
        if (!ids) return fail(E_NOMEM, "out of memory for %zu tokens", cap);
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = id;
    return OK;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

enum status tokenizer_open_memory(struct tokenizer **out, const struct tokenizer_sources *sources)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) return fail(E_NOMEM, "tokenizer: out of memory");
    enum status s;
    if (sources->json.data)
        s = vocabfile_read_json(&t->tables, sources);
    else if (sources->vocab.data && sources->merges.data)
        s = vocabfile_read_separate(&t->tables, sources);
    else
        s = fail(E_ARG, "tokenizer: neither tokenizer.json nor vocab.json and merges.txt");
    if (s == OK) s = pretok_create(&t->pretok, true);
    if (s != OK) {
        tokenizer_close(t);
        return s;
    }
    *out = t;
    return OK;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t) return;
    pretok_free(t->pretok);
    tables_free(&t->tables);
    free(t);
}

struct file {
    char path[PATH_MAX];
    struct buf text;
};

/* A file that is not there is no error; it leaves the source without data. */
static enum status read_source(struct file *file, struct tokenizer_source *source, const char *dir, const char *name)
{
    TRY(file_join(file->path, sizeof file->path, dir, name));
    if (!file_exists(file->path)) return OK;
    TRY(file_read(&file->text, file->path, MAX_FILE_BYTES));
    *source = (struct tokenizer_source){file->path, file->text.data ? file->text.data : "", file->text.len};
    return OK;
}

static bool exists_in(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return file_join(path, sizeof path, dir, name) == OK && file_exists(path);
}

bool tokenizer_exists(const char *dir)
{
    return exists_in(dir, "tokenizer.json") || (exists_in(dir, "vocab.json") && exists_in(dir, "merges.txt"));
}

enum status tokenizer_open(struct tokenizer **out, const char *dir)
{
    if (!tokenizer_exists(dir)) return fail(E_IO, "%s: has neither tokenizer.json nor vocab.json and merges.txt", dir);
    struct tokenizer_sources sources = {0};
    const struct {
        struct tokenizer_source *source;
        const char *name;
    } all[] = {{&sources.json, "tokenizer.json"},     {&sources.config, "tokenizer_config.json"},
               {&sources.vocab, "vocab.json"},        {&sources.merges, "merges.txt"},
               {&sources.added, "added_tokens.json"}, {&sources.special, "special_tokens_map.json"}};
    const size_t n = exists_in(dir, "tokenizer.json") ? 2 : COUNT_OF(all);
    struct file *files = calloc(COUNT_OF(all), sizeof *files);
    if (!files) return fail(E_NOMEM, "tokenizer: out of memory");
    enum status s = OK;
    for (size_t i = 0; s == OK && i < n; i++)
        s = read_source(&files[i], all[i].source, dir, all[i].name);
    if (s == OK) s = tokenizer_open_memory(out, &sources);
    for (size_t i = 0; i < n; i++)
        buf_free(&files[i].text);
    free(files);
    return s;
}

/* --- encoding ---------------------------------------------------------------------------------------------------- */

struct encoder {
    const struct tokenizer *t;
    struct token_list *out;
    struct pretok_scan scan;
    struct bpe_scratch scratch;
};

static enum status encode_piece(struct encoder *e, const char *piece, size_t len)
{
    return bpe_encode(&e->t->tables.bpe, &e->scratch, e->out, piece, len);
}

/* Text without added tokens. A byte that is not part of a character ends the text before it and is a piece by itself:
 * the pattern is about characters. */
static enum status encode_plain(struct encoder *e, const char *text, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        const size_t valid = at + utf8_invalid_at(text + at, len - at);
        for (size_t end; at < valid; at = end) {
            TRY(pretok_next(&e->scan, text, valid, at, &end));
            TRY(encode_piece(e, text + at, end - at));
        }
        if (at < len) TRY(encode_piece(e, text + at, 1));
    }
    return OK;
}

/* Added tokens of this pass, and what is between them by the next. */
static enum status encode_pass(struct encoder *e, const char *text, size_t len, int pass)
{
    if (pass == TABLES_ADDED) return encode_plain(e, text, len);
    const struct tables *tables = &e->t->tables;
    size_t at = 0;
    for (struct added_hit hit; added_find(&tables->added[pass], &tables->vocab, text, len, at, &hit);) {
        TRY(encode_pass(e, text + at, hit.at - at, pass + 1));
        TRY(token_list_append(e->out, hit.id));
        at = hit.at + hit.len;
    }
    return encode_pass(e, text + at, len - at, pass + 1);
}

enum status tokenizer_encode(const struct tokenizer *t, struct token_list *out, const char *text, size_t len,
                             bool added)
{
    struct encoder e = {.t = t, .out = out};
    const size_t n_before = out->n;
    TRY(pretok_scan_begin(&e.scan, t->pretok));
    const enum status s = encode_pass(&e, len ? text : "", len, added ? 0 : TABLES_ADDED);
    if (s != OK) out->n = n_before;
    bpe_scratch_free(&e.scratch);
    pretok_scan_end(&e.scan);
    return s;
}

/* --- decoding ---------------------------------------------------------------------------------------------------- */

const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *len)
{
    const struct vocab_token *token = vocab_token(&t->tables.vocab, id);
    if (!token) return NULL;
    *len = token->len;
    return vocab_bytes(&t->tables.vocab, token);
}

static enum status unknown_id(const struct tokenizer *t, int32_t id)
{
    return fail(E_ARG, "token id %" PRId32 " is not in the vocabulary (largest id %" PRId32 ")", id,
                tokenizer_size(t) - 1);
}

enum status tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!vocab_token(&t->tables.vocab, ids[i])) return unknown_id(t, ids[i]);
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        const char *bytes = tokenizer_token(t, ids[i], &len);
        buf_append(out, bytes, len);
    }
    return buf_status(out);
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    const size_t len = strlen(text);
    struct added_hit hit;
    for (int i = 0; i < TABLES_ADDED; i++)
        if (added_match(&t->tables.added[i], &t->tables.vocab, text, len, &hit) && hit.len == len) return hit.id;
    return vocab_find(&t->tables.vocab, text, len);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct vocab_token *token = vocab_token(&t->tables.vocab, id);
    return token && token->kind == VOCAB_ADDED;
}

int32_t tokenizer_size(const struct tokenizer *t)
{
    return t->tables.vocab.n_ids;
}

/* --- streaming --------------------------------------------------------------------------------------------------- */

static const char replacement[] = "\xef\xbf\xbd";

static void stream_byte(struct token_stream *s, struct buf *out, char byte)
{
    s->held[s->n_held++] = byte;
    int n = utf8_char(s->held, (size_t)s->n_held);
    if (n == 0 && s->n_held > 1) { /* what was held is cut short; the new byte begins afresh */
        buf_puts(out, replacement);
        s->held[0] = byte;
        s->n_held = 1;
        n = utf8_char(s->held, 1);
    }
    if (n < 0) return;
    if (n == 0)
        buf_puts(out, replacement);
    else
        buf_append(out, s->held, (size_t)n);
    s->n_held = 0;
}

enum status tokenizer_stream(const struct tokenizer *t, struct token_stream *s, struct buf *out, int32_t id)
{
    size_t len = 0;
    const char *bytes = tokenizer_token(t, id, &len);
    if (!bytes) return unknown_id(t, id);
    for (size_t i = 0; i < len; i++)
        stream_byte(s, out, bytes[i]);
    return buf_status(out);
}

void tokenizer_stream_end(struct token_stream *s, struct buf *out)
{
    if (s->n_held) buf_puts(out, replacement);
    s->n_held = 0;
}

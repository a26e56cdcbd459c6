// SPDX-License-Identifier: Apache-2.0
/* Tokens in one array by id, their bytes in one buffer, and an open-addressing hash table over the entries. Everything
 * comes from files that nobody has checked, so each insertion is where a bad id or a repeated token is found. */
#include "tokenizer/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "tokenizer/alphabet.h"

void vocab_free(struct vocab *v)
{
    free(v->tokens);
    free(v->slots);
    buf_free(&v->bytes);
    *v = (struct vocab){0};
}

const struct vocab_token *vocab_token(const struct vocab *v, int64_t id)
{
    if (id < 0 || id >= v->n_ids || v->tokens[id].kind == VOCAB_NONE) return NULL;
    return &v->tokens[id];
}

/* The slot of the entry with these bytes, or the free one where it would go. */
static size_t slot_of(const struct vocab *v, const char *bytes, size_t len)
{
    const size_t mask = v->n_slots - 1;
    for (size_t i = hash_key(bytes, len) & mask;; i = (i + 1) & mask) {
        if (!v->slots[i]) return i;
        const struct vocab_token *token = &v->tokens[v->slots[i] - 1];
        if (token->len == len && !memcmp(vocab_bytes(v, token), bytes, len)) return i;
    }
}

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len)
{
    if (!v->n_slots) return -1;
    return (int32_t)v->slots[slot_of(v, bytes, len)] - 1;
}

static enum status grow_slots(struct vocab *v)
{
    if (v->n_used < v->n_slots / 2) return OK;
    struct vocab wider = *v;
    wider.n_slots = v->n_slots ? v->n_slots * 2 : 1024;
    wider.slots = calloc(wider.n_slots, sizeof *wider.slots);
    if (!wider.slots) return fail(E_NOMEM, "out of memory for a vocabulary of %zu tokens", v->n_used);
    for (size_t i = 0; i < v->n_slots; i++) {
        if (!v->slots[i]) continue;
        const struct vocab_token *token = &v->tokens[v->slots[i] - 1];
        wider.slots[slot_of(&wider, vocab_bytes(v, token), token->len)] = v->slots[i];
    }
    free(v->slots);
    *v = wider;
    return OK;
}

static enum status grow_ids(struct vocab *v, int32_t n_ids)
{
    if (n_ids <= v->n_ids) return OK;
    if (n_ids > v->cap_ids) {
        int32_t cap = v->cap_ids ? v->cap_ids : 1024;
        while (cap < n_ids)
            cap *= 2; /* n_ids <= VOCAB_MAX_IDS */
        struct vocab_token *tokens = calloc((size_t)cap, sizeof *tokens);
        if (!tokens) return fail(E_NOMEM, "out of memory for a vocabulary of %" PRId32 " ids", n_ids);
        if (v->n_ids) memcpy(tokens, v->tokens, (size_t)v->n_ids * sizeof *tokens);
        free(v->tokens);
        v->tokens = tokens;
        v->cap_ids = cap;
    }
    v->n_ids = n_ids;
    return OK;
}

static enum status check_new(const char *name, int64_t id, const char *text, size_t len)
{
    if (id < 0 || id >= VOCAB_MAX_IDS)
        return fail(E_FORMAT, "%s: token \"%.60s\" has id %" PRId64 ", not within 0..%d", name, text, id,
                    VOCAB_MAX_IDS - 1);
    if (!len) return fail(E_FORMAT, "%s: token with id %" PRId64 " is empty", name, id);
    return OK;
}

/* Makes a token of the bytes that have been appended to v->bytes since at. */
static enum status set_token(struct vocab *v, int64_t id, size_t at, enum vocab_kind kind)
{
    const size_t len = v->bytes.len - at;
    buf_append(&v->bytes, "", 1);
    TRY(buf_status(&v->bytes));
    if (v->bytes.len > UINT32_MAX) return fail(E_LIMIT, "tokens of more than 4 GB");
    TRY(grow_ids(v, (int32_t)id + 1));
    v->tokens[id] = (struct vocab_token){.at = (uint32_t)at, .len = (uint32_t)len, .kind = kind};
    return OK;
}

static enum status id_taken(const struct vocab *v, const char *name, int64_t id, const char *text)
{
    struct buf shown = {0}; /* an entry may be half a character */
    const struct vocab_token *token = &v->tokens[id];
    utf8_append_replaced(&shown, vocab_bytes(v, token), token->len < 60 ? token->len : 60);
    const enum status s = fail(E_FORMAT, "%s: id %" PRId64 " is both \"%s\" and \"%.60s\"", name, id,
                               shown.data ? shown.data : "", text);
    buf_free(&shown);
    return s;
}

/* The alphabet is one to one and JSON keys are unique, so the slot is free. */
static enum status index_entry(struct vocab *v, int64_t id)
{
    TRY(grow_slots(v));
    const struct vocab_token *token = &v->tokens[id];
    v->slots[slot_of(v, vocab_bytes(v, token), token->len)] = (uint32_t)id + 1;
    v->n_used++;
    return OK;
}

enum status vocab_add(struct vocab *v, const char *name, int64_t id, const char *text, size_t len)
{
    TRY(check_new(name, id, text, len));
    if (vocab_token(v, id)) return id_taken(v, name, id, text);
    const size_t at = v->bytes.len;
    if (alphabet_decode(&v->bytes, text, len)) {
        TRY(set_token(v, id, at, VOCAB_ENTRY));
        return index_entry(v, id);
    }
    buf_append(&v->bytes, text, len);
    v->n_literal++;
    return set_token(v, id, at, VOCAB_LITERAL);
}

enum status vocab_find_text(const struct vocab *v, const char *text, size_t len, int32_t *id)
{
    struct buf bytes = {0};
    const bool known = alphabet_decode(&bytes, text, len);
    const enum status s = buf_status(&bytes);
    if (s == OK) *id = known && len ? vocab_find(v, bytes.data, bytes.len) : -1;
    buf_free(&bytes);
    return s;
}

/* Hugging Face looks an added token's text up among the entries as they are written, and takes that id if there is
 * one. A file that gives it another id contradicts itself. */
static enum status check_entry_of(const struct vocab *v, const char *name, int64_t id, const char *text, size_t len)
{
    int32_t entry;
    TRY(vocab_find_text(v, text, len, &entry));
    if (entry < 0 || entry == id) return OK;
    return fail(E_FORMAT, "%s: added token \"%.60s\" has id %" PRId64 " but id %" PRId32 " in the vocabulary", name,
                text, id, entry);
}

enum status vocab_add_added(struct vocab *v, const char *name, int64_t id, const char *text, size_t len)
{
    TRY(check_new(name, id, text, len));
    TRY(check_entry_of(v, name, id, text, len));
    const struct vocab_token *token = vocab_token(v, id);
    if (!token) {
        const size_t at = v->bytes.len;
        buf_append(&v->bytes, text, len);
        return set_token(v, id, at, VOCAB_ADDED);
    }
    if (token->kind == VOCAB_ADDED || token->len != len || memcmp(vocab_bytes(v, token), text, len))
        return id_taken(v, name, id, text);
    v->n_literal -= token->kind == VOCAB_LITERAL;
    v->tokens[id].kind = VOCAB_ADDED;
    return OK;
}

enum status vocab_check(const struct vocab *v, const char *name)
{
    for (int32_t id = 0; v->n_literal && id < v->n_ids; id++)
        if (v->tokens[id].kind == VOCAB_LITERAL)
            return fail(E_FORMAT, "%s: token %" PRId32 " \"%.60s\" is not written in GPT-2's byte alphabet", name, id,
                        vocab_bytes(v, &v->tokens[id]));
    return v->n_ids ? OK : fail(E_FORMAT, "%s: the vocabulary is empty", name);
}

// SPDX-License-Identifier: Apache-2.0
/* How a pair is found without looking at everything again: a heap holds pairs by frequency, each with the words it is
 * in. A merge goes through the words of its pair and changes the frequencies of the neighbours: those with the new
 * token enter the heap, and what has become rarer is put back with its new frequency when it comes to the top.
 *
 * A token is learned once. What happens inside a stretch of text that becomes one token depends on that stretch alone,
 * since no merge has gone over its ends: so equal stretches are put together in the same way, and the two parts of a
 * new token never make a token that is there. So a pair with the new token comes up in this merge and in no other. */
#include "tokenizer/bpe_train.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/pretok.h"
#include "tokenizer/words.h"

struct bpe_trainer {
    struct bpe_train_options options;
    struct pretok *pretok;
    struct pretok_scan scan;
    struct words words;
    uint64_t n_texts, n_bytes;
};

enum status bpe_trainer_create(struct bpe_trainer **out, const struct bpe_train_options *o)
{
    struct bpe_trainer *t = calloc(1, sizeof *t);
    if (!t) return fail(E_NOMEM, "tokenizer: out of memory");
    t->options = *o;
    enum status s = pretok_create(&t->pretok, true);
    if (s == OK) s = pretok_scan_begin(&t->scan, t->pretok);
    if (s != OK) {
        bpe_trainer_free(t);
        return s;
    }
    *out = t;
    return OK;
}

void bpe_trainer_free(struct bpe_trainer *t)
{
    if (!t) return;
    if (t->scan.match) pretok_scan_end(&t->scan);
    pretok_free(t->pretok);
    words_free(&t->words);
    free(t);
}

/* ---- Counting words ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits that stay apart cut a piece into words. */
static enum status add_piece(struct bpe_trainer *t, const char *piece, size_t len)
{
    if (!t->options.digits_apart) return words_count(&t->words, piece, len);
    for (size_t at = 0, end; at < len; at = end) {
        end = at + 1;
        while (!is_digit(piece[at]) && end < len && !is_digit(piece[end]))
            end++;
        TRY(words_count(&t->words, piece + at, end - at));
    }
    return OK;
}

static enum status add_text(struct bpe_trainer *t, const char *text, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        const size_t valid = at + utf8_invalid_at(text + at, len - at);
        for (size_t end; at < valid; at = end) {
            TRY(pretok_next(&t->scan, text, valid, at, &end));
            TRY(add_piece(t, text + at, end - at));
        }
        if (at < len) TRY(add_piece(t, text + at, 1));
    }
    return OK;
}

enum status bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t len)
{
    t->n_texts++;
    t->n_bytes += len;
    if (!t->options.by_line) return add_text(t, text, len);
    for (size_t at = 0, end; at < len; at = end) {
        const char *newline = memchr(text + at, '\n', len - at);
        end = newline ? (size_t)(newline - text) + 1 : len;
        TRY(add_text(t, text + at, end - at));
    }
    return OK;
}

/* ---- Pairs and the words they are in ---- */

static const uint32_t NONE = UINT32_MAX;

struct pair {
    int32_t left, right;
    int64_t frequency;
    uint32_t places; /* list of the words it has come up in, which may have lost it since */
};

/* A list of words. */
struct place {
    uint32_t word, next;
};

struct candidate {
    int64_t frequency; /* when it was put into the heap */
    uint32_t pair;
};

struct learner {
    const struct words *words;
    struct bpe_trained *out;
    int32_t *tokens; /* of all words, each where its bytes were */
    size_t *lengths; /* [words->n] in tokens */

    struct pair *pairs;
    uint32_t *slots; /* [n_slots], a power of two: pair + 1, 0 where free */
    size_t n_pairs, cap_pairs, n_slots;

    struct place *places;
    size_t n_places, cap_places;

    size_t n_in_heap; /* pairs that have been put there; those behind have come up since */

    struct candidate *heap;
    size_t n_heap, cap_heap;

    struct buf bytes, text; /* of a new token; as written */
};

static void learner_free(struct learner *l)
{
    free(l->tokens);
    free(l->lengths);
    free(l->pairs);
    free(l->slots);
    free(l->places);
    free(l->heap);
    buf_free(&l->bytes);
    buf_free(&l->text);
}

/* The array of n elements with room for one more; NULL, with the error told, where there is no memory. */
static void *with_room(void *array, size_t n, size_t *cap, size_t element_bytes)
{
    if (n < *cap) return array;
    const size_t wider = *cap ? *cap * 2 : 1024;
    void *p = wider >= NONE ? NULL : reallocarray(array, wider, element_bytes);
    if (p)
        *cap = wider;
    else
        (void)fail(E_NOMEM, "tokenizer: out of memory for %zu pairs", n);
    return p;
}

static size_t slot_of(const struct learner *l, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15;
    h ^= h >> 32;
    const size_t mask = l->n_slots - 1;
    for (size_t i = h & mask;; i = (i + 1) & mask) {
        if (!l->slots[i]) return i;
        const struct pair *p = &l->pairs[l->slots[i] - 1];
        if (p->left == left && p->right == right) return i;
    }
}

static enum status grow_slots(struct learner *l)
{
    if (l->n_pairs < l->n_slots / 2) return OK;
    free(l->slots);
    l->n_slots = l->n_slots ? l->n_slots * 2 : 1 << 16;
    l->slots = calloc(l->n_slots, sizeof *l->slots);
    if (!l->slots) return fail(E_NOMEM, "tokenizer: out of memory for %zu pairs", l->n_pairs);
    for (size_t i = 0; i < l->n_pairs; i++)
        l->slots[slot_of(l, l->pairs[i].left, l->pairs[i].right)] = (uint32_t)i + 1;
    return OK;
}

static enum status find_pair(uint32_t *out, struct learner *l, int32_t left, int32_t right)
{
    TRY(grow_slots(l));
    const size_t slot = slot_of(l, left, right);
    if (!l->slots[slot]) {
        void *pairs = with_room(l->pairs, l->n_pairs, &l->cap_pairs, sizeof *l->pairs);
        if (!pairs) return E_NOMEM;
        l->pairs = pairs;
        l->pairs[l->n_pairs++] = (struct pair){.left = left, .right = right, .places = NONE};
        l->slots[slot] = (uint32_t)l->n_pairs;
    }
    *out = l->slots[slot] - 1;
    return OK;
}

/* The pair has come up in the word. */
static enum status gain(struct learner *l, int32_t left, int32_t right, uint32_t word)
{
    uint32_t index;
    TRY(find_pair(&index, l, left, right));
    struct pair *p = &l->pairs[index];
    p->frequency += (int64_t)l->words->items[word].count;
    if (p->places != NONE && l->places[p->places].word == word) return OK;
    void *places = with_room(l->places, l->n_places, &l->cap_places, sizeof *l->places);
    if (!places) return E_NOMEM;
    l->places = places;
    l->places[l->n_places] = (struct place){word, p->places};
    p->places = (uint32_t)l->n_places++;
    return OK;
}

static void lose(struct learner *l, int32_t left, int32_t right, uint32_t word)
{
    const size_t slot = slot_of(l, left, right); /* it is there: it was counted when it came up */
    l->pairs[l->slots[slot] - 1].frequency -= (int64_t)l->words->items[word].count;
}

/* ---- The heap ---- */

static bool before(const struct learner *l, const struct candidate *a, const struct candidate *b)
{
    if (a->frequency != b->frequency) return a->frequency > b->frequency;
    const struct pair *p = &l->pairs[a->pair], *q = &l->pairs[b->pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static enum status heap_push(struct learner *l, struct candidate c)
{
    void *heap = with_room(l->heap, l->n_heap, &l->cap_heap, sizeof *l->heap);
    if (!heap) return E_NOMEM;
    l->heap = heap;
    size_t i = l->n_heap++;
    for (; i && before(l, &c, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = c;
    return OK;
}

/* Puts c in the place of the top. */
static void heap_replace(struct learner *l, struct candidate c)
{
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->n_heap; i = child) {
        if (child + 1 < l->n_heap && before(l, &l->heap[child + 1], &l->heap[child])) child++;
        if (!before(l, &l->heap[child], &c)) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = c;
}

static void heap_pop(struct learner *l)
{
    const struct candidate last = l->heap[--l->n_heap];
    if (l->n_heap) heap_replace(l, last);
}

static enum status push_new_pairs(struct learner *l)
{
    for (; l->n_in_heap < l->n_pairs; l->n_in_heap++) {
        const int64_t frequency = l->pairs[l->n_in_heap].frequency;
        if (frequency) TRY(heap_push(l, (struct candidate){frequency, (uint32_t)l->n_in_heap}));
    }
    return OK;
}

/* ---- Learning ---- */

static enum status add_token(struct learner *l, const char *bytes, size_t len)
{
    struct vocab *v = &l->out->vocab;
    buf_clear(&l->text);
    alphabet_encode(&l->text, bytes, len);
    TRY(buf_status(&l->text));
    return vocab_add(v, "new vocabulary", v->n_ids, l->text.data, l->text.len);
}

/* Words as tokens of one byte each, and all their pairs. */
static enum status begin(struct learner *l, int32_t n_tokens)
{
    unsigned char order[BPE_TRAIN_BYTES];
    int32_t id_of[BPE_TRAIN_BYTES];
    alphabet_order(order);
    for (int i = 0; i < BPE_TRAIN_BYTES; i++) {
        id_of[order[i]] = i;
        TRY(add_token(l, (const char *)&order[i], 1));
    }
    const struct words *w = l->words;
    l->out->merges = calloc((size_t)(n_tokens - BPE_TRAIN_BYTES) + 1, sizeof *l->out->merges);
    l->tokens = calloc(w->bytes.len + 1, sizeof *l->tokens);
    l->lengths = calloc(w->n + 1, sizeof *l->lengths);
    if (!l->out->merges || !l->tokens || !l->lengths)
        return fail(E_NOMEM, "tokenizer: out of memory for %zu words", w->n);
    for (size_t i = 0; i < w->bytes.len; i++)
        l->tokens[i] = id_of[(unsigned char)w->bytes.data[i]];
    for (size_t i = 0; i < w->n; i++) {
        const int32_t *tokens = l->tokens + w->items[i].at;
        l->lengths[i] = w->items[i].len;
        for (size_t k = 1; k < l->lengths[i]; k++)
            TRY(gain(l, tokens[k - 1], tokens[k], (uint32_t)i));
    }
    return push_new_pairs(l);
}

/* In one word, from left to right; the pair's own frequency is left alone. */
static enum status merge_in_word(struct learner *l, uint32_t word, struct bpe_trained_merge m, int32_t merged)
{
    int32_t *tokens = l->tokens + l->words->items[word].at;
    const size_t n = l->lengths[word];
    size_t to = 0;
    for (size_t from = 0; from < n;) {
        if (from + 1 == n || tokens[from] != m.left || tokens[from + 1] != m.right) {
            tokens[to++] = tokens[from++];
            continue;
        }
        from += 2;
        if (to) {
            lose(l, tokens[to - 1], m.left, word);
            TRY(gain(l, tokens[to - 1], merged, word));
        }
        if (from < n) {
            lose(l, m.right, tokens[from], word);
            TRY(gain(l, merged, tokens[from], word));
        }
        tokens[to++] = merged;
    }
    l->lengths[word] = to;
    return OK;
}

static enum status merge(struct learner *l, const struct pair *p)
{
    struct bpe_trained *out = l->out;
    const struct vocab *v = &out->vocab;
    const struct bpe_trained_merge m = {p->left, p->right};
    const struct vocab_token *left = vocab_token(v, m.left), *right = vocab_token(v, m.right);
    const int32_t merged = v->n_ids;
    out->last_frequency = (uint64_t)p->frequency;
    out->merges[merged - BPE_TRAIN_BYTES] = m;
    buf_clear(&l->bytes);
    buf_append(&l->bytes, vocab_bytes(v, left), left->len);
    buf_append(&l->bytes, vocab_bytes(v, right), right->len);
    TRY(buf_status(&l->bytes));
    assert(vocab_find(v, l->bytes.data, l->bytes.len) < 0);
    TRY(add_token(l, l->bytes.data, l->bytes.len));
    for (uint32_t i = p->places; i != NONE; i = l->places[i].next)
        TRY(merge_in_word(l, l->places[i].word, m, merged));
    return push_new_pairs(l);
}

static enum status learn(struct learner *l, const struct bpe_train_options *o, bpe_train_progress_fn *progress,
                         void *user)
{
    const struct vocab *v = &l->out->vocab;
    while (v->n_ids < o->n_tokens && l->n_heap) {
        struct candidate top = l->heap[0];
        const int64_t frequency = l->pairs[top.pair].frequency;
        if (top.frequency != frequency) {
            top.frequency = frequency;
            heap_replace(l, top);
            continue;
        }
        if (frequency < 1 || (uint64_t)frequency < o->min_frequency) break;
        heap_pop(l);
        const struct pair pair = l->pairs[top.pair]; /* a copy: the array grows */
        TRY(merge(l, &pair));
        if (progress && !progress(user, v->n_ids)) return fail(E_CANCELLED, "stopped");
    }
    return OK;
}

static void count_tokens(const struct learner *l)
{
    l->out->n_words = l->words->n;
    for (size_t i = 0; i < l->words->n; i++)
        l->out->n_tokens += l->words->items[i].count * l->lengths[i];
}

void bpe_trained_free(struct bpe_trained *b)
{
    vocab_free(&b->vocab);
    free(b->merges);
    *b = (struct bpe_trained){0};
}

enum status bpe_trainer_run(struct bpe_trained *out, struct bpe_trainer *t, bpe_train_progress_fn *progress, void *user)
{
    struct bpe_trained trained = {.n_texts = t->n_texts, .n_bytes = t->n_bytes};
    struct learner l = {.words = &t->words, .out = &trained};
    enum status s = begin(&l, t->options.n_tokens);
    if (s == OK) s = learn(&l, &t->options, progress, user);
    if (s == OK) count_tokens(&l);
    learner_free(&l);
    if (s == OK)
        *out = trained;
    else
        bpe_trained_free(&trained);
    return s;
}

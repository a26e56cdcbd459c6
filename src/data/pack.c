// SPDX-License-Identifier: Apache-2.0
#include "data/pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* How many tokens named <|extratoken_1|>, _2, ... follow each other in the vocabulary, up to most. */
static int count_sentinels(const struct tokenizer *t, int32_t first, int64_t most)
{
    int n = 0;
    for (; n < most; n++) {
        char name[40];
        snprintf(name, sizeof name, "<|extratoken_%d|>", n + 1);
        if (tokenizer_find(t, name) != first + n) break;
    }
    return n;
}

static enum status find_sentinels(struct packer *p, const struct data_settings *set, const struct tokenizer *t)
{
    const bool named = set->sentinel_first < 0;
    const int64_t first = named ? tokenizer_find(t, "<|extratoken_1|>") : set->sentinel_first;
    if (first < 0)
        return fail(E_ARG, "ul2r needs sentinels: the tokenizer has no <|extratoken_1|>; set sentinel_first");
    int64_t n = set->sentinels;
    if (named)
        n = count_sentinels(t, (int32_t)first, n);
    else if (first >= tokenizer_size(t) || n > tokenizer_size(t) - first)
        return fail(E_ARG, "sentinels %" PRId64 " to %" PRId64 " are not all among the tokenizer's %" PRId32 " ids",
                    first, first + n - 1, tokenizer_size(t));
    if (n < 2) return fail(E_ARG, "ul2r needs at least 2 sentinels, not %" PRId64, n);
    p->sentinel_first = (int32_t)first;
    p->n_sentinels = (int)n;
    return OK;
}

/* The shortest text that a denoiser takes must fit into a row, or rows would be empty for ever. */
static enum status check_room(const struct packer *p)
{
    size_t n_mode = 0;
    for (int mode = 0; mode < UL2_MODES; mode++)
        if (p->mode[mode].n > n_mode) n_mode = p->mode[mode].n;
    const int shortest = (int)n_mode + 2 + 2 + 1; /* two tokens, one span, the last sentinel */
    if (p->seq_len >= shortest) return OK;
    return fail(E_ARG, "a seq_len of %d is too short for ul2r: it takes %d", p->seq_len, shortest);
}

enum status pack_open(struct packer *p, const struct data_settings *set, const struct tokenizer *t)
{
    const int32_t end_of_text = tokenizer_find(t, "<|endoftext|>");
    *p = (struct packer){.seq_len = (int)set->seq_len,
                         .join = set->documents == DOCUMENTS_JOIN,
                         .objective = set->objective,
                         .padding = end_of_text < 0 ? 0 : end_of_text};
    if (p->objective != OBJECTIVE_UL2R) return OK;
    TRY(find_sentinels(p, set, t));
    for (int mode = 0; set->mode_tokens && mode < UL2_MODES; mode++)
        TRY(tokenizer_encode(t, &p->mode[mode], ul2_mode_text[mode], strlen(ul2_mode_text[mode]), true));
    return check_room(p);
}

void pack_close(struct packer *p)
{
    for (int mode = 0; mode < UL2_MODES; mode++)
        token_list_free(&p->mode[mode]);
}

enum status pack_scratch_open(struct pack_scratch *s, int seq_len)
{
    const size_t n = (size_t)seq_len;
    *s = (struct pack_scratch){malloc(n * sizeof *s->text), malloc(n * sizeof *s->begin), malloc(n * sizeof *s->len)};
    if (s->text && s->begin && s->len) return OK;
    pack_scratch_close(s);
    return fail(E_NOMEM, "out of memory to pack rows of %d tokens", seq_len);
}

void pack_scratch_close(struct pack_scratch *s)
{
    free(s->text);
    free(s->begin);
    free(s->len);
    *s = (struct pack_scratch){0};
}

/* ---- Segments: what is predicted by itself, and, unless joined, seen by itself ---- */

/* A row being filled. */
struct row {
    const struct packer *p;
    const struct pack_scratch *scratch;
    struct feed *feed;
    struct draws *draws;
    struct data_sequence *out;
    int at; /* tokens so far */
};

static int room(const struct row *r)
{
    return r->p->seq_len - r->at;
}

/* The next n tokens, which are in out->token already, with the first prefix of them known beforehand. Those see each
 * other unless all is causal. The last token has nothing to predict. */
static void close_segment(struct row *r, int n, int prefix)
{
    const int begin = r->at, known = begin + prefix;
    const int seen = r->p->objective == OBJECTIVE_CAUSAL ? begin : known;
    struct data_sequence *out = r->out;
    for (int t = begin; t < begin + n; t++) {
        out->lo[t] = r->p->join ? 0 : begin;
        out->hi[t] = t + 1 > seen ? t + 1 : seen;
        const bool predicts = t + 1 >= known && t + 1 < begin + n;
        out->target[t] = predicts ? out->token[t + 1] : DATA_NO_TARGET;
        out->n_targets += predicts;
    }
    r->at += n;
}

static void close_row(struct row *r)
{
    for (; r->at < r->p->seq_len; r->at++) {
        r->out->token[r->at] = r->p->padding;
        r->out->lo[r->at] = r->at;
        r->out->hi[r->at] = r->at + 1;
        r->out->target[r->at] = DATA_NO_TARGET;
    }
}

static void copy(int32_t *to, const int32_t *from, size_t n)
{
    memcpy(to, from, n * sizeof *to);
}

/* Up to max tokens: of one document, or of as many as it takes where they are joined. */
static enum status gather(struct row *r, int32_t *to, int max, int *n)
{
    for (*n = 0; *n < max;) {
        const int32_t *ids;
        size_t have;
        int64_t prefix;
        TRY(feed_document(r->feed, &ids, &have, &prefix));
        const size_t take = have < (size_t)(max - *n) ? have : (size_t)(max - *n);
        copy(to + *n, ids, take);
        feed_take(r->feed, take);
        *n += (int)take;
        if (!r->p->join) break;
    }
    return OK;
}

static void put_mode(struct row *r, const struct token_list *mode)
{
    if (mode->n) copy(r->out->token + r->at, mode->ids, mode->n);
}

/* Causal: no prefix. Else one of 0 .. n - 1 tokens, so that something is left to predict. */
static enum status fill_split(struct row *r, const struct token_list *mode)
{
    const int n_mode = (int)mode->n;
    while (room(r) > n_mode) {
        int n;
        put_mode(r, mode);
        TRY(gather(r, r->out->token + r->at + n_mode, room(r) - n_mode, &n));
        const bool causal = r->p->objective == OBJECTIVE_CAUSAL;
        const int split = causal ? 0 : (int)draws_below(r->draws, (uint64_t)n);
        close_segment(r, n_mode + n, n_mode + split);
    }
    return OK;
}

/* A single token left of a document has no span to hide: it stands there unpredicted. */
static enum status fill_denoise(struct row *r, const struct ul2_denoiser *denoiser, const struct token_list *mode)
{
    const int n_mode = (int)mode->n, max_spans = r->p->n_sentinels - 1; /* the last one ends the target */
    for (;;) {
        const int longest = room(r) > n_mode ? ul2_fit(room(r) - n_mode, denoiser, max_spans) : 0;
        if (longest < 2) return OK;
        int n, n_input;
        TRY(gather(r, r->scratch->text, longest, &n));
        if (n < 2) {
            copy(r->out->token + r->at, r->scratch->text, (size_t)n);
            close_segment(r, n, 0);
            continue;
        }
        const struct ul2_count count = ul2_count(n, denoiser, max_spans);
        ul2_draw_spans(r->scratch->begin, r->scratch->len, n, count, r->draws);
        put_mode(r, mode);
        const int all = ul2_write(r->out->token + r->at + n_mode, &n_input, r->scratch->text, n, r->scratch->begin,
                                  r->scratch->len, count.spans, r->p->sentinel_first);
        close_segment(r, n_mode + all, n_mode + n_input);
    }
}

/* Prompts with their completions, whole, until the next does not fit. One that is longer than a row by itself loses the
 * left of its prompt, but for one token, and then the end of its completion. */
static enum status fill_prompts(struct row *r)
{
    for (;;) {
        const int32_t *ids;
        size_t n;
        int64_t known;
        TRY(feed_document(r->feed, &ids, &n, &known));
        size_t prefix = (size_t)known, skip = 0, take = n;
        const size_t most = (size_t)r->p->seq_len;
        if (n > most && prefix > 1) {
            skip = n - most < prefix - 1 ? n - most : prefix - 1;
            prefix -= skip;
        }
        if (take - skip > most) take = skip + most;
        if (take - skip > (size_t)room(r)) return OK;
        copy(r->out->token + r->at, ids + skip, take - skip);
        feed_take(r->feed, n);
        close_segment(r, (int)(take - skip), (int)prefix);
        if (!room(r)) return OK;
    }
}

static enum status fill(struct row *r)
{
    static const struct token_list none;
    if (feed_has_prefixes(r->feed)) return fill_prompts(r);
    if (r->p->objective != OBJECTIVE_UL2R) return fill_split(r, &none);
    struct ul2_denoiser denoiser;
    const enum ul2_mode mode = ul2_draw_mode(r->draws, &denoiser);
    if (mode == UL2_S) return fill_split(r, &r->p->mode[mode]);
    return fill_denoise(r, &denoiser, &r->p->mode[mode]);
}

enum status pack_row(const struct packer *p, const struct pack_scratch *s, struct feed *f, struct draws *d,
                     struct data_sequence *out)
{
    struct row r = {.p = p, .scratch = s, .feed = f, .draws = d, .out = out};
    out->n_targets = 0;
    feed_begin_row(f);
    TRY(fill(&r));
    feed_end_row(f);
    close_row(&r);
    return OK;
}

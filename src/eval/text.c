// SPDX-License-Identifier: Apache-2.0
#include "eval/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/rows.h"

static const size_t MAX_BYTES = (size_t)1 << 30;

static enum status failed(enum gptjt_status s, const char *where)
{
    return s == GPTJT_OK ? OK : fail((enum status)s, "%s: %s", where, gptjt_error());
}

static enum status tokenizer_of(const struct gptjt_tokenizer **out, const struct gptjt_engine *engine)
{
    *out = gptjt_engine_tokenizer(engine);
    return *out ? OK : fail(E_UNSUPPORTED, "%s", gptjt_error());
}

static enum status add_ids(struct text_spans *t, const int32_t *ids, size_t n)
{
    if (n > t->ids_cap - t->n_ids) {
        const size_t cap = 2 * t->ids_cap + n;
        int32_t *more = realloc(t->ids, cap * sizeof *more);
        if (!more) return fail(E_NOMEM, "out of memory for %zu tokens", cap);
        t->ids = more;
        t->ids_cap = cap;
    }
    if (n) memcpy(t->ids + t->n_ids, ids, n * sizeof *ids);
    t->n_ids += n;
    return OK;
}

static enum status add_span(struct text_spans *t, size_t begin, size_t split, size_t end)
{
    if (t->n == t->spans_cap) {
        const size_t cap = t->spans_cap ? 2 * t->spans_cap : 64;
        struct span *more = realloc(t->spans, cap * sizeof *more);
        if (!more) return fail(E_NOMEM, "out of memory for %zu spans", cap);
        t->spans = more;
        t->spans_cap = cap;
    }
    t->spans[t->n++] = (struct span){begin, split, end};
    t->tokens += end - split;
    return OK;
}

void text_free(struct text_spans *t)
{
    free(t->ids);
    free(t->spans);
    *t = (struct text_spans){0};
}

/* ---- Windows ---- */

static enum status cut_windows(struct text_spans *t, size_t window, size_t stride, int64_t limit)
{
    size_t end = window < t->n_ids ? window : t->n_ids;
    TRY(add_span(t, 0, 1, end));
    while (end < t->n_ids && (!limit || t->n < (size_t)limit)) {
        const size_t split = end;
        end = stride < t->n_ids - split ? split + stride : t->n_ids;
        TRY(add_span(t, end > window ? end - window : 0, split, end));
    }
    return OK;
}

/* Byte-level BPE: what tokens decode to is what they were made of. */
static enum status count_bytes(struct text_spans *t, const struct gptjt_tokenizer *tokenizer, const char *path)
{
    char *text;
    size_t len;
    const size_t first = t->spans[0].split, last = t->spans[t->n - 1].end;
    TRY(failed(gptjt_decode(tokenizer, t->ids + first, last - first, &text, &len), path));
    gptjt_free(text);
    t->bytes = len;
    return OK;
}

static enum status read_ids(struct text_spans *t, const char *path, const struct gptjt_tokenizer *tokenizer,
                            int32_t eos)
{
    struct buf text = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    enum status s = file_read(&text, path, MAX_BYTES);
    if (s == OK && eos >= 0) s = add_ids(t, &eos, 1);
    if (s == OK && text.len) s = failed(gptjt_encode(tokenizer, text.data, text.len, false, &ids, &n), path);
    if (s == OK) s = add_ids(t, ids, n);
    if (s == OK && t->n_ids < 2) s = fail(E_FORMAT, "%s: no tokens to predict in it", path);
    gptjt_free(ids);
    buf_free(&text);
    return s;
}

enum status text_windows(struct text_spans *out, const char *path, const struct gptjt_engine *engine, int64_t stride,
                         int64_t limit)
{
    struct gptjt_info info;
    const struct gptjt_tokenizer *tokenizer;
    gptjt_engine_info(engine, &info);
    if (stride < 1 || stride >= info.n_positions)
        return fail(E_ARG, "--stride %" PRId64 ": is not within 1 and %d, one less than the model's window", stride,
                    info.n_positions - 1);
    TRY(tokenizer_of(&tokenizer, engine));
    struct text_spans t = {0};
    enum status s = read_ids(&t, path, tokenizer, info.eos_token_id);
    if (s == OK) s = cut_windows(&t, (size_t)info.n_positions, (size_t)stride, limit);
    if (s == OK) s = count_bytes(&t, tokenizer, path);
    if (s == OK)
        *out = t;
    else
        text_free(&t);
    return s;
}

/* ---- Last words ---- */

static const char space[] = " \t\r\n\v\f";

/* Where the white space before the last word begins, 0 if there is nothing before it; *len without white space at the
 * end. */
static size_t before_last_word(const char *text, size_t *len)
{
    while (*len && strchr(space, text[*len - 1]))
        --*len;
    size_t at = *len;
    while (at && !strchr(space, text[at - 1]))
        at--;
    while (at && strchr(space, text[at - 1]))
        at--;
    return at;
}

static enum status add_text(struct text_spans *t, const char *text, const struct gptjt_tokenizer *tokenizer,
                            size_t window, const char *where)
{
    size_t len = strlen(text), n_given = 0, n_word = 0;
    const size_t at = before_last_word(text, &len);
    if (!at) return fail(E_FORMAT, "%s: no word with another before it", where);
    int32_t *given = NULL, *word = NULL;
    enum status s = failed(gptjt_encode(tokenizer, text, at, false, &given, &n_given), where);
    if (s == OK) s = failed(gptjt_encode(tokenizer, text + at, len - at, false, &word, &n_word), where);
    if (s == OK && n_word >= window)
        s = fail(E_LIMIT, "%s: its last word takes %zu tokens, the model's window is %zu", where, n_word, window);
    if (s == OK) {
        const size_t kept = n_given < window - n_word ? n_given : window - n_word, begin = t->n_ids;
        s = add_ids(t, given + (n_given - kept), kept);
        if (s == OK) s = add_ids(t, word, n_word);
        if (s == OK) s = add_span(t, begin, begin + kept, t->n_ids);
        t->bytes += len - at;
    }
    gptjt_free(given);
    gptjt_free(word);
    return s;
}

static enum status add_texts(struct text_spans *t, struct rows *rows, const struct gptjt_engine *engine, int64_t limit)
{
    struct gptjt_info info;
    const struct gptjt_tokenizer *tokenizer;
    gptjt_engine_info(engine, &info);
    TRY(tokenizer_of(&tokenizer, engine));
    while (!limit || t->n < (size_t)limit) {
        const struct row *row;
        const char *text;
        TRY(rows_next(rows, &row));
        if (!row) break;
        TRY(rows_text(rows, row, "text", &text));
        TRY(add_text(t, text, tokenizer, (size_t)info.n_positions, rows_where(rows, row)));
    }
    return OK;
}

enum status text_last_words(struct text_spans *out, const char *path, const struct gptjt_engine *engine, int64_t limit)
{
    struct text_spans t = {0};
    struct rows *rows;
    TRY(rows_open(&rows, path, ROWS_JSONL));
    enum status s = add_texts(&t, rows, engine, limit);
    rows_close(rows);
    if (s == OK && !t.n) s = fail(E_FORMAT, "%s: no texts in it", path);
    if (s == OK)
        *out = t;
    else
        text_free(&t);
    return s;
}

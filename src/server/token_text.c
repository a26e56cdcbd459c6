// SPDX-License-Identifier: Apache-2.0
#include "server/token_text.h"

#include "base/utf8.h"

/* Appends the token's bytes; none where the tokenizer does not know it, as in a vocabulary that was padded. */
static void append_bytes(struct buf *out, const struct gptjt_tokenizer *t, int32_t id)
{
    char *text;
    size_t len;
    if (!t || gptjt_decode(t, &id, 1, &text, &len) != GPTJT_OK) return;
    buf_append(out, text, len);
    gptjt_free(text);
}

/* How much of the text is decided: all but a character that is cut off by its end. */
static size_t decided(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        const int n = utf8_char(text + at, len - at);
        if (n < 0) break;
        at += n ? (size_t)n : 1;
    }
    return at;
}

void speller_next(struct speller *s, int32_t id, bool last, struct buf *text)
{
    append_bytes(&s->pending, s->tokenizer, id);
    if (!s->pending.len) return;
    const size_t n = last ? s->pending.len : decided(s->pending.data, s->pending.len);
    utf8_append_replaced(text, s->pending.data, n);
    struct buf rest = {0};
    buf_append(&rest, s->pending.data + n, s->pending.len - n);
    buf_free(&s->pending);
    s->pending = rest;
}

void token_text(struct buf *text, const struct gptjt_tokenizer *tokenizer, int32_t id)
{
    struct speller s = {.tokenizer = tokenizer};
    speller_next(&s, id, true, text);
    buf_free(&s.pending);
}

void token_name(struct buf *text, const struct gptjt_tokenizer *tokenizer, int32_t id)
{
    struct buf bytes = {0};
    append_bytes(&bytes, tokenizer, id);
    if (utf8_valid(bytes.data ? bytes.data : "", bytes.len)) {
        buf_append(text, bytes.data, bytes.len);
    } else {
        buf_puts(text, "bytes:");
        for (size_t i = 0; i < bytes.len; i++)
            buf_printf(text, "\\x%02x", (unsigned)(unsigned char)bytes.data[i]);
    }
    buf_free(&bytes);
}

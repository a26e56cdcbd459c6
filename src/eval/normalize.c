// SPDX-License-Identifier: Apache-2.0
#include "eval/normalize.h"

#include <string.h>

static const char space[] = " \t\n\v\f\r";

/* text without the white space around it. */
static const char *stripped(const char *text, size_t *len)
{
    text += strspn(text, space);
    *len = strlen(text);
    while (*len && strchr(space, text[*len - 1]))
        --*len;
    return text;
}

bool normalize_exact_match(const char *answer, const char *gold)
{
    size_t n, m;
    if (!*answer) return false;
    answer = stripped(answer, &n);
    gold = stripped(gold, &m);
    return n == m && !memcmp(answer, gold, n);
}

static bool is_punctuation(char c)
{
    return c && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c);
}

static bool is_article(const char *word, size_t n)
{
    return (n == 1 && word[0] == 'a') || (n == 2 && !memcmp(word, "an", 2)) || (n == 3 && !memcmp(word, "the", 3));
}

void normalize_text(struct buf *out, const char *text)
{
    struct buf bare = {0};
    for (; *text; text++) {
        const char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        if (!is_punctuation(c)) buf_append(&bare, &c, 1);
    }
    buf_puts(out, "");
    const size_t begin = out->len;
    for (const char *word = bare.data ? bare.data : ""; *(word += strspn(word, space));) {
        const size_t n = strcspn(word, space);
        if (!is_article(word, n)) {
            if (out->len > begin) buf_puts(out, " ");
            buf_append(out, word, n);
        }
        word += n;
    }
    out->failed |= bare.failed;
    buf_free(&bare);
}

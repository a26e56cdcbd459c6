// SPDX-License-Identifier: Apache-2.0
/* Cuts text into the pieces that are merged separately, by GPT-2's pattern: contractions, words, numbers, punctuation
 * and white space, each of the middle three with one space before it. Immutable, so threads share one; the scratch of
 * a call is a struct pretok_scan. */
#ifndef GPTJT_TOKENIZER_PRETOK_H
#define GPTJT_TOKENIZER_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct pretok;

/* *out is owned: pretok_free(). jit asks for PCRE2's compiler, which is used where the machine allows it. */
enum status pretok_create(struct pretok **out, bool jit);
void pretok_free(struct pretok *p); /* accepts NULL */

struct pretok_scan {
    const struct pretok *pretok;
    void *match; /* PCRE2's match data, owned: pretok_scan_end() */
};

enum status pretok_scan_begin(struct pretok_scan *scan, const struct pretok *p);
void pretok_scan_end(struct pretok_scan *scan);

/* The piece that begins at text[at] ends before text[*end]. text must be valid UTF-8 and at < len on a character's
 * boundary; the bytes after the piece matter, so text should reach as far as the valid text does. */
enum status pretok_next(struct pretok_scan *scan, const char *text, size_t len, size_t at, size_t *end);

#endif

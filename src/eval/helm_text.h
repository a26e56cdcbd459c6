// SPDX-License-Identifier: Apache-2.0
/* When an answer is right: HELM's four exact-match metrics, with Python's idea of letters and white space.
 *
 *     exact_match               gold and prediction are equal but for white space around them
 *     quasi_exact_match         they are equal when normalised: lower case, no ASCII punctuation, no words a, an, the,
 *                               every white space one space
 *     prefix_exact_match        the prediction begins with gold, white space around both left off
 *     quasi_prefix_exact_match  the same of the normalised texts
 *
 * An empty prediction is never right. The lower case of a letter is the one letter that Unicode's simple mapping has
 * for it, where Python also knows a few that take two (the dotted capital I) or depend on their place (the final
 * sigma). */
#ifndef GPTJT_EVAL_HELM_TEXT_H
#define GPTJT_EVAL_HELM_TEXT_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/status.h"

enum helm_match { HELM_EXACT, HELM_QUASI, HELM_PREFIX, HELM_QUASI_PREFIX, HELM_N_MATCHES };

struct helm_text {
    const char *data; /* valid UTF-8, borrowed; may hold NUL */
    size_t len;
};

/* Which characters are letters, and their lower case. Owned: freelocale(). */
enum status helm_text_locale(locale_t *out);

/* text without the white space around it, as Python's str.strip(). */
struct helm_text helm_strip(struct helm_text text);

/* Appends text normalised as above. */
void helm_normalize(struct buf *out, struct helm_text text, locale_t locale);

/* right [HELM_N_MATCHES] */
enum status helm_match(bool *right, struct helm_text gold, struct helm_text prediction, locale_t locale);

#endif

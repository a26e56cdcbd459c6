// SPDX-License-Identifier: Apache-2.0
/* The text of tokens, one by one. A token is bytes, not always whole characters: where several tokens make up a
 * character, the last of them gets it and the others nothing, so that the texts one after the other are the whole. */
#ifndef GPTJT_SERVER_TOKEN_TEXT_H
#define GPTJT_SERVER_TOKEN_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gptjt.h"

struct speller {
    const struct gptjt_tokenizer *tokenizer; /* NULL: all texts are empty */
    struct buf pending;                      /* the beginning of a character; zero, and buf_free() in the end */
};

/* Appends what becomes text with this token; last: also what is left of a character that does not end any more. */
void speller_next(struct speller *s, int32_t id, bool last, struct buf *text);

/* Appends the text of a token that stands alone, broken characters replaced. */
void token_text(struct buf *text, const struct gptjt_tokenizer *tokenizer, int32_t id);

/* The same as a name, different for every token, as OpenAI writes it: broken characters are "bytes:\xe2\x80". */
void token_name(struct buf *text, const struct gptjt_tokenizer *tokenizer, int32_t id);

#endif

// SPDX-License-Identifier: Apache-2.0
/* From one record to the tokens of one document: what a format says about its members and what is put around them. */
#ifndef GPTJT_DATA_EXAMPLE_H
#define GPTJT_DATA_EXAMPLE_H

#include <stdbool.h>

#include "data/data.h"
#include "data/draws.h"
#include "data/records.h"
#include "tokenizer/tokenizer.h"

/* What P3 and Natural-Instructions put around inputs and outputs, drawn once for a sequence. */
struct example_style {
    const char *separator, *answer_separator, *input_prefix, *output_prefix;
};
struct example_style example_draw_style(struct draws *d, int format);

struct example_settings {
    const struct data_source *source;
    const struct tokenizer *tokenizer;
    bool join;           /* documents follow each other as one text: a separator stands between, not behind */
    int32_t end_of_text; /* behind every document, or -1 */
};

/* <|endoftext|> if the source asks for it, else -1. E_ARG where the tokenizer has none. */
enum status example_end_of_text(int32_t *out, const struct data_source *source, const struct tokenizer *t);

enum { EXAMPLE_NO_PREFIX = -1 };

/* Replaces out's ids. *prefix: tokens of the prompt where the format has one, else EXAMPLE_NO_PREFIX. A record without
 * text gives no tokens. style and first (the sequence begins here) are for P3. */
enum status example_tokens(struct token_list *out, int64_t *prefix, const struct example_settings *set,
                           const struct record *record, const struct example_style *style, bool first);

#endif

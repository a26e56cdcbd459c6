// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a tokenizer.json, and as each of the files that name added tokens beside a vocab.json. What opens must
 * encode and decode without harm; a vocabulary that lacks bytes may refuse the text, and a decoded text must be the
 * text. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct tokenizer *t, const char *text, bool added)
{
    const size_t len = strlen(text);
    struct token_list ids = {0};
    struct buf back = {0};
    if (tokenizer_encode(t, &ids, text, len, added) == OK) {
        if (tokenizer_decode(t, &back, ids.ids, ids.n) != OK) abort();
        if (back.len != len || memcmp(back.data, text, len)) abort();
    } else if (ids.n) {
        abort();
    }
    token_list_free(&ids);
    buf_free(&back);
}

static void check(const struct tokenizer_sources *sources)
{
    struct tokenizer *t;
    if (tokenizer_open_memory(&t, sources) != OK) return;
    static const char *const texts[] = {"a", "aab abc", "ab<|x|>  cab\n", "It's <|endoftext|> 12 \xe6\x97\xa5\xff"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_text(t, texts[i], true);
        check_text(t, texts[i], false);
    }
    for (int32_t id = -1; id <= tokenizer_size(t) && id < 1000; id++) {
        size_t len = 0;
        const char *bytes = tokenizer_token(t, id, &len);
        if (bytes && (!len || bytes[len])) abort();
        if (!bytes && tokenizer_is_special(t, id)) abort();
    }
    tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tokenizer_source fuzzed = {"fuzzed", (const char *)data, size};
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"<|x|>\": 4, \"<|endoftext|>\": 5}";
    struct tokenizer_sources separate = {.vocab = {"vocab.json", vocab, sizeof vocab - 1},
                                         .merges = {"merges", "a b", 3}};
    check(&(struct tokenizer_sources){.json = fuzzed});
    separate.config = fuzzed;
    check(&separate);
    separate.config.data = NULL;
    separate.added = separate.special = fuzzed;
    check(&separate);
    return 0;
}

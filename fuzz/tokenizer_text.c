// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a text, with a small vocabulary: it must come back the same, with added tokens and without, and its
 * tokens streamed must be the text with broken bytes replaced, in whole characters. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* GPT-2's character for a byte, as JSON. */
static void append_symbol(struct buf *json, int byte)
{
    static const char plain[] = "!#$%&'()*+,-./0123456789:;<=>?@[]^_`{|}~";
    int n_below = 0; /* unprintable bytes below this one */
    for (int b = 0; b <= byte; b++) {
        const bool printable = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        if (b == byte && printable)
            buf_printf(json, strchr(plain, b) || (b >= 'A' && b <= 'z' && b != '\\') ? "%c" : "\\u00%02x", b);
        else if (b == byte)
            buf_printf(json, "\\u%04x", 0x100 + n_below);
        n_below += !printable;
    }
}

/* \u0120 is the space, \u010a the newline, \u00e6\u0139\u00a5 the bytes of a Japanese character. */
static const char rest[] = "\"aa\": 256, \"aaaa\": 257, \"ab\": 258, \"aba\": 259, \"\\u0120a\": 260, \"'s\": 261, "
                           "\"\\u0120\\u0120\": 262, \"\\u010a\\u010a\": 263, \"\\u00e6\\u0139\": 264, "
                           "\"\\u00e6\\u0139\\u00a5\": 265, \"12\": 266, \"<|\": 267, \"<|x\": 268},"
                           "\"merges\": [\"a a\", [\"aa\", \"aa\"], \"a b\", \"ab a\", \"\\u0120 a\", \"' s\", "
                           "\"\\u0120 \\u0120\", \"\\u010a \\u010a\", \"\\u00e6 \\u0139\", "
                           "\"\\u00e6\\u0139 \\u00a5\", \"1 2\", \"< |\", \"<| x\"]},"
                           "\"added_tokens\": [{\"id\": 300, \"content\": \"<|x|>\"}, "
                           "{\"id\": 301, \"content\": \"<|x|><|x|>\", \"normalized\": true}, "
                           "{\"id\": 302, \"content\": \"|>\", \"normalized\": true}, "
                           "{\"id\": 303, \"content\": \"\xe6\x97\xa5\"}, {\"id\": 304, \"content\": \"  \"}]}";

static struct tokenizer *open_small(void)
{
    struct buf json = {0};
    buf_puts(&json, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
                    "\"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int b = 0; b < 256; b++) {
        buf_puts(&json, "\"");
        append_symbol(&json, b);
        buf_printf(&json, "\": %d, ", 255 - b);
    }
    buf_puts(&json, rest);
    struct tokenizer *t;
    const struct tokenizer_sources sources = {.json = {"small", json.data, json.len}};
    if (tokenizer_open_memory(&t, &sources) != OK) abort();
    buf_free(&json);
    return t;
}

static void check_stream(const struct tokenizer *t, const struct token_list *ids, const struct buf *replaced)
{
    struct buf out = {0};
    struct token_stream s = {0};
    for (size_t i = 0; i < ids->n; i++) {
        const size_t before = out.len;
        if (tokenizer_stream(t, &s, &out, ids->ids[i]) != OK) abort();
        if (out.len > before && !utf8_valid(out.data + before, out.len - before)) abort();
    }
    tokenizer_stream_end(&s, &out);
    if (out.len != replaced->len || (out.len && memcmp(out.data, replaced->data, out.len))) abort();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t; /* one for all inputs, as a server has */
    if (!t) t = open_small();
    const char *text = (const char *)data;
    struct buf replaced = {0};
    utf8_append_replaced(&replaced, text, size);
    for (int added = 0; added < 2; added++) {
        struct token_list ids = {0};
        struct buf back = {0};
        if (tokenizer_encode(t, &ids, text, size, added) != OK) abort();
        if (tokenizer_decode(t, &back, ids.ids, ids.n) != OK) abort();
        if (back.len != size || (size && memcmp(back.data, text, size))) abort();
        check_stream(t, &ids, &replaced);
        token_list_free(&ids);
        buf_free(&back);
    }
    buf_free(&replaced);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* A tokenizer that knows every byte and some pairs of them. */
#ifndef GPTJT_FUZZ_BYTE_TOKENIZER_H
#define GPTJT_FUZZ_BYTE_TOKENIZER_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

/* GPT-2's character for a byte, as JSON. */
static inline void byte_symbol(struct buf *json, int byte)
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
static const char byte_tokenizer_rest[] =
    "\"aa\": 256, \"aaaa\": 257, \"ab\": 258, \"aba\": 259, \"\\u0120a\": 260, \"'s\": 261, "
    "\"\\u0120\\u0120\": 262, \"\\u010a\\u010a\": 263, \"\\u00e6\\u0139\": 264, "
    "\"\\u00e6\\u0139\\u00a5\": 265, \"12\": 266, \"<|\": 267, \"<|x\": 268},"
    "\"merges\": [\"a a\", [\"aa\", \"aa\"], \"a b\", \"ab a\", \"\\u0120 a\", \"' s\", "
    "\"\\u0120 \\u0120\", \"\\u010a \\u010a\", \"\\u00e6 \\u0139\", "
    "\"\\u00e6\\u0139 \\u00a5\", \"1 2\", \"< |\", \"<| x\"]},"
    "\"added_tokens\": [{\"id\": 300, \"content\": \"<|x|>\"}, "
    "{\"id\": 301, \"content\": \"<|x|><|x|>\", \"normalized\": true}, "
    "{\"id\": 302, \"content\": \"|>\", \"normalized\": true}, "
    "{\"id\": 303, \"content\": \"\xe6\x97\xa5\"}, {\"id\": 304, \"content\": \"  \"}]}";

static inline struct tokenizer *byte_tokenizer(void)
{
    struct buf json = {0};
    buf_puts(&json, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
                    "\"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int b = 0; b < 256; b++) {
        buf_puts(&json, "\"");
        byte_symbol(&json, b);
        buf_printf(&json, "\": %d, ", 255 - b);
    }
    buf_puts(&json, byte_tokenizer_rest);
    struct tokenizer *t;
    const struct tokenizer_sources sources = {.json = {"small", json.data, json.len}};
    if (tokenizer_open_memory(&t, &sources) != OK) abort();
    buf_free(&json);
    return t;
}

#endif

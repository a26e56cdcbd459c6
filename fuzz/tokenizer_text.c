// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a text, with a small vocabulary: it must come back the same, with added tokens and without, and its
 * tokens streamed must be the text with broken bytes replaced, in whole characters. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "byte_tokenizer.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    if (!t) t = byte_tokenizer();
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

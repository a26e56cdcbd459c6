// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a Natural-Instructions task: it gives a text of the length asked for, or an error. */
#include "byte_tokenizer.h"
#include "data/ni.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LENGTH = 300 };
    char path[64], *item = path;
    static struct tokenizer *t; /* once: it takes longer than most inputs */
    if (!t) t = byte_tokenizer();
    struct ni *n;
    const int fd = memory_file(path, data, size);
    const struct paths paths = {.items = &item, .n = 1};
    struct token_list ids = {0};
    if (ni_open(&n, &paths) != OK) abort();
    for (uint64_t row = 0; row < 4; row++) {
        struct draws d = draws_begin(1, DRAWS_TEXT, 0, 0, row);
        if (ni_text(n, &ids, t, LENGTH, &d) == OK && ids.n < LENGTH) abort();
    }
    token_list_free(&ids);
    ni_close(n);
    close(fd);
    return 0;
}
